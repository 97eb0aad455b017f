//! [`World`]: an authorization server with one-use refresh tokens, and a resource that accepts its newest access token.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::ready,
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{Router, body::Body, extract::State, middleware::Next};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Request, Response, StatusCode, header};
use portcullis_client::{
    Binding, Challenge, DpopKey, Grant, GrantError, GrantFuture, Issuer, ResourceUri, ScopeSet, TokenLayer,
    TokenManager, TokenService,
};
use portcullis_core::BearerToken;
use portcullis_oauth::TokenResponse;
use portcullis_testkit::StrictService;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::net::TcpListener;
use tower::Layer as _;

pub(crate) const RESOURCE: &str = "https://mcp.example/mcp";

/// The connection was lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("lost")]
pub(crate) struct Lost;

pub(crate) type Answer = BoxFuture<'static, Result<Response<Bytes>, Lost>>;

#[derive(Clone, Default, Debug)]
pub(crate) struct World(Arc<Mutex<Recorded>>);

#[derive(Default, Debug)]
pub(crate) struct Recorded {
    /// The number of the newest tokens.
    pub(crate) issued: u64,
    /// From access token to its scopes, of the tokens that are accepted.
    pub(crate) accepted: BTreeMap<String, ScopeSet>,
    /// The refresh tokens that were presented already.
    spent: BTreeSet<String>,
    pub(crate) reuses: usize,
    /// Token requests.
    pub(crate) exchanges: usize,
    pub(crate) exchange_time: Duration,
    pub(crate) response_time: Duration,
    pub(crate) lifetime: Option<Duration>,
    pub(crate) is_interactive: bool,
    pub(crate) logins: usize,
    /// The URI and the credentials of each request to the resource.
    pub(crate) requests: Vec<(String, Option<HeaderValue>)>,
}

impl World {
    pub(crate) fn state(&self) -> MutexGuard<'_, Recorded> {
        self.0.lock().unwrap()
    }

    pub(crate) fn manager(&self) -> TokenManager {
        self.manager_for(RESOURCE)
    }

    pub(crate) fn manager_for(&self, resource: &str) -> TokenManager {
        self.manager_with(resource, None)
    }

    /// A manager whose grant says that its tokens are bound to `dpop`.
    pub(crate) fn manager_with(&self, resource: &str, dpop: Option<DpopKey>) -> TokenManager {
        let grant = WorldGrant { world: self.clone(), resource: ResourceUri::new(resource).unwrap(), dpop };
        TokenManager::builder(grant).build()
    }

    /// The resource, which panics if it is called without being ready.
    pub(crate) fn resource(&self) -> StrictService<impl Fn(Request<Bytes>) -> Answer + Clone + Send + 'static> {
        let world = self.clone();
        StrictService::new(move |request| world.respond(&request))
    }

    /// The resource behind the layer.
    pub(crate) fn client(
        &self,
    ) -> TokenService<StrictService<impl Fn(Request<Bytes>) -> Answer + Clone + Send + 'static>> {
        TokenLayer::new(self.manager()).layer(self.resource())
    }

    pub(crate) fn revoke_access_tokens(&self) {
        self.state().accepted.clear();
    }

    /// The numbers of token requests and of requests to the resource, and how often a spent refresh token was presented.
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        let state = self.state();
        (state.exchanges, state.requests.len(), state.reuses)
    }

    pub(crate) fn credentials(&self) -> Vec<String> {
        let text =
            |value: &Option<HeaderValue>| value.as_ref().map_or("none", |value| value.to_str().unwrap()).to_owned();
        self.state().requests.iter().map(|(_, credentials)| text(credentials)).collect()
    }

    fn respond(&self, request: &Request<Bytes>) -> Answer {
        let credentials = request.headers().get(header::AUTHORIZATION).cloned();
        let mut state = self.state();
        state.requests.push((request.uri().to_string(), credentials.clone()));
        let token = credentials.as_ref().and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let scopes = token.and_then(|token| state.accepted.get(token));
        let invalid = Challenge::bearer().with("error", "invalid_token");
        let needs = |scope: &str| Challenge::bearer().with("error", "insufficient_scope").with("scope", scope);
        let response = match (request.uri().path(), scopes) {
            ("/mcp/lost", _) => return Box::pin(ready(Err(Lost))),
            ("/mcp/basic", _) => refusal(401, "Basic realm=\"a\""),
            ("/mcp/silent", _) => Response::builder().status(401).body(Bytes::new()).unwrap(),
            ("/mcp/refused", _) => refusal(401, &invalid.to_string()),
            ("/mcp/redirect", _) => redirect("https://evil.example/mcp"),
            ("/mcp/forbidden", Some(_)) => refusal(403, &needs("everything").to_string()),
            ("/mcp/admin", Some(scopes)) if !scopes.contains("admin") => refusal(403, &needs("admin").to_string()),
            (_, None) if request.uri().host() == Some("mcp.example") => {
                refusal(401, &if token.is_some() { invalid } else { Challenge::bearer() }.to_string())
            }
            (_, _) => Response::new(request.body().clone()),
        };
        let time = state.response_time;
        Box::pin(async move {
            tokio::time::sleep(time).await;
            Ok(response)
        })
    }

    fn issue(&self, scopes: Option<&ScopeSet>) -> TokenResponse {
        let mut state = self.state();
        state.issued += 1;
        let (access, refresh) = (format!("access-{}", state.issued), format!("refresh-{}", state.issued));
        let before = state.accepted.pop_last().map(|(_, scopes)| scopes);
        // The authorization server revokes the access token before.
        state.accepted.clear();
        let scopes = scopes.cloned().or(before).unwrap_or_default();
        state.accepted.insert(access.clone(), scopes.clone());
        let mut response = TokenResponse::new(BearerToken::issued(&access).unwrap());
        response.refresh_token = Some(SecretString::from(refresh));
        response.expires_in = Some(state.lifetime.unwrap_or(Duration::from_hours(1)));
        response.scopes = Some(scopes);
        response
    }

    async fn exchange(&self) {
        let time = {
            let mut state = self.state();
            state.exchanges += 1;
            state.exchange_time
        };
        tokio::time::sleep(time).await;
    }
}

fn refusal(status: u16, challenge: &str) -> Response<Bytes> {
    Response::builder().status(status).header(header::WWW_AUTHENTICATE, challenge).body(Bytes::new()).unwrap()
}

fn redirect(target: &str) -> Response<Bytes> {
    let response = Response::builder().status(StatusCode::TEMPORARY_REDIRECT).header(header::LOCATION, target);
    response.body(Bytes::new()).unwrap()
}

pub(crate) fn post(uri: &str) -> Request<Bytes> {
    Request::post(uri).body(Bytes::from_static(b"body")).unwrap()
}

#[derive(Debug)]
struct WorldGrant {
    world: World,
    resource: ResourceUri,
    dpop: Option<DpopKey>,
}

impl Grant for WorldGrant {
    fn resource(&self) -> &ResourceUri {
        &self.resource
    }

    fn name(&self) -> &'static str {
        "world"
    }

    fn resolve<'a>(&'a self, _: Option<&'a Challenge>) -> GrantFuture<'a, Binding> {
        let binding = Binding::new(self.resource.clone(), Issuer::new("https://issuer.example").unwrap(), "client");
        Box::pin(ready(Ok(binding)))
    }

    fn obtain<'a>(&'a self, _: &'a Binding, scopes: &'a ScopeSet) -> GrantFuture<'a, TokenResponse> {
        Box::pin(async {
            self.world.exchange().await;
            self.world.state().logins += 1;
            Ok(self.world.issue(Some(scopes)))
        })
    }

    fn refresh<'a>(&'a self, _: &'a Binding, refresh_token: &'a SecretString) -> GrantFuture<'a, TokenResponse> {
        Box::pin(async {
            // The authorization server rotates at once and takes its time for the answer.
            let refresh_token = refresh_token.expose_secret().to_owned();
            if !self.world.state().spent.insert(refresh_token) {
                self.world.state().reuses += 1;
                self.world.revoke_access_tokens();
                return Err(GrantError::refused("reuse"));
            }
            let response = self.world.issue(None);
            self.world.exchange().await;
            Ok(response)
        })
    }

    fn is_interactive(&self) -> bool {
        self.world.state().is_interactive
    }

    fn dpop_key(&self) -> Option<&DpopKey> {
        self.dpop.as_ref()
    }
}

impl World {
    /// Serves `app` at `/mcp` of a loopback address to requests with an accepted token, and returns the URL.
    pub(crate) async fn serve(&self, app: Router) -> String {
        let gate = async |State(world): State<Self>, request: axum::extract::Request, next: Next| {
            let credentials = request.headers().get(header::AUTHORIZATION).cloned();
            let token = credentials.as_ref().and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
            let is_accepted = {
                let mut state = world.state();
                state.requests.push((request.uri().to_string(), credentials.clone()));
                token.is_some_and(|token| state.accepted.contains_key(token))
            };
            if is_accepted {
                return next.run(request).await;
            }
            refusal(401, "Bearer error=\"invalid_token\"").map(Body::from)
        };
        listen(app.layer(axum::middleware::from_fn_with_state(self.clone(), gate))).await
    }
}

/// Serves `app` at a loopback address, and returns the URL of `/mcp` there.
pub(crate) async fn listen(app: Router) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, app).await });
    url
}
