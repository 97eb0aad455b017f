//! rmcp's authorization client, with its default settings.

use std::{collections::HashMap, sync::Arc, time::SystemTime};

use async_trait::async_trait;
use http::StatusCode;
use portcullis_testkit::{Endpoint, IdentityProvider};
use rmcp::transport::{
    auth::{
        AuthClient, AuthError, AuthorizationManager, AuthorizationMetadata, AuthorizedHttpClient,
        CredentialRefreshGuard, CredentialStore, InMemoryCredentialStore, OAuthClientConfig, StoredCredentials,
    },
    streamable_http_client::{StreamableHttpClient as _, StreamableHttpError},
};
use serde_json::json;
use tokio::sync::Mutex;

use super::{Client, Contender, Held, McpContender, Refusal, Resource, Site, Team};

/// An `AuthClient` around the resource, with an `AuthorizationManager` of its own for each process.
pub(crate) struct Rmcp;

/// One process.
#[derive(Clone)]
pub(crate) struct Caller(AuthClient<Resource>);

impl Contender for Rmcp {
    type Client = Caller;

    async fn clients(&self, site: &Site, held: &Held, team: Team) -> Vec<Caller> {
        let store = Store {
            credentials: InMemoryCredentialStore::new(),
            turn: matches!(team, Team::Guarded(_)).then(Arc::default),
        };
        store.save(stored(held)).await.expect("saved");
        let mut callers = Vec::new();
        for _ in 0..team.size() {
            let manager = manager(&site.idp, store.clone()).await.expect("a manager");
            callers.push(Caller(AuthClient::new(Resource(Some(site.clone())), manager)));
        }
        callers
    }
}

impl Client for Caller {
    async fn call(&self) -> Result<(), Refusal> {
        let message = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        let message = serde_json::from_value(message).expect("a message");
        match self.0.post_message("resource".into(), message, None, None, HashMap::new()).await {
            Ok(_) => Ok(()),
            Err(StreamableHttpError::AuthRequired(_) | StreamableHttpError::Auth(AuthError::AuthorizationRequired)) => {
                Err(Refusal::Login)
            }
            Err(_) => Err(Refusal::Later),
        }
    }
}

impl McpContender for Rmcp {
    type Http = AuthClient<Resource>;
    type Parallel = Parallel;

    async fn http(&self, site: &Site, held: &Held) -> AuthClient<Resource> {
        self.clients(site, held, Team::One).await.remove(0).0
    }

    async fn parallel(&self, site: &Site, held: &Held) -> Parallel {
        let manager = manager_with(&site.idp, held).await.expect("a manager");
        let client = Arc::new(AuthorizedHttpClient::new(Arc::new(manager), None));
        Parallel { client, resource: site.idp.endpoint_url(Endpoint::UserInfo) }
    }
}

/// rmcp's client for HTTP requests that are not MCP, without the lock around the manager.
#[derive(Clone)]
pub(crate) struct Parallel {
    client: Arc<AuthorizedHttpClient>,
    resource: String,
}

impl Client for Parallel {
    async fn call(&self) -> Result<(), Refusal> {
        match self.client.get(&self.resource).await {
            Ok(response) if response.status() == StatusCode::OK => Ok(()),
            Err(AuthError::AuthorizationRequired) => Err(Refusal::Login),
            _ => Err(Refusal::Later),
        }
    }
}

/// Returns a manager that holds tokens in memory.
pub(crate) async fn manager_with(idp: &IdentityProvider, held: &Held) -> Result<AuthorizationManager, AuthError> {
    let store = Store { credentials: InMemoryCredentialStore::new(), turn: None };
    store.save(stored(held)).await?;
    manager(idp, store).await
}

async fn manager(idp: &IdentityProvider, store: Store) -> Result<AuthorizationManager, AuthError> {
    let mut manager = AuthorizationManager::new(idp.issuer()).await?;
    let mut metadata = AuthorizationMetadata::default();
    metadata.issuer = Some(idp.issuer());
    metadata.authorization_endpoint = idp.url("/authorize");
    metadata.token_endpoint = idp.endpoint_url(Endpoint::Token);
    manager.set_metadata(metadata);
    manager.set_credential_store(store);
    let config = OAuthClientConfig::new(IdentityProvider::CLIENT_ID, "http://127.0.0.1/callback");
    manager.configure_client(config.with_client_secret(IdentityProvider::CLIENT_SECRET))?;
    Ok(manager)
}

/// Returns the stored credential of a login. If the clock was set back, its time of receipt is in the future.
fn stored(held: &Held) -> StoredCredentials {
    let now = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970");
    let credentials = json!({
        "client_id": IdentityProvider::CLIENT_ID,
        "token_response": {
            "access_token": held.grant.access_token,
            "token_type": "bearer",
            "expires_in": held.lifetime.as_secs(),
            "refresh_token": held.grant.refresh_token,
            "scope": "openid",
        },
        "granted_scopes": ["openid"],
        "token_received_at": (now + held.put_back - held.age).as_secs(),
    });
    serde_json::from_value(credentials).expect("stored credentials")
}

/// rmcp's own store, optionally with a guard.
#[derive(Clone)]
struct Store {
    credentials: InMemoryCredentialStore,
    turn: Option<Arc<Mutex<()>>>,
}

#[async_trait]
impl CredentialStore for Store {
    async fn load(&self) -> Result<Option<StoredCredentials>, AuthError> {
        self.credentials.load().await
    }

    async fn save(&self, credentials: StoredCredentials) -> Result<(), AuthError> {
        self.credentials.save(credentials).await
    }

    async fn clear(&self) -> Result<(), AuthError> {
        self.credentials.clear().await
    }

    async fn acquire_refresh_guard(&self) -> Result<Option<CredentialRefreshGuard>, AuthError> {
        let Some(turn) = &self.turn else { return Ok(None) };
        Ok(Some(CredentialRefreshGuard::new(Arc::clone(turn).lock_owned().await)))
    }
}
