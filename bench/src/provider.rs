//! Identity providers on loopback, realistic tokens, and authentication layers for them.

use std::{error::Error, time::Duration};

use portcullis::{
    AuthConfig, CacheConfig, DefaultVerifier, ResourceServer, ResourceUri,
    egress::EgressConfig,
    oauth::{ClientAuthentication, protected_resource::ProtectedResourceMetadata},
    types::Issuer,
};
use portcullis_testkit::{IdentityProvider, RunningIdentityProvider, TokenBuilder};
use serde_json::json;

/// An opaque token and a JWT, each with an invalid counterpart.
pub(crate) struct Tokens {
    /// 45 bytes.
    pub(crate) opaque: String,
    /// 1274 bytes, RS256, as Keycloak issues them.
    pub(crate) jwt: String,
    /// An opaque token that was not issued.
    pub(crate) bad_opaque: String,
    /// A JWT with the signature of another token.
    pub(crate) bad_jwt: String,
}

/// Two identity providers on the loopback: one issues JWTs, one opaque tokens.
pub(crate) struct Providers {
    /// Issues JWTs and publishes its key.
    pub(crate) jwt: IdentityProvider,
    /// Issues opaque tokens and answers for them.
    pub(crate) opaque: IdentityProvider,
    _running: [RunningIdentityProvider; 2],
}

impl Providers {
    /// Starts the providers.
    pub(crate) async fn start() -> Result<Self, Box<dyn Error>> {
        let (jwt, opaque) = (IdentityProvider::new(), IdentityProvider::new());
        let running = [jwt.serve().await?, opaque.serve().await?];
        Ok(Self { jwt, opaque, _running: running })
    }

    /// Issues tokens.
    pub(crate) fn tokens(&self) -> Tokens {
        let jwt = keycloak_like(self.jwt.token("f3b1c9e2-4a7d-4f0e-9c55-1d2e8a6b7c90"), 1274);
        let other = keycloak_like(self.jwt.token("another-user"), 1274);
        let (message, _) = jwt.rsplit_once('.').expect("a JWT");
        let (_, signature) = other.rsplit_once('.').expect("a JWT");
        Tokens {
            bad_jwt: format!("{message}.{signature}"),
            bad_opaque: format!("o_{}", "x".repeat(43)),
            opaque: self.opaque.token("alice").with_scope("mcp:use").opaque(),
            jwt,
        }
    }

    /// Creates an authentication layer as in the quick start, with cache entries that outlive the benchmark.
    pub(crate) fn config(&self) -> Result<AuthConfig<DefaultVerifier>, Box<dyn Error>> {
        let client =
            ClientAuthentication::basic(IdentityProvider::CLIENT_ID, IdentityProvider::CLIENT_SECRET.to_owned().into());
        let config = ResourceServer::new(IdentityProvider::AUDIENCE)?
            .with_jwt_issuer(&self.jwt.issuer())?
            .with_introspection_issuer(&self.opaque.issuer(), client)?
            .with_egress(EgressConfig::new().with_loopback_allowed())
            .with_cache(CacheConfig::new().with_ttl(Duration::from_hours(1)))
            .build()?;
        Ok(config)
    }
}

/// Returns the protected resource metadata for the audience of the identity providers.
pub(crate) fn metadata() -> Result<ProtectedResourceMetadata, Box<dyn Error>> {
    let resource = ResourceUri::new(IdentityProvider::AUDIENCE)?;
    Ok(ProtectedResourceMetadata::new(resource, Issuer::new(IdentityProvider::ISSUER)?))
}

/// Returns a JWT with the claims of Keycloak and a length of `length` bytes.
fn keycloak_like(token: TokenBuilder, length: usize) -> String {
    let token = token
        .with_lifetime(Duration::from_hours(1))
        .with_scope("openid profile email mcp:use")
        .with_claim("azp", "mcp-client")
        .with_claim("sid", "6f1c1a52-8e0b-4f3e-9f0c-2f4f3d1f7a11")
        .with_claim("acr", "1")
        .with_claim("allowed-origins", json!(["https://client.example.test"]))
        .with_claim("realm_access", json!({"roles": ["default-roles-main", "offline_access", "uma_authorization"]}))
        .with_claim("resource_access", json!({"account": {"roles": ["manage-account", "view-profile"]}}))
        .with_claim("email_verified", true)
        .with_claim("name", "Alice Example")
        .with_claim("preferred_username", "alice")
        .with_claim("email", "alice@example.test");
    let padded = |padding: usize| token.clone().with_claim("session_state", "0".repeat(padding)).jwt();
    // Base64 encodes three bytes as four, so the length may differ by one.
    let missing = length.saturating_sub(padded(0).len()) / 4 * 3;
    (0..8).map(|more| padded(missing + more)).find(|jwt| jwt.len() >= length).expect("padding makes it longer")
}
