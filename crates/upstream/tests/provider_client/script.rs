//! A provider that says its lines.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use http::{Request, Response, Uri};
use portcullis_core::{BearerToken, ScopeSet};
use portcullis_egress::{Egress, EgressError, EgressErrorKind};
use portcullis_oauth::{ClientAuthentication, TokenResponse, providers::Provider};
use portcullis_refresh::{RefreshError, TokenSet};
use portcullis_testkit::TestClock;
use portcullis_upstream::ProviderClient;
use serde_json::Value;
use tower::ServiceExt as _;

/// One line of it.
#[derive(Clone, Debug)]
pub(crate) enum Line {
    Answer(u16, &'static [(&'static str, &'static str)], Bytes),
    Failure(EgressErrorKind),
    Silence,
}

pub(crate) fn json(status: u16, body: &Value) -> Line {
    Line::Answer(status, &[("content-type", "application/json")], body.to_string().into())
}

pub(crate) fn bare(status: u16) -> Line {
    Line::Answer(status, &[], Bytes::new())
}

/// What is to be said, and what was asked.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    lines: Arc<Mutex<VecDeque<Line>>>,
    asked: Arc<Mutex<Vec<Request<Bytes>>>>,
    pub(crate) clock: TestClock,
}

impl Script {
    pub(crate) fn new(lines: impl IntoIterator<Item = Line>) -> Self {
        let lines = Arc::new(Mutex::new(lines.into_iter().collect()));
        Self { lines, asked: Arc::default(), clock: TestClock::new() }
    }

    pub(crate) fn asked(&self) -> MutexGuard<'_, Vec<Request<Bytes>>> {
        self.asked.lock().expect("lock")
    }

    pub(crate) fn calls(&self) -> usize {
        self.asked().len()
    }

    /// The path and the body of each request.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.asked().iter().map(|request| request.uri().path().to_owned()).collect()
    }

    pub(crate) fn egress(&self) -> Egress {
        let script = self.clone();
        Egress::from_service(tower::service_fn(move |request: Request<Bytes>| {
            let uri = request.uri().clone();
            script.asked().push(request);
            let line = script.lines.lock().expect("lock").pop_front();
            async move { said(line.unwrap_or(Line::Silence), &uri).await }
        }))
    }

    pub(crate) fn client(&self, provider: Provider) -> ProviderClient {
        let app = ClientAuthentication::basic("app", "s3cret".into());
        ProviderClient::new(provider, app, self.egress()).with_clock(Arc::new(self.clock.clone()))
    }
}

async fn said(line: Line, uri: &Uri) -> Result<Response<Bytes>, EgressError> {
    match line {
        Line::Failure(kind) => Err(EgressError::new(kind, uri)),
        Line::Silence => std::future::pending().await,
        Line::Answer(status, headers, body) => {
            let response = headers
                .iter()
                .fold(Response::builder().status(status), |response, (name, value)| response.header(*name, *value));
            Ok(response.body(body).expect("response"))
        }
    }
}

/// A provider with everything.
pub(crate) fn oidc() -> Provider {
    let uri = |path: &str| format!("https://idp.example.test{path}").parse::<Uri>().expect("URI");
    let issuer = "https://idp.example.test".parse().expect("issuer");
    Provider::oidc_at(issuer, uri("/authorize"), uri("/token"))
        .with_userinfo_endpoint(uri("/userinfo"))
        .with_introspection_endpoint(uri("/introspect"))
        .with_revocation_endpoint(uri("/revoke"))
}

/// Tokens of a login, with a refresh token.
pub(crate) fn tokens() -> Arc<TokenSet> {
    let mut response = TokenResponse::new(BearerToken::issued("at-0").expect("token"));
    response.refresh_token = Some("rt-0".into());
    Arc::new(TokenSet::from_login(response, &ScopeSet::default(), TestClock::START))
}

pub(crate) async fn refresh(client: &ProviderClient) -> Result<TokenResponse, RefreshError> {
    client.clone().oneshot(tokens()).await
}
