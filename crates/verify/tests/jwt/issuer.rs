//! An issuer without a network: discovery and keys, with settings and counters.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use portcullis_core::{Clock, Issuer, UnixTime};
use portcullis_egress::Egress;
use portcullis_verify::{JwtVerifier, RemoteKeySet};
use serde_json::{Value, json};
use tower_service::Service;

use crate::{
    accepted::policy,
    signing::{ISSUER, Key, NOW, jwks},
};

pub(crate) const JWKS_PATH: &str = "/realms/x/keys";

/// The present behaviour of the issuer.
#[derive(Clone)]
pub(crate) struct Behaviour {
    pub(crate) keys: Value,
    pub(crate) cache_control: Option<&'static str>,
    pub(crate) latency: Duration,
    pub(crate) fault: Option<Fault>,
    /// The only well-known path that has metadata.
    pub(crate) metadata_path: &'static str,
    pub(crate) named_issuer: &'static str,
}

#[derive(Clone, Copy)]
pub(crate) enum Fault {
    /// Answers every request with this status and `Retry-After`.
    Status(u16, Option<u64>),
    /// Answers with an HTML page instead of a key set.
    Page,
    Panic,
}

#[derive(Clone)]
pub(crate) struct FakeIssuer {
    behaviour: Arc<Mutex<Behaviour>>,
    paths: Arc<Mutex<Vec<String>>>,
}

impl FakeIssuer {
    pub(crate) fn new(keys: &[&Key]) -> Self {
        let behaviour = Behaviour {
            keys: jwks(keys),
            cache_control: None,
            latency: Duration::from_millis(50),
            fault: None,
            metadata_path: "/.well-known/oauth-authorization-server/realms/x",
            named_issuer: ISSUER,
        };
        Self { behaviour: Arc::new(Mutex::new(behaviour)), paths: Arc::default() }
    }

    pub(crate) fn set(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.behaviour.lock().expect("lock"));
    }

    /// Returns the paths that were requested since the last call.
    pub(crate) fn requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.paths.lock().expect("lock"))
    }

    /// Returns how often the keys were requested since the last call.
    pub(crate) fn fetches(&self) -> usize {
        self.requests().iter().filter(|path| *path == JWKS_PATH).count()
    }

    pub(crate) fn keys(&self) -> RemoteKeySet {
        let issuer = Issuer::new(ISSUER).expect("issuer");
        RemoteKeySet::discovered(issuer, Egress::from_service(self.clone())).with_clock(Arc::new(StandingClock))
    }

    /// Returns the keys without discovery, so that each fetch is one request.
    pub(crate) fn keys_at(&self) -> RemoteKeySet {
        let url = format!("https://idp.example.com{JWKS_PATH}").parse().expect("URL");
        RemoteKeySet::at(url, Egress::from_service(self.clone())).with_clock(Arc::new(StandingClock))
    }
}

/// Creates a verifier of tokens that do not expire during a test.
pub(crate) fn verifier(keys: RemoteKeySet) -> JwtVerifier {
    JwtVerifier::new(policy(), keys).with_clock(Arc::new(StandingClock))
}

/// A clock that does not advance, so that only keys age.
#[derive(Debug)]
pub(crate) struct StandingClock;

impl Clock for StandingClock {
    fn now(&self) -> UnixTime {
        NOW
    }
}

impl Service<Request<Bytes>> for FakeIssuer {
    type Response = Response<Bytes>;
    type Error = std::convert::Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Bytes>, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let path = request.uri().path().to_owned();
        self.paths.lock().expect("lock").push(path.clone());
        // The response is determined when the request arrives, as by a real issuer that is slow.
        let behaviour = self.behaviour.lock().expect("lock").clone();
        Box::pin(async move {
            tokio::time::sleep(behaviour.latency).await;
            Ok(behaviour.answer(&path))
        })
    }
}

impl Behaviour {
    fn answer(&self, path: &str) -> Response<Bytes> {
        let response = |status: u16, body: String| {
            let response = Response::builder().status(status).header("content-type", "application/json");
            response.body(Bytes::from(body)).expect("response")
        };
        match self.fault {
            Some(Fault::Panic) => unreachable!("as the test wants"),
            Some(Fault::Page) => response(200, "<html>".to_owned()),
            Some(Fault::Status(status, retry_after)) => {
                let mut response = response(status, String::new());
                if let Some(seconds) = retry_after {
                    response.headers_mut().insert("retry-after", seconds.into());
                }
                response
            }
            None if path == JWKS_PATH => {
                let mut response = response(200, self.keys.to_string());
                if let Some(value) = self.cache_control {
                    response.headers_mut().insert("cache-control", http::HeaderValue::from_static(value));
                }
                response
            }
            None if path == self.metadata_path => {
                let jwks_uri = format!("https://idp.example.com{JWKS_PATH}");
                response(200, json!({"issuer": self.named_issuer, "jwks_uri": jwks_uri}).to_string())
            }
            None => response(404, String::new()),
        }
    }
}
