//! rmcp's authorization client, with its default settings.

use std::{
    collections::HashMap,
    error::Error,
    hint::black_box,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use http::{HeaderName, HeaderValue, StatusCode};
use portcullis::egress::EgressError;
use portcullis_testkit::{Endpoint, IdentityProvider};
use rmcp::{
    model::ClientJsonRpcMessage,
    transport::{
        auth::{
            AuthClient, AuthError, AuthorizationManager, AuthorizationMetadata, CredentialRefreshGuard,
            CredentialStore, InMemoryCredentialStore, OAuthClientConfig, StoredCredentials,
        },
        streamable_http_client::{
            AuthRequiredError, SseError, StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse,
        },
    },
};
use serde_json::json;
use sse_stream::Sse;
use tokio::sync::Mutex;

use crate::load::contention::{Client, Contender, Held, Refusal, Site, Team};

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
        match self.0.post_message("resource".into(), message(), None, None, HashMap::new()).await {
            Ok(_) => Ok(()),
            Err(StreamableHttpError::AuthRequired(_) | StreamableHttpError::Auth(AuthError::AuthorizationRequired)) => {
                Err(Refusal::Login)
            }
            Err(_) => Err(Refusal::Later),
        }
    }
}

/// An `AuthClient` with a fresh token in memory, around a resource that answers at once.
pub(crate) struct Fresh {
    client: AuthClient<Resource>,
    url: Arc<str>,
    message: ClientJsonRpcMessage,
}

impl Fresh {
    pub(crate) async fn new() -> Result<Self, Box<dyn Error>> {
        let idp = IdentityProvider::new();
        let store = Store { credentials: InMemoryCredentialStore::new(), turn: None };
        let held = Held {
            grant: idp.issue_grant("alice", "openid"),
            age: Duration::ZERO,
            lifetime: Duration::from_secs(3600),
            put_back: Duration::ZERO,
        };
        store.save(stored(&held)).await?;
        let client = AuthClient::new(Resource(None), manager(&idp, store).await?);
        Ok(Self { client, url: "https://mcp.example.test/mcp".into(), message: message() })
    }

    pub(crate) async fn access_token(&self) {
        black_box(self.client.get_access_token().await.expect("a fresh token"));
    }

    /// Sends a message with the token.
    pub(crate) async fn post(&self) {
        post(&self.client, self, None).await;
    }

    /// Sends the same message with a token that is at hand.
    pub(crate) async fn post_with(&self, token: &str) {
        post(&Resource(None), self, Some(token.to_owned())).await;
    }
}

async fn post<C: StreamableHttpClient>(client: &C, fresh: &Fresh, token: Option<String>) {
    let (url, message) = (Arc::clone(&fresh.url), fresh.message.clone());
    let posted = client.post_message(url, message, None, token, HashMap::new()).await;
    assert!(matches!(black_box(posted), Ok(StreamableHttpPostResponse::Accepted)));
}

fn message() -> ClientJsonRpcMessage {
    let message = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    serde_json::from_value(message).expect("a message")
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

/// The resource, in place of an MCP server. Without a site it accepts every message at once.
#[derive(Clone)]
struct Resource(Option<Site>);

type Refused = StreamableHttpError<EgressError>;

impl StreamableHttpClient for Resource {
    type Error = EgressError;

    async fn post_message(
        &self,
        _: Arc<str>,
        _: ClientJsonRpcMessage,
        _: Option<Arc<str>>,
        access_token: Option<String>,
        _: HashMap<HeaderName, HeaderValue>,
    ) -> Result<StreamableHttpPostResponse, Refused> {
        let Some(site) = &self.0 else { return Ok(StreamableHttpPostResponse::Accepted) };
        let status = site.call_resource(&access_token.unwrap_or_default()).await;
        match status.map_err(StreamableHttpError::Client)? {
            StatusCode::OK => Ok(StreamableHttpPostResponse::Accepted),
            _ => {
                Err(StreamableHttpError::AuthRequired(AuthRequiredError::new("Bearer error=\"invalid_token\"".into())))
            }
        }
    }

    async fn delete_session(
        &self,
        _: Arc<str>,
        _: Arc<str>,
        _: Option<String>,
        _: HashMap<HeaderName, HeaderValue>,
    ) -> Result<(), Refused> {
        Err(StreamableHttpError::ServerDoesNotSupportDeleteSession)
    }

    async fn get_stream(
        &self,
        _: Arc<str>,
        _: Option<Arc<str>>,
        _: Option<String>,
        _: Option<String>,
        _: HashMap<HeaderName, HeaderValue>,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, Refused> {
        Err(StreamableHttpError::ServerDoesNotSupportSse)
    }
}
