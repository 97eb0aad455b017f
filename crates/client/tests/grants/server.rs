//! [`Server`]: a server that gives the answers of a test, one after the other, and records the requests.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Uri};
use portcullis_client::{
    ClientCredential, Issuer, ResourceUri, ScopeSet, TokenEndpoint, TokenSource, grants::TokenTarget,
};
use portcullis_egress::Egress;
use portcullis_oauth::ClientAuthentication;
use serde_json::{Value, json};

pub(crate) const ISSUER: &str = "https://as.example.test";
pub(crate) const URL: &str = "https://as.example.test/token";
pub(crate) const RESOURCE: &str = "https://mcp.example.test/mcp";

#[derive(Clone, Default)]
pub(crate) struct Server(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    answers: VecDeque<Response<Bytes>>,
    seen: Vec<Seen>,
}

/// A request that the server received.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) fields: BTreeMap<String, String>,
}

impl Seen {
    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

impl Server {
    /// After these answers, the server closes connections.
    pub(crate) fn answering(answers: impl IntoIterator<Item = Response<Bytes>>) -> Self {
        let server = Self::default();
        server.0.lock().unwrap().answers.extend(answers);
        server
    }

    pub(crate) fn egress(&self) -> Egress {
        let server = self.clone();
        Egress::from_service(tower::service_fn(move |request: Request<Bytes>| {
            let answer = server.answer(&request);
            async move { answer.ok_or_else(|| io::Error::other("the connection was closed")) }
        }))
    }

    fn answer(&self, request: &Request<Bytes>) -> Option<Response<Bytes>> {
        let fields = url::form_urlencoded::parse(request.body()).into_owned().collect();
        let seen = Seen { uri: request.uri().clone(), headers: request.headers().clone(), fields };
        let mut state = self.0.lock().unwrap();
        state.seen.push(seen);
        state.answers.pop_front()
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.0.lock().unwrap().seen.clone()
    }

    pub(crate) fn last(&self) -> Seen {
        self.seen().pop().unwrap()
    }

    /// Its token endpoint.
    pub(crate) fn endpoint(&self, client: impl Into<ClientCredential>) -> TokenEndpoint {
        TokenEndpoint::at(self.egress(), issuer(ISSUER), Uri::from_static(URL), client)
    }

    /// The resource of the tests, for a public client.
    pub(crate) fn target(&self) -> TokenTarget {
        TokenTarget::new(resource(), self.endpoint(ClientAuthentication::public("app")))
    }
}

pub(crate) fn answer(status: u16, members: &Value) -> Response<Bytes> {
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.body(members.to_string().into()).unwrap()
}

/// An answer with an access token, and perhaps more.
pub(crate) fn tokens(more: Value) -> Response<Bytes> {
    let mut members = json!({"access_token": "at", "token_type": "Bearer", "expires_in": 600});
    if let (Value::Object(all), Value::Object(more)) = (&mut members, more) {
        all.extend(more);
    }
    answer(200, &members)
}

pub(crate) fn refusal(code: &str) -> Response<Bytes> {
    answer(if code == "invalid_client" { 401 } else { 400 }, &json!({"error": code}))
}

pub(crate) fn issuer(text: &str) -> Issuer {
    Issuer::new(text).unwrap()
}

pub(crate) fn resource() -> ResourceUri {
    ResourceUri::new(RESOURCE).unwrap()
}

pub(crate) fn scopes(text: &str) -> ScopeSet {
    ScopeSet::parse(text).unwrap()
}

/// A source that returns `token`.
pub(crate) fn source(token: &str) -> TokenSource {
    let token = token.to_owned();
    TokenSource::from_fn(move || {
        let token = token.clone();
        async move { Ok(token.into()) }
    })
}
