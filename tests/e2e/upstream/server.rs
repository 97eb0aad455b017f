//! [`Server`]: a protected application that calls a provider for its users.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, extract::State, routing::get};
use portcullis::{
    AuthConfig, AuthError, AuthLayer, BearerToken, CacheConfig, Issuer, ResourceUri, ScopeSet, UserContext,
    egress::{Egress, EgressConfig},
    extract::{AuthRejection, User},
    oauth::{
        ClientAuthentication, CodeVerifier,
        protected_resource::ProtectedResourceMetadata,
        providers::{AuthorizationRequest, Provider},
    },
    refresh::{GrantStore, RefreshRequest, Refresher, RefresherConfig, TokenSet},
    store::{KeyRing, MemoryStore},
    types::{AccessToken, GrantId, Reason, SystemClock},
    upstream::{ProviderClient, UpstreamLayer},
    verify::Cache,
};
use reqwest::{Client, Response, StatusCode};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinHandle};
use tower::{Layer as _, ServiceExt as _, service_fn};
use url::Url;

use crate::harness::{REDIRECT_URI, code};

/// What the clients of the server present. It is good whatever becomes of the provider's tokens.
const OURS: &str = "a-token-of-this-server";

const GRANT: GrantId = GrantId::from_bytes([7; 16]);

/// A provider's application, as the provider knows it.
#[derive(Clone, Copy)]
pub(crate) struct Application {
    pub(crate) client_id: &'static str,
    pub(crate) client_secret: &'static str,
    pub(crate) scopes: &'static str,
}

/// A protected application with one user, whose every request calls the provider.
pub(crate) struct Server {
    pub(crate) client: ProviderClient,
    pub(crate) refresher: Refresher,
    pub(crate) router: Router,
    url: String,
    verified: Arc<AtomicUsize>,
    server: JoinHandle<()>,
}

impl Server {
    /// Its user has yet to log in.
    pub(crate) async fn start(issuer: &str, app: Application) -> Self {
        let clock = Arc::new(SystemClock::new());
        let config = EgressConfig::new().with_loopback_allowed();
        let egress = Egress::new(config.with_timeout(Duration::from_secs(20))).expect("a way out");
        let issuer = Issuer::new(issuer).expect("an issuer");
        let metadata = portcullis::verify::discover(&egress, &issuer).await.expect("its metadata");
        let userinfo = metadata.userinfo_endpoint().expect("an endpoint").to_string();
        let provider = Provider::oidc(&metadata).expect("a provider");
        let app = ClientAuthentication::basic(app.client_id, app.client_secret.into());
        let client = ProviderClient::new(provider, app, egress).with_clock(clock.clone());

        let vault = GrantStore::new(Arc::new(MemoryStore::new().with_clock(clock.clone())), KeyRing::ephemeral())
            .expect("a vault");
        let config = RefresherConfig::for_provider(client.provider()).with_refresh_timeout(Duration::from_secs(25));
        let refresher = Refresher::new(vault, client.clone(), config.with_clock(clock));

        let (verified, ours) = (Arc::<AtomicUsize>::default(), refresher.clone());
        let own = service_fn({
            let verified = Arc::clone(&verified);
            move |token: BearerToken| {
                verified.fetch_add(1, Ordering::Relaxed);
                std::future::ready(whose(&token, &ours))
            }
        });
        let verifier = UpstreamLayer::new(client.profile_verifier()).layer(own);
        let verifier = Cache::around(verifier, CacheConfig::new());
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let resource = ResourceUri::new(&format!("{url}/mcp")).expect("a resource");
        let metadata = ProtectedResourceMetadata::new(resource, Issuer::new(&url).expect("an issuer"));
        let calls = Arc::new(Calls { userinfo, http: Client::new(), at_once: Semaphore::new(32) });
        let app = Router::new().route("/mcp", get(profile)).with_state(calls);
        let router = app.layer(AuthLayer::new(AuthConfig::new(metadata, verifier)));
        let served = router.clone();
        let server = tokio::spawn(async { axum::serve(listener, served).await.expect("it serves for ever") });
        Self { client, refresher, router, url, verified, server }
    }

    /// The user logs in at the provider, with these cookies, and allows what is asked for. What came of it.
    pub(crate) async fn log_in(
        &self,
        app: Application,
        parameters: &[(&'static str, &'static str)],
        cookies: HashMap<String, String>,
    ) -> TokenSet {
        let verifier = CodeVerifier::new(rand::random());
        let scopes = ScopeSet::parse(app.scopes).expect("scopes");
        let request = AuthorizationRequest::new(app.client_id, REDIRECT_URI, "state", &verifier);
        let request = request.with_scopes(&scopes).with_nonce("nonce");
        let request = parameters.iter().fold(request, |request, (name, value)| request.with_parameter(name, value));
        let start = self.client.provider().authorization_url(&request);
        let code = code(Url::parse(&start).expect("a URL"), cookies).await;
        let tokens = self.client.exchange_code(&code.into(), REDIRECT_URI, &verifier, &scopes).await.expect("tokens");
        self.take_over(tokens.clone()).await;
        tokens
    }

    /// The user has logged in elsewhere.
    pub(crate) async fn take_over(&self, tokens: TokenSet) {
        self.refresher.create(GRANT, tokens).await.expect("a new grant");
    }

    /// A request of the user, over the network.
    pub(crate) async fn ask(&self) -> Response {
        let request = Client::new().get(format!("{}/mcp", self.url)).bearer_auth(OURS);
        request.send().await.expect("an answer")
    }

    /// Sends `count` requests at once.
    pub(crate) async fn ask_at_once(&self, count: usize) -> Vec<StatusCode> {
        let requests = (0..count).map(|_| {
            let request = http::Request::get("/mcp").header("authorization", format!("Bearer {OURS}"));
            let request = request.body(Body::empty()).expect("a request");
            let router = self.router.clone();
            tokio::spawn(async move { router.oneshot(request).await.expect("infallible").status() })
        });
        futures_util::future::join_all(requests.collect::<Vec<_>>())
            .await
            .into_iter()
            .map(|status| status.expect("no panic"))
            .collect()
    }

    /// How often the token of the user was verified, and not remembered.
    pub(crate) fn verified(&self) -> usize {
        self.verified.load(Ordering::Relaxed)
    }

    /// The token that a handler gets now.
    pub(crate) async fn token(&self) -> Result<AccessToken, AuthError> {
        self.refresher.upstream(GRANT).access_token().await
    }

    /// All tokens of the user.
    pub(crate) async fn tokens(&self) -> Result<Arc<TokenSet>, AuthError> {
        self.refresher.clone().oneshot(RefreshRequest::new(GRANT)).await
    }

    /// Where its metadata is.
    pub(crate) fn metadata(&self) -> String {
        format!("{}/.well-known/oauth-protected-resource/mcp", self.url)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn whose(token: &BearerToken, refresher: &Refresher) -> Result<Arc<UserContext>, AuthError> {
    if token.expose_secret() != OURS {
        return Err(AuthError::new(Reason::Inactive));
    }
    let issuer = Issuer::new("https://this-server.example.test").expect("an issuer");
    Ok(Arc::new(UserContext::builder(issuer, "alice").with_upstream(refresher.upstream(GRANT)).build()))
}

struct Calls {
    userinfo: String,
    http: Client,
    at_once: Semaphore,
}

/// What the provider says of the user: a handler as every other, which asks for a token when it needs it.
async fn profile(user: User, State(calls): State<Arc<Calls>>) -> Result<String, AuthRejection> {
    let _turn = calls.at_once.acquire().await.expect("it is never closed");
    let call = async |token: &AccessToken| {
        let request = calls.http.get(&calls.userinfo).header("authorization", token.authorization());
        request.send().await.map_err(|error| AuthError::new(Reason::ProviderUnavailable).with_source(error))
    };
    let token = user.upstream().access_token().await?;
    let mut answer = call(&token).await?;
    if answer.status() == StatusCode::UNAUTHORIZED {
        let token = user.upstream().rejected(&token).await?;
        answer = call(&token).await?;
    }
    assert_eq!(answer.status(), StatusCode::OK);
    Ok(answer.text().await.expect("text"))
}
