//! ID tokens: what they say.

use aws_lc_rs::digest::{SHA256, SHA512, digest};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use super::{IdentityProvider, KeyAlgorithm, TokenBuilder, grants::GrantedTokens, state::State};

/// How many seconds an ID token is good.
const LIFETIME: u64 = 600;

impl State {
    /// What the ID token says that comes with a code,
    /// [OpenID Connect Core section 2](https://openid.net/specs/openid-connect-core-1_0.html#IDToken): if there is one.
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

    /// The left half of the hash that belongs to the algorithm of the signature.
    fn hash(&self, access_token: &str) -> String {
        let algorithm = self.key(&self.signing_kid).map(|key| key.algorithm);
        let hash = if algorithm == Some(KeyAlgorithm::EdDsa) { &SHA512 } else { &SHA256 };
        let hash = digest(hash, access_token.as_bytes());
        BASE64_URL_SAFE_NO_PAD.encode(&hash.as_ref()[..hash.as_ref().len() / 2])
    }
}

impl IdentityProvider {
    /// An ID token with these claims, or what the test makes of it.
    pub(super) fn issue_id_token(&self, claims: Map<String, Value>) -> String {
        self.forged_id_token(TokenBuilder::id_token(self.clone(), claims)).jwt()
    }
}
