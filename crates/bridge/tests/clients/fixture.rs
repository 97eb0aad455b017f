//! [`Fixture`]: a bridge, a provider and a host of client metadata documents, without sockets.

use portcullis_bridge::collections;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use portcullis_bridge::{Bridge, BridgeConfig, ClientMetadataDocumentPolicy};
use portcullis_core::{Issuer, ResourceUri, ScopeSet};
use portcullis_egress::Egress;
use portcullis_oauth::{ClientAuthentication, providers::Provider};
use portcullis_refresh::GrantStore;
use portcullis_store::{KeyRing, MemoryStore, SealedStore, Store as _};
use portcullis_test_support::{Answer, Call, Endpoint, IdentityProvider, Network, OAuthClient, TestClock};
use portcullis_upstream::ProviderClient;
use serde_json::{Value, json};

use crate::document_host::DocumentHost;

pub(crate) const ISSUER: &str = "https://mcp.example.test";

pub(crate) struct Fixture {
    pub(crate) idp: IdentityProvider,
    pub(crate) clock: TestClock,
    pub(crate) host: DocumentHost,
    pub(crate) rows: MemoryStore,
    keys: KeyRing,
    pub(crate) network: Network,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with(|config| config)
    }

    /// Creates a bridge with a minimal configuration that `change` extends.
    pub(crate) fn with(change: impl FnOnce(BridgeConfig) -> BridgeConfig) -> Self {
        let clock = TestClock::new();
        let idp = IdentityProvider::new().with_clock(Arc::new(clock.clone()));
        let rows = MemoryStore::new().with_clock(Arc::new(clock.clone()));
        let network = Network::new();
        let fixture = Self { idp, clock, host: DocumentHost::new(), rows, keys: KeyRing::ephemeral(), network };
        fixture.restarted(change)
    }

    pub(crate) fn with_documents(policy: ClientMetadataDocumentPolicy) -> Self {
        Self::with(|config| config.with_documents(policy))
    }

    /// Creates another process with the same store, configured by `change`.
    pub(crate) fn restarted(self, change: impl FnOnce(BridgeConfig) -> BridgeConfig) -> Self {
        let outside = self.host.joins(Network::new().with_provider(&self.idp));
        let bridge = self.bridge(change(config()), Egress::from_service(outside.clone()));
        let network = outside.with_service(ISSUER, bridge.router());
        Self { network, ..self }
    }

    fn bridge(&self, config: BridgeConfig, documents: Egress) -> Bridge {
        let clock = || Arc::new(self.clock.clone());
        let at = |endpoint| self.idp.endpoint_url(endpoint).parse().expect("a URI");
        let issuer = Issuer::new(&self.idp.issuer()).expect("an issuer");
        let provider = Provider::oidc_at(issuer, at(Endpoint::Authorization), at(Endpoint::Token))
            .with_userinfo_endpoint(at(Endpoint::UserInfo))
            .with_jwks_uri(at(Endpoint::KeySet));
        let secret = ClientAuthentication::basic(IdentityProvider::CLIENT_ID, IdentityProvider::CLIENT_SECRET.into());
        let provider =
            ProviderClient::new(provider, secret, Egress::from_service(self.idp.clone())).with_clock(clock());
        let vault =
            GrantStore::new(Arc::new(MemoryStore::new().with_clock(clock())), self.keys.clone()).expect("not durable");
        let records = SealedStore::new(Arc::new(self.rows.clone()), self.keys.clone()).expect("not durable");
        Bridge::builder(config, provider, documents).with_clock(clock()).build(vault, records)
    }

    /// Creates a bridge that fetches documents with `documents`.
    pub(crate) fn with_egress(policy: ClientMetadataDocumentPolicy, documents: Egress) -> Self {
        let fixture = Self::new();
        let bridge = fixture.bridge(config().with_documents(policy), documents);
        Self { network: Network::new().with_service(ISSUER, bridge.router()), ..fixture }
    }

    /// Returns a client with the bridge's metadata.
    pub(crate) async fn client(&self, id: &str) -> OAuthClient {
        OAuthClient::discover(&self.network, ISSUER).await.expect("metadata").with_client_id(id)
    }

    /// Returns whether the token endpoint knows the public client `id`.
    pub(crate) async fn outcome(&self, id: &str) -> Outcome {
        Outcome::of(nothing(&self.client(id).await)).await
    }

    /// Registers a client with `metadata`.
    pub(crate) async fn register(&self, metadata: &Value) -> Answer {
        let mut client = self.client("").await;
        client.register(metadata).await.expect("a response")
    }

    /// Returns whether the consent page appears for the client `id` with `redirect_uri`.
    pub(crate) async fn sends_codes_to(&self, id: &str, redirect_uri: &str) -> bool {
        let client = self.client(id).await.with_redirect_uri(redirect_uri);
        let url = client.authorization().expect("an endpoint").url();
        let request = Request::get(url).body(Bytes::new()).expect("a request");
        let answer = self.network.send(request).await.expect("a response");
        let is_asked = answer.status() == 200;
        assert!(is_asked || answer.status() == 400, "{}", answer.status());
        assert!(!answer.headers().contains_key("location"));
        is_asked
    }

    /// Returns the number of stored documents.
    pub(crate) async fn documents(&self) -> u64 {
        self.rows.count(collections::DOCUMENTS).await.expect("memory")
    }

    /// Returns the number of stored registrations.
    pub(crate) async fn stored(&self) -> u64 {
        self.rows.count(collections::CLIENTS).await.expect("memory")
    }
}

fn config() -> BridgeConfig {
    let resource = ResourceUri::new("https://mcp.example.test/mcp").expect("a resource");
    BridgeConfig::new(Issuer::new(ISSUER).expect("an issuer"), resource)
        .with_scopes(ScopeSet::parse("mcp:read mcp:write").expect("scopes"))
        .with_upstream_scopes(ScopeSet::parse("openid offline_access").expect("scopes"))
}

/// Returns minimal metadata of a public client.
pub(crate) fn metadata(redirect_uri: &str) -> Value {
    json!({"redirect_uris": [redirect_uri], "token_endpoint_auth_method": "none"})
}

/// Returns `metadata` with a changed member, or without it for `null`.
pub(crate) fn with(metadata: &Value, member: &str, value: &Value) -> Value {
    let mut metadata = metadata.clone();
    let members = metadata.as_object_mut().expect("an object");
    if value.is_null() {
        members.remove(member);
    } else {
        members.insert(member.to_owned(), value.clone());
    }
    metadata
}

/// Returns a token request of `client` that fails after client authentication.
pub(crate) fn nothing(client: &OAuthClient) -> Call {
    client.token("authorization_code").with("code", "pcac_nothing").with("code_verifier", "unknown-verifier")
}

/// The outcome of client authentication.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// The client was authenticated.
    Known,
    /// Authentication failed: 401.
    Refused,
    /// Several methods, or an unknown one: 400.
    Malformed,
    /// The credentials could not be verified: 503.
    Unavailable,
}

impl Outcome {
    /// Returns the outcome of [`nothing`].
    pub(crate) async fn of(call: Call) -> Self {
        let answer = call.await.expect("a response");
        match (answer.status().as_u16(), answer.error()) {
            (400, Some("invalid_grant")) => Self::Known,
            (401, Some("invalid_client")) => Self::Refused,
            (400, Some("invalid_request")) => Self::Malformed,
            (503, Some("temporarily_unavailable")) => {
                assert!(answer.headers().contains_key("retry-after"));
                Self::Unavailable
            }
            other => unreachable!("{other:?}"),
        }
    }
}
