//! [`ClientLayer`]: the token manager of the client layer as a contender, with its layer around the requests.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode};
use portcullis::{
    Issuer, ResourceUri, ScopeSet,
    client::{
        AcquireError, Binding, ClientError, Grant, GrantError, GrantFuture, TokenEndpoint, TokenLayer, TokenManager,
        TokenService, adapters::RmcpClient,
    },
    egress::Egress,
    oauth::{ClientAuthentication, TokenRequest, TokenResponse},
    refresh::{GrantRecord, GrantStore, TokenSet},
    store::{KeyRing, MemoryStore},
    types::{Challenge, Clock},
};
use portcullis_testkit::{Endpoint, IdentityProvider};
use secrecy::SecretString;
use tower::{Layer as _, ServiceExt as _};

use super::{
    super::fixture::{endpoint, token_response},
    Client, Contender, Held, McpContender, Refusal, Resource, Site, Team,
};

/// The client layer, as it comes.
pub(crate) struct ClientLayer;

/// An HTTP client with the layer around it.
#[derive(Clone)]
pub(crate) struct Caller {
    service: TokenService<Egress>,
    request: Request<Bytes>,
}

/// The tokens of a user who has logged in, and does not log in again.
#[derive(Debug)]
struct LoggedIn {
    binding: Binding,
    endpoint: TokenEndpoint,
}

impl Contender for ClientLayer {
    type Client = Caller;

    /// Every store lets one refresh at a time.
    async fn clients(&self, site: &Site, held: &Held, team: Team) -> Vec<Caller> {
        let store = store(site, held).await;
        let managers: Vec<_> = (0..team.size()).map(|_| manager(site, store.clone())).collect();
        if !held.put_back.is_zero() {
            for manager in &managers {
                // It holds the tokens once it has read them.
                manager.acquire().await.expect("tokens that work");
            }
            site.clock.step_back(held.put_back);
        }
        managers.into_iter().map(|manager| Caller::new(site, manager)).collect()
    }
}

impl McpContender for ClientLayer {
    type Http = RmcpClient<Resource>;
    type Parallel = Caller;

    async fn http(&self, site: &Site, held: &Held) -> RmcpClient<Resource> {
        RmcpClient::new(Resource(Some(site.clone())), manager(site, store(site, held).await))
    }

    async fn parallel(&self, site: &Site, held: &Held) -> Caller {
        Caller::new(site, manager(site, store(site, held).await))
    }
}

impl Caller {
    pub(crate) fn new(site: &Site, manager: TokenManager) -> Self {
        let request = Request::get(endpoint(&site.idp, Endpoint::UserInfo)).body(Bytes::new()).expect("a request");
        Self { service: TokenLayer::new(manager).layer(site.egress.clone()), request }
    }
}

/// Returns a store with the tokens.
pub(crate) async fn store(site: &Site, held: &Held) -> GrantStore {
    let clock: Arc<dyn Clock> = Arc::new(site.clock.clone());
    let store = MemoryStore::new().with_clock(clock);
    let store = GrantStore::new(Arc::new(store), KeyRing::ephemeral()).expect("a store");
    let mut login = token_response(&held.grant);
    login.expires_in = Some(held.lifetime);
    let tokens = TokenSet::from_login(login, &ScopeSet::default(), site.received_at(held));
    let binding = binding(&site.idp);
    let record = GrantRecord::new(binding.issuer.clone(), Arc::new(tokens));
    store.create(binding.grant_id("refresh_token"), &record).await.expect("a new grant");
    store
}

/// Returns the manager of a process.
pub(crate) fn manager(site: &Site, store: GrantStore) -> TokenManager {
    let clock: Arc<dyn Clock> = Arc::new(site.clock.clone());
    let client = ClientAuthentication::basic(IdentityProvider::CLIENT_ID, IdentityProvider::CLIENT_SECRET.into());
    let (binding, url) = (binding(&site.idp), endpoint(&site.idp, Endpoint::Token));
    let endpoint = TokenEndpoint::at(site.egress.clone(), binding.issuer.clone(), url, client);
    let grant = LoggedIn { binding, endpoint: endpoint.with_clock(Arc::clone(&clock)) };
    TokenManager::builder(grant).with_store(store).with_clock(clock).build()
}

impl Client for Caller {
    async fn call(&self) -> Result<(), Refusal> {
        match self.service.clone().oneshot(self.request.clone()).await {
            Ok(response) if response.status() == StatusCode::OK => Ok(()),
            Ok(_) | Err(ClientError::Token(AcquireError::ReauthRequired(_))) => Err(Refusal::Login),
            Err(_) => Err(Refusal::Later),
        }
    }
}

fn binding(idp: &IdentityProvider) -> Binding {
    let resource = endpoint(idp, Endpoint::UserInfo).to_string();
    let resource = ResourceUri::new(&resource).expect("a resource");
    Binding::new(resource, Issuer::new(&idp.issuer()).expect("an issuer"), IdentityProvider::CLIENT_ID)
}

impl Grant for LoggedIn {
    fn resource(&self) -> &ResourceUri {
        &self.binding.resource
    }

    fn name(&self) -> &'static str {
        "refresh_token"
    }

    fn resolve<'a>(&'a self, _: Option<&'a Challenge>) -> GrantFuture<'a, Binding> {
        Box::pin(async { Ok(self.binding.clone()) })
    }

    fn obtain<'a>(&'a self, _: &'a Binding, _: &'a ScopeSet) -> GrantFuture<'a, TokenResponse> {
        Box::pin(async { Err(GrantError::refused("no user is here to log in")) })
    }

    fn refresh<'a>(&'a self, _: &'a Binding, refresh_token: &'a SecretString) -> GrantFuture<'a, TokenResponse> {
        Box::pin(async { self.endpoint.request(&TokenRequest::refresh_token(refresh_token)).await })
    }

    fn is_interactive(&self) -> bool {
        true
    }
}
