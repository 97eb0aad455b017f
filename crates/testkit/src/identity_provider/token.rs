//! [`TokenBuilder`]: a token about to be issued, valid or forged; and the claims of ID tokens.

use std::{fmt, time::Duration};

use aws_lc_rs::{
    digest::{SHA256, SHA512, digest},
    hmac,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use super::{
    IdentityProvider, KeyAlgorithm,
    grants::{GrantedTokens, random},
    keys::compact,
    state::State,
};

/// A token about to be issued; made by [`IdentityProvider::token`], [`IdentityProvider::id_jag`], or at a login.
///
/// By default the token is valid. An access token has all claims of [RFC 9068 section 2.2](https://www.rfc-editor.org/rfc/rfc9068#section-2.2), a
/// lifetime of ten minutes, the provider's audience, and no scope. Every part can be changed, to forge tokens.
///
/// ```
/// use portcullis_testkit::IdentityProvider;
///
/// let provider = IdentityProvider::new();
/// let for_another_resource = provider.token("alice").with_audience("https://other.example.test").jwt();
/// let id_token = provider.token("alice").with_header("typ", "JWT").jwt();
/// let signed_with_the_public_key = provider.token("alice").signed_by_hmac(provider.public_key_pem().as_bytes()).jwt();
/// let opaque = provider.token("alice").with_scope("mcp:read").opaque();
/// assert_eq!(opaque.len(), 45);
/// # drop((for_another_resource, id_token, signed_with_the_public_key));
/// ```
#[derive(Clone)]
#[must_use]
pub struct TokenBuilder {
    provider: IdentityProvider,
    header: Map<String, Value>,
    claims: Map<String, Value>,
    raw_header: Option<Vec<u8>>,
    raw_payload: Option<Vec<u8>>,
    signer: Signer,
    /// Whether introspection and UserInfo accept the token.
    is_access_token: bool,
}

#[derive(Clone)]
enum Signer {
    Key(String),
    Hmac(Vec<u8>),
    None,
}

impl TokenBuilder {
    pub(super) fn access_token(provider: IdentityProvider, subject: &str) -> Self {
        let claims = provider.state().claims_of_user(subject, "test-client");
        Self { is_access_token: true, ..Self::new(provider, "at+jwt", claims) }
    }

    pub(super) fn id_jag(provider: IdentityProvider, subject: &str, audience: &str, client_id: &str) -> Self {
        let claims = provider.state().claims_of_user(subject, client_id);
        let builder = Self::new(provider, "oauth-id-jag+jwt", claims);
        builder.with_audience(audience).with_lifetime(Duration::from_secs(300))
    }

    pub(super) fn id_token(provider: IdentityProvider, claims: Map<String, Value>) -> Self {
        Self::new(provider, "JWT", claims)
    }

    fn new(provider: IdentityProvider, media_type: &str, claims: Map<String, Value>) -> Self {
        let kid = provider.signing_kid();
        let builder = Self {
            provider,
            header: Map::from_iter([("typ".to_owned(), json!(media_type))]),
            claims,
            raw_header: None,
            raw_payload: None,
            signer: Signer::None,
            is_access_token: false,
        };
        builder.signed_by(&kid)
    }

    /// Sets the audience.
    pub fn with_audience(self, audience: &str) -> Self {
        self.with_claim("aud", audience)
    }

    /// Sets the scope, a list separated by spaces.
    pub fn with_scope(self, scope: &str) -> Self {
        self.with_claim("scope", scope)
    }

    /// Sets the expiry to `lifetime` from now.
    pub fn with_lifetime(self, lifetime: Duration) -> Self {
        let expires_at = (self.provider.state().clock.now() + lifetime).as_secs();
        self.with_claim("exp", expires_at)
    }

    /// Sets a claim.
    pub fn with_claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(name.to_owned(), value.into());
        self
    }

    /// Removes a claim.
    pub fn without_claim(mut self, name: &str) -> Self {
        self.claims.remove(name);
        self
    }

    /// Sets a member of the header: `typ`, `alg`, `kid`, `crit`, `jku`. The algorithm of the signature does not change: see the
    /// methods `signed_by`.
    pub fn with_header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header.insert(name.to_owned(), value.into());
        self
    }

    /// Removes a member of the header.
    pub fn without_header(mut self, name: &str) -> Self {
        self.header.remove(name);
        self
    }

    /// Replaces the header by these bytes: duplicate members, or no JSON.
    pub fn with_raw_header(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.raw_header = Some(bytes.into());
        self
    }

    /// Replaces the payload by these bytes: duplicate claims, or no JSON.
    pub fn with_raw_payload(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.raw_payload = Some(bytes.into());
        self
    }

    /// Signs with another key of the provider, published or not, and sets `alg` and `kid`.
    ///
    /// # Panics
    /// If the provider has no such key.
    pub fn signed_by(mut self, kid: &str) -> Self {
        let algorithm = self.provider.state().key(kid).map(|key| key.algorithm);
        let algorithm = algorithm.expect("a key of this provider");
        self.signer = Signer::Key(kid.to_owned());
        self.with_header("alg", algorithm.as_str()).with_header("kid", kid)
    }

    /// Signs with HMAC-SHA-256 and sets `alg`.
    pub fn signed_by_hmac(mut self, secret: &[u8]) -> Self {
        self.signer = Signer::Hmac(secret.to_vec());
        self.with_header("alg", "HS256")
    }

    /// Omits the signature and sets `alg` to `none`.
    pub fn unsigned(mut self) -> Self {
        self.signer = Signer::None;
        self.with_header("alg", "none")
    }

    /// Issues the token as a JWT. Introspection and UserInfo accept it if it is an access token.
    #[must_use]
    pub fn jwt(self) -> String {
        let json = |members: &Map<String, Value>| Value::Object(members.clone()).to_string().into_bytes();
        let header = self.raw_header.unwrap_or_else(|| json(&self.header));
        let payload = self.raw_payload.unwrap_or_else(|| json(&self.claims));
        let mut state = self.provider.state();
        let token = compact(&header, &payload, |message| match &self.signer {
            Signer::Key(kid) => state.key(kid).map(|key| key.sign(message)).unwrap_or_default(),
            Signer::Hmac(secret) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
                hmac::sign(&key, message).as_ref().to_vec()
            }
            Signer::None => Vec::new(),
        });
        if self.is_access_token {
            state.tokens.insert(token.clone(), self.claims);
        }
        token
    }

    /// Issues the token as an opaque one of 45 bytes. Changes of header and signature have no effect.
    #[must_use]
    pub fn opaque(self) -> String {
        let token = random("o_");
        self.provider.state().tokens.insert(token.clone(), self.claims);
        token
    }
}

impl fmt::Debug for TokenBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenBuilder")
            .field("header", &self.header)
            .field("claims", &self.claims)
            .finish_non_exhaustive()
    }
}

/// The lifetime of an ID token in seconds.
const LIFETIME: u64 = 600;

impl State {
    /// Returns the claims of the ID token of a code,
    /// [OpenID Connect Core section 2](https://openid.net/specs/openid-connect-core-1_0.html#IDToken), if it brings one.
    pub(super) fn id_token_claims(
        &self,
        client_id: &str,
        subject: &str,
        nonce: Option<String>,
        tokens: &GrantedTokens,
    ) -> Option<Map<String, Value>> {
        let asked = tokens.scope.split_whitespace().any(|scope| scope == "openid");
        if !(asked && self.policy.issues_id_tokens && self.dialect.issues_id_tokens()) {
            return None;
        }
        let now = self.clock.now().as_secs();
        let mut claims = Map::new();
        let mut claim = |name: &str, value: Value| drop(claims.insert(name.to_owned(), value));
        claim("iss", json!(self.issuer));
        claim("sub", self.dialect.subject(self.base(), self.users.get(subject)?));
        claim("aud", json!(client_id));
        claim("azp", json!(client_id));
        claim("iat", json!(now));
        claim("exp", json!(now + LIFETIME));
        claim("at_hash", json!(self.hash(&tokens.access_token)));
        if let Some(nonce) = nonce {
            claim("nonce", json!(nonce));
        }
        Some(claims)
    }

    /// Returns the left half of the hash of the signature's algorithm.
    fn hash(&self, access_token: &str) -> String {
        let algorithm = self.key(&self.signing_kid).map(|key| key.algorithm);
        let hash = if algorithm == Some(KeyAlgorithm::EdDsa) { &SHA512 } else { &SHA256 };
        let hash = digest(hash, access_token.as_bytes());
        BASE64_URL_SAFE_NO_PAD.encode(&hash.as_ref()[..hash.as_ref().len() / 2])
    }
}

impl IdentityProvider {
    /// Issues an ID token with these claims, after the changes of the test.
    pub(super) fn issue_id_token(&self, claims: Map<String, Value>) -> String {
        self.forged_id_token(TokenBuilder::id_token(self.clone(), claims)).jwt()
    }
}
