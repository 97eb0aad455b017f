//! [`DocumentHost`]: a host of client metadata documents.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use portcullis_test_support::Network;
use serde_json::{Value, json};

pub(crate) const HOST: &str = "https://app.example.test";
/// The hosts with this document: that of tests, and those of real clients.
const ORIGINS: [&str; 6] = [
    HOST,
    "https://block.github.io",
    "https://chatgpt.com",
    "https://claude.ai",
    "https://slack.com",
    "https://vscode.dev",
];
pub(crate) const CLIENT: &str = "https://app.example.test/client.json";
pub(crate) const REDIRECT_URI: &str = "https://app.example.test/callback";

/// Returns a minimal document.
pub(crate) fn document() -> Value {
    json!({"client_id": CLIENT, "client_name": "App", "redirect_uris": [REDIRECT_URI]})
}

/// A host that serves one document at every path.
#[derive(Clone)]
pub(crate) struct DocumentHost(Arc<Mutex<State>>);

struct State {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
    latency: Duration,
    calls: usize,
}

impl DocumentHost {
    pub(crate) fn new() -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        let body = document().to_string().into();
        Self(Arc::new(Mutex::new(State { status: 200, headers, body, latency: Duration::ZERO, calls: 0 })))
    }

    /// Returns `network` with this host.
    pub(crate) fn joins(&self, network: Network) -> Network {
        let state = Arc::clone(&self.0);
        let service = tower::service_fn(move |_: Request<Full<Bytes>>| {
            let state = Arc::clone(&state);
            async move {
                let (latency, response) = {
                    let mut state = state.lock().expect("no panic");
                    state.calls += 1;
                    let response = state
                        .headers
                        .iter()
                        .fold(Response::builder().status(state.status), |response, (name, value)| {
                            response.header(*name, value)
                        });
                    (state.latency, response.body(Full::new(state.body.clone())).expect("a response"))
                };
                tokio::time::sleep(latency).await;
                Ok::<_, Infallible>(response)
            }
        });
        ORIGINS.into_iter().fold(network, |network, origin| network.with_service(origin, service.clone()))
    }

    pub(crate) fn says(&self, document: &Value) {
        self.sends(document.to_string());
    }

    pub(crate) fn sends(&self, body: impl Into<Bytes>) {
        self.state(|state| state.body = body.into());
    }

    pub(crate) fn answers(&self, status: u16) {
        self.state(|state| state.status = status);
    }

    /// Sets a header.
    pub(crate) fn with_header(&self, name: &'static str, value: &str) {
        self.state(|state| {
            state.headers.retain(|(known, _)| *known != name);
            state.headers.push((name, value.to_owned()));
        });
    }

    pub(crate) fn takes(&self, latency: Duration) {
        self.state(|state| state.latency = latency);
    }

    /// Returns the number of requests.
    pub(crate) fn calls(&self) -> usize {
        self.0.lock().expect("no panic").calls
    }

    fn state(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock().expect("no panic"));
    }
}
