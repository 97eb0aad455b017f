//! [`World`]: an MCP server and an authorization server on loopback, and a browser that logs in by itself.

use std::{
    collections::BTreeMap,
    error::Error as _,
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{StatusCode, header};
use portcullis_client::{
    Binding, Challenge, Grant as _, GrantError, Issuer, McpLogin, ResourceUri, ScopeSet, UserAgent,
};
use portcullis_egress::{Egress, EgressConfig};
use portcullis_oauth::{TokenResponse, registration::ClientMetadata};
use portcullis_test_support::{Endpoint, IdentityProvider, LoginPolicy, Network, RunningIdentityProvider};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::form_urlencoded;

pub(crate) const PATH_INSERTED: &str = "/.well-known/oauth-protected-resource/mcp";
pub(crate) const ROOT: &str = "/.well-known/oauth-protected-resource";

/// An MCP server, of which only the documents matter, and its authorization server.
pub(crate) struct World {
    pub(crate) site: Site,
    pub(crate) provider: IdentityProvider,
    pub(crate) browser: Browser,
    _running: RunningIdentityProvider,
}

impl World {
    pub(crate) async fn new() -> Self {
        let (provider, running) = authorization_server().await;
        let site = Site::new().await;
        site.describe(PATH_INSERTED, &site.url("/mcp"), &[&provider.issuer()]);
        Self { site, provider, browser: Browser::default(), _running: running }
    }

    pub(crate) fn resource(&self) -> ResourceUri {
        ResourceUri::new(&self.site.url("/mcp")).expect("as arranged")
    }

    /// A grant of a client that is registered nowhere yet.
    pub(crate) fn grant(&self) -> McpLogin {
        self.grant_with(self.browser.agent())
    }

    pub(crate) fn grant_with(&self, agent: UserAgent) -> McpLogin {
        McpLogin::new(self.resource(), ClientMetadata::new("Test client"), agent, egress())
    }

    /// The parameters of the last authorization request.
    pub(crate) fn authorization(&self) -> BTreeMap<String, String> {
        authorization(&self.provider)
    }

    /// The parameters of the last token request.
    pub(crate) fn token_request(&self) -> BTreeMap<String, String> {
        parameters(self.provider.last_request(Endpoint::Token).expect("a token request").body())
    }

    /// The last registration request.
    pub(crate) fn registration(&self) -> Value {
        let request = self.provider.last_request(Endpoint::Registration).expect("a registration");
        serde_json::from_slice(request.body()).expect("as arranged")
    }
}

/// An authorization server where clients register and users are logged in without a page.
pub(crate) async fn authorization_server() -> (IdentityProvider, RunningIdentityProvider) {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("as arranged");
    provider.open_registration();
    provider.set_metadata("token_endpoint_auth_methods_supported", json!(["none", "client_secret_basic"]));
    provider.set_login_policy(LoginPolicy::new().with_auto_login("alice"));
    (provider, running)
}

pub(crate) fn authorization(provider: &IdentityProvider) -> BTreeMap<String, String> {
    let request = provider.last_request(Endpoint::Authorization).expect("an authorization request");
    parameters(request.uri().query().unwrap_or_default().as_bytes())
}

pub(crate) fn parameters(form: &[u8]) -> BTreeMap<String, String> {
    form_urlencoded::parse(form).into_owned().collect()
}

pub(crate) fn egress() -> Egress {
    Egress::new(EgressConfig::new().with_loopback_allowed()).expect("as arranged")
}

pub(crate) fn issuer(provider: &IdentityProvider) -> Issuer {
    Issuer::new(&provider.issuer()).expect("as arranged")
}

pub(crate) fn scopes(text: &str) -> ScopeSet {
    ScopeSet::parse(text).expect("as arranged")
}

/// Resolves the binding without a challenge, and logs in.
pub(crate) async fn log_in(grant: &McpLogin) -> Result<(Binding, TokenResponse), GrantError> {
    log_in_after(grant, None, "").await
}

pub(crate) async fn log_in_after(
    grant: &McpLogin,
    challenge: Option<&Challenge>,
    asked: &str,
) -> Result<(Binding, TokenResponse), GrantError> {
    let binding = grant.resolve(challenge).await?;
    let tokens = grant.obtain(&binding, &scopes(asked)).await?;
    Ok((binding, tokens))
}

/// All causes of an error, as one text.
#[track_caller]
pub(crate) fn causes<T: std::fmt::Debug>(outcome: Result<T, GrantError>) -> String {
    let error = outcome.expect_err("an error");
    let mut text = error.to_string();
    let mut cause = error.cause().source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// A server with documents, which counts the requests. Clones are the same server.
#[derive(Clone)]
pub(crate) struct Site {
    origin: String,
    state: Arc<Mutex<SiteState>>,
}

#[derive(Default)]
pub(crate) struct SiteState {
    pub(crate) documents: BTreeMap<String, (StatusCode, String)>,
    pub(crate) cache_control: Option<String>,
    /// The paths of the requests.
    pub(crate) requests: Vec<String>,
}

impl Site {
    pub(crate) async fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("as arranged");
        let origin = format!("http://{}", listener.local_addr().expect("as arranged"));
        let state = Arc::default();
        let app = Router::new().fallback(respond).with_state(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { origin, state }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, SiteState> {
        self.state.lock().expect("as arranged")
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    /// Publishes metadata of `resource` at `path`.
    pub(crate) fn describe(&self, path: &str, resource: &str, issuers: &[&str]) {
        self.publish(path, 200, &json!({"resource": resource, "authorization_servers": issuers}));
    }

    pub(crate) fn publish(&self, path: &str, status: u16, document: &Value) {
        let status = StatusCode::from_u16(status).expect("as arranged");
        self.state().documents.insert(path.to_owned(), (status, document.to_string()));
    }

    pub(crate) fn withdraw(&self, path: &str) {
        self.state().documents.remove(path);
    }

    /// Returns the paths of the requests since the last call.
    pub(crate) fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state().requests)
    }

    /// A challenge that names the metadata at `path`.
    pub(crate) fn challenge(&self, path: &str) -> Challenge {
        Challenge::bearer().with("resource_metadata", &self.url(path))
    }
}

async fn respond(State(state): State<Arc<Mutex<SiteState>>>, request: Request) -> Response {
    let mut state = state.lock().expect("as arranged");
    let path = request.uri().path().to_owned();
    let (status, body) = state.documents.get(&path).cloned().unwrap_or((StatusCode::NOT_FOUND, String::new()));
    state.requests.push(path);
    let mut response = (status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
    if let Some(cache_control) = &state.cache_control {
        response.headers_mut().insert(header::CACHE_CONTROL, cache_control.parse().expect("as arranged"));
    }
    response
}

/// A browser that follows the redirect of the authorization server by itself. Clones are the same browser.
#[derive(Clone, Default)]
pub(crate) struct Browser(Arc<Mutex<BrowserState>>);

#[derive(Default)]
pub(crate) struct BrowserState {
    /// The URLs that it was opened with.
    pub(crate) opened: Vec<String>,
    /// The last page of each login.
    pub(crate) pages: Vec<(StatusCode, String)>,
    /// URLs that another website sends it to before it arrives, relative to the redirect URI.
    pub(crate) before: Vec<String>,
}

impl Browser {
    pub(crate) fn state(&self) -> MutexGuard<'_, BrowserState> {
        self.0.lock().expect("as arranged")
    }

    pub(crate) fn agent(&self) -> UserAgent {
        let browser = self.clone();
        UserAgent::loopback(move |url| {
            browser.state().opened.push(url.to_owned());
            tokio::spawn(browser.clone().visit(url.to_owned()));
            Ok(())
        })
    }

    async fn visit(self, url: String) {
        let redirect = get(&url).await;
        let Some(location) = redirect.headers().get(header::LOCATION) else { return };
        let location = location.to_str().expect("as arranged").to_owned();
        let before = self.state().before.clone();
        for query in before {
            let base = location.split('?').next().expect("as arranged");
            let page = get(&format!("{base}{query}")).await;
            self.keep(&page);
        }
        let page = get(&location).await;
        self.keep(&page);
    }

    fn keep(&self, page: &http::Response<Bytes>) {
        let text = String::from_utf8(page.body().to_vec()).expect("as arranged");
        self.state().pages.push((page.status(), text));
    }

    /// Waits until `count` pages have been shown.
    pub(crate) async fn pages(&self, count: usize) -> Vec<(StatusCode, String)> {
        while self.state().pages.len() < count {
            tokio::task::yield_now().await;
        }
        self.state().pages.clone()
    }
}

pub(crate) async fn get(url: &str) -> http::Response<Bytes> {
    Network::new().send(http::Request::get(url).body(Bytes::new()).expect("as arranged")).await.expect(url)
}
