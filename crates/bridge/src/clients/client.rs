//! [`Client`]: an OAuth client.

use portcullis_core::{ScopeSet, UnixTime};
use portcullis_oauth::jwt::{InvalidKeySet, KeySet};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize};

use super::{RedirectUri, metadata::is_http_url};
use crate::session::SecretHash;

/// An OAuth client. It holds only a hash of its secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Client {
    pub(crate) id: Box<str>,
    /// The name that the consent page shows.
    pub(crate) name: Option<Box<str>>,
    /// The URL of its home page.
    pub(crate) uri: Option<Box<str>>,
    #[serde(deserialize_with = "valid_redirect_uris")]
    pub(crate) redirect_uris: Vec<RedirectUri>,
    pub(crate) grant_types: Vec<GrantType>,
    pub(crate) authentication: ClientAuthenticationMethod,
    #[serde(default, skip_serializing_if = "AuthenticationRequirement::is_required")]
    pub(crate) authentication_requirement: AuthenticationRequirement,
    #[serde(rename = "origin")]
    pub(crate) source: ClientSource,
    /// The scopes that it may request; `None`: all scopes of the bridge.
    pub(crate) scopes: Option<ScopeSet>,
    /// When its registration expires; `None` without dynamic registration.
    #[serde(skip)]
    pub(super) kept_until: Option<UnixTime>,
    /// Whether users have received tokens through it; always `false` for a configured client.
    #[serde(skip)]
    pub(super) is_used: bool,
}

/// An error that reports an invalid configured client.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the client {id:?} {why}")]
#[non_exhaustive]
pub struct InvalidClient {
    /// The id of the client.
    pub id: String,
    /// The reason.
    pub why: &'static str,
}

/// Where the description of a client comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ClientSource {
    /// The operator's configuration.
    Configured,
    /// Its metadata document.
    Document,
    /// Its registration.
    Registered,
}

/// A grant type that a client may use at the token endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GrantType {
    /// An authorization code.
    AuthorizationCode,
    /// A refresh token.
    RefreshToken,
    /// An identity assertion (ID-JAG) from the identity provider of an enterprise.
    #[serde(rename = "urn:ietf:params:oauth:grant-type:jwt-bearer")]
    JwtBearer,
}

/// The authentication method of a client.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ClientAuthenticationMethod {
    /// None: a public client. PKCE and refresh token rotation protect it.
    None,
    /// A client secret, in the header or in the form.
    Secret(SecretHash),
    /// A signed assertion. RFC 7523.
    PrivateKeyJwt(ClientKeys),
}

/// Whether a client must authenticate. Every client uses PKCE.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AuthenticationRequirement {
    #[default]
    Required,
    /// Requests without client authentication are accepted, as those of a public client: the client's document offers that, or the client
    /// has registered without a method and has not used its secret yet.
    Optional,
}

impl AuthenticationRequirement {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    const fn is_required(&self) -> bool {
        matches!(self, Self::Required)
    }
}

/// The keys that verify a client's assertions.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ClientKeys {
    /// The URL of a key set.
    JwksUri(Box<str>),
    /// The key set itself.
    Jwks(serde_json::Value),
}

impl ClientAuthenticationMethod {
    /// Returns what is expected of the client, for the log.
    pub(super) const fn method(&self) -> &'static str {
        match self {
            Self::None => "no authentication",
            Self::Secret(_) => "the client secret",
            Self::PrivateKeyJwt(_) => "a valid client assertion",
        }
    }
}

impl GrantType {
    /// The grant types of every registered client. Refresh tokens are implied by authorization codes, because many clients leave them out
    /// and would otherwise send their users to the browser for each access token.
    pub(super) const REGISTERED: [Self; 2] = [Self::AuthorizationCode, Self::RefreshToken];

    /// Returns the grant type `name`, if the bridge supports it.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::AuthorizationCode, Self::RefreshToken, Self::JwtBearer].into_iter().find(|known| known.as_str() == name)
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::RefreshToken => "refresh_token",
            Self::JwtBearer => "urn:ietf:params:oauth:grant-type:jwt-bearer",
        }
    }
}

impl Client {
    /// Creates a configured public client: a native or browser app without a secret.
    #[must_use]
    pub fn public(id: &str, name: &str, redirect_uris: Vec<RedirectUri>) -> Self {
        Self {
            id: id.into(),
            name: Some(name.into()),
            uri: None,
            redirect_uris,
            grant_types: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
            authentication: ClientAuthenticationMethod::None,
            authentication_requirement: AuthenticationRequirement::Required,
            source: ClientSource::Configured,
            scopes: None,
            kept_until: None,
            is_used: false,
        }
    }

    /// Creates a configured confidential client. Only a hash of the secret is kept.
    #[must_use]
    pub fn confidential(id: &str, name: &str, secret: &SecretString, redirect_uris: Vec<RedirectUri>) -> Self {
        let authentication = ClientAuthenticationMethod::Secret(SecretHash::of_text(secret));
        Self { authentication, ..Self::public(id, name, redirect_uris) }
    }

    /// Sets the authentication method `private_key_jwt` ([RFC 7523](https://www.rfc-editor.org/rfc/rfc7523)), with the JWK Set at
    /// `jwks_uri`.
    #[must_use]
    pub fn with_jwks_uri(mut self, jwks_uri: &str) -> Self {
        self.authentication = ClientAuthenticationMethod::PrivateKeyJwt(ClientKeys::JwksUri(jwks_uri.into()));
        self
    }

    /// Sets the authentication method `private_key_jwt`, with the public keys in `jwks`.
    ///
    /// # Errors
    /// [`InvalidKeySet`] if `jwks` has no supported key.
    pub fn with_jwks(mut self, jwks: serde_json::Value) -> Result<Self, InvalidKeySet> {
        KeySet::parse(jwks.to_string().as_bytes())?;
        self.authentication = ClientAuthenticationMethod::PrivateKeyJwt(ClientKeys::Jwks(jwks));
        Ok(self)
    }

    /// Sets the grant types that the client may use. Default: authorization code and refresh token.
    #[must_use]
    pub fn with_grant_types(mut self, grant_types: impl IntoIterator<Item = GrantType>) -> Self {
        self.grant_types = grant_types.into_iter().collect();
        self
    }

    /// Sets the scopes that the client may request. Default: all scopes of the bridge.
    #[must_use]
    pub fn with_scopes(mut self, scopes: ScopeSet) -> Self {
        self.scopes = Some(scopes);
        self
    }

    /// Returns the client id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Validates a configured client.
    pub(crate) fn check(&self) -> Result<(), InvalidClient> {
        let invalid = |why| Err(InvalidClient { id: self.id.to_string(), why });
        // RFC 6749 appendix A.1, without the space.
        if self.id.is_empty() || !self.id.bytes().all(|byte| byte.is_ascii_graphic()) {
            return invalid("needs an id of visible ASCII characters");
        }
        if self.grant_types.contains(&GrantType::AuthorizationCode) && self.redirect_uris.is_empty() {
            return invalid("needs a redirect URI");
        }
        if let ClientAuthenticationMethod::PrivateKeyJwt(ClientKeys::JwksUri(url)) = &self.authentication
            && !is_http_url(url)
        {
            return invalid("needs an http or https URL of its key set");
        }
        let empty = SecretHash::of_text(&SecretString::default());
        if matches!(&self.authentication, ClientAuthenticationMethod::Secret(hash) if *hash == empty) {
            return invalid("needs a secret that is not empty");
        }
        Ok(())
    }

    /// Reports whether it is a public client.
    pub(crate) const fn is_public(&self) -> bool {
        matches!(self.authentication, ClientAuthenticationMethod::None)
    }

    /// Returns the client as the sender of a request without client authentication, if it may send such requests.
    pub(crate) fn without_authentication(self) -> Option<Self> {
        let is_allowed = self.is_public() || self.authentication_requirement == AuthenticationRequirement::Optional;
        is_allowed.then_some(Self { authentication: ClientAuthenticationMethod::None, ..self })
    }

    /// Returns the configuration key that has its redirect URIs, if it is configured.
    pub(crate) fn redirect_uris_key(&self) -> Option<&'static str> {
        (self.source == ClientSource::Configured).then_some("bridge.clients[].redirect_uris")
    }

    /// Returns the registered redirect URI that `presented` matches.
    pub(crate) fn redirect_uri(&self, presented: &str) -> Option<&RedirectUri> {
        self.redirect_uris.iter().find(|uri| uri.matches(presented))
    }
}

/// Reads redirect URIs from the store, without those that an older version accepted and this one does not.
fn valid_redirect_uris<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<RedirectUri>, D::Error> {
    let stored = Vec::<serde_json::Value>::deserialize(deserializer)?;
    Ok(stored.into_iter().filter_map(|text| serde_json::from_value(text).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_redirect_uri_that_is_no_longer_valid_is_dropped_and_the_others_are_kept() {
        let good = RedirectUri::new("https://app.example.com/cb").expect("a redirect URI");
        let client = Client::public("app", "App", vec![good.clone()]);
        let mut stored = serde_json::to_value(&client).expect("plain data");
        stored["redirect_uris"] = serde_json::json!(["javascript:alert(1)", good.as_str()]);
        let loaded: Client = serde_json::from_value(stored).expect("the rest is as it was");
        assert_eq!(loaded.redirect_uris, [good]);
    }
}
