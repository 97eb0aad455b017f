//! [`Client`]: a program that asks for tokens.

use portcullis_core::{ScopeSet, UnixTime};
use portcullis_oauth::jwt::{InvalidKeySet, KeySet};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize};

use super::{RedirectUri, metadata::is_web};
use crate::session::SecretHash;

/// A program that asks for tokens on behalf of its users. `Debug` prints no secret, because there is none in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Client {
    pub(crate) id: Box<str>,
    /// What the consent page calls it.
    pub(crate) name: Option<Box<str>>,
    /// Its home page.
    pub(crate) uri: Option<Box<str>>,
    #[serde(deserialize_with = "usable")]
    pub(crate) redirect_uris: Vec<RedirectUri>,
    pub(crate) grant_types: Vec<GrantType>,
    pub(crate) authentication: ClientAuthenticationMethod,
    pub(crate) origin: Origin,
    /// All that it may ever ask for; `None`: whatever the bridge has.
    pub(crate) scopes: Option<ScopeSet>,
    /// Until when its registration is kept; `None` if it has not registered itself.
    #[serde(skip)]
    pub(super) kept_until: Option<UnixTime>,
    /// Whether users have been given tokens through it, if it describes itself.
    #[serde(skip)]
    pub(super) is_used: bool,
}

/// Why a client cannot be configured.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the client {id:?} {why}")]
#[non_exhaustive]
pub struct InvalidClient {
    /// Its id.
    pub id: String,
    /// What is wrong with it.
    pub why: &'static str,
}

/// Where a client is known from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Origin {
    /// The operator's configuration.
    Configured,
    /// Its metadata document.
    Document,
    /// Its registration.
    Registered,
}

/// What a client may present at the token endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GrantType {
    /// A code from a login.
    AuthorizationCode,
    /// A refresh token.
    RefreshToken,
    /// An identity assertion (ID-JAG) of the enterprise's identity provider.
    #[serde(rename = "urn:ietf:params:oauth:grant-type:jwt-bearer")]
    JwtBearer,
}

/// How a client proves who it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ClientAuthenticationMethod {
    /// Not at all: a public client, held to PKCE and rotation.
    None,
    /// By a secret, in the header or in the form.
    Secret(SecretHash),
    /// By a signature. RFC 7523.
    PrivateKeyJwt(ClientKeys),
}

/// The keys of a client that signs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ClientKeys {
    /// Published there.
    JwksUri(Box<str>),
    /// As registered.
    Jwks(serde_json::Value),
}

impl GrantType {
    /// The one called `name`, if it is one of ours.
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
    /// A client without a secret, that the operator knows: an app on the user's machine, or in the browser.
    #[must_use]
    pub fn public(id: &str, name: &str, redirect_uris: Vec<RedirectUri>) -> Self {
        Self {
            id: id.into(),
            name: Some(name.into()),
            uri: None,
            redirect_uris,
            grant_types: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
            authentication: ClientAuthenticationMethod::None,
            origin: Origin::Configured,
            scopes: None,
            kept_until: None,
            is_used: false,
        }
    }

    /// A client with a secret, that the operator knows: a server. Only a hash of the secret is kept.
    #[must_use]
    pub fn confidential(id: &str, name: &str, secret: &SecretString, redirect_uris: Vec<RedirectUri>) -> Self {
        let authentication = ClientAuthenticationMethod::Secret(SecretHash::of_text(secret));
        Self { authentication, ..Self::public(id, name, redirect_uris) }
    }

    /// It proves who it is by signing (`private_key_jwt`, [RFC 7523](https://www.rfc-editor.org/rfc/rfc7523)), with a key of the
    /// JWK Set at `jwks_uri`.
    #[must_use]
    pub fn with_jwks_uri(mut self, jwks_uri: &str) -> Self {
        self.authentication = ClientAuthenticationMethod::PrivateKeyJwt(ClientKeys::JwksUri(jwks_uri.into()));
        self
    }

    /// As [`with_jwks_uri`](Self::with_jwks_uri), with the keys themselves: public ones.
    ///
    /// # Errors
    /// [`InvalidKeySet`] if no signature can be verified by them.
    pub fn with_jwks(mut self, jwks: serde_json::Value) -> Result<Self, InvalidKeySet> {
        KeySet::parse(jwks.to_string().as_bytes())?;
        self.authentication = ClientAuthenticationMethod::PrivateKeyJwt(ClientKeys::Jwks(jwks));
        Ok(self)
    }

    /// What it may present at the token endpoint. Default: codes and refresh tokens.
    #[must_use]
    pub fn with_grant_types(mut self, grant_types: impl IntoIterator<Item = GrantType>) -> Self {
        self.grant_types = grant_types.into_iter().collect();
        self
    }

    /// All that it may ever ask for. Default: whatever the bridge has.
    #[must_use]
    pub fn with_scopes(mut self, scopes: ScopeSet) -> Self {
        self.scopes = Some(scopes);
        self
    }

    /// Its name, unique in the bridge.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether the operator may configure it.
    pub(crate) fn check(&self) -> Result<(), InvalidClient> {
        let invalid = |why| Err(InvalidClient { id: self.id.to_string(), why });
        // RFC 6749 appendix A.1, without the space.
        if self.id.is_empty() || !self.id.bytes().all(|byte| byte.is_ascii_graphic()) {
            return invalid("needs an id of visible ASCII characters");
        }
        if self.grant_types.contains(&GrantType::AuthorizationCode) && self.redirect_uris.is_empty() {
            return invalid("needs a redirect URI for its codes");
        }
        if let ClientAuthenticationMethod::PrivateKeyJwt(ClientKeys::JwksUri(url)) = &self.authentication
            && !is_web(url)
        {
            return invalid("needs the URL of its key set");
        }
        let empty = SecretHash::of_text(&SecretString::default());
        if matches!(&self.authentication, ClientAuthenticationMethod::Secret(hash) if *hash == empty) {
            return invalid("needs a secret that is not empty");
        }
        Ok(())
    }

    /// Whether it proves nothing of who it is.
    pub(crate) const fn is_public(&self) -> bool {
        matches!(self.authentication, ClientAuthenticationMethod::None)
    }

    /// The redirect URI of its own that `presented` is, if it is one.
    pub(crate) fn redirect_uri(&self, presented: &str) -> Option<&RedirectUri> {
        self.redirect_uris.iter().find(|uri| uri.matches(presented))
    }
}

/// Those of the URIs in the store that may still be used: what was good for an older version of this program may not be for us, and
/// the others still are.
fn usable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<RedirectUri>, D::Error> {
    let stored = Vec::<String>::deserialize(deserializer)?;
    Ok(stored.iter().filter_map(|text| RedirectUri::new(text).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_redirect_uri_that_is_not_good_any_more_is_left_out_and_spoils_nothing() {
        let good = RedirectUri::new("https://app.example.com/cb").expect("a redirect URI");
        let client = Client::public("app", "App", vec![good.clone()]);
        let mut stored = serde_json::to_value(&client).expect("plain data");
        stored["redirect_uris"] = serde_json::json!(["javascript:alert(1)", good.as_str()]);
        let loaded: Client = serde_json::from_value(stored).expect("the rest is as it was");
        assert_eq!(loaded.redirect_uris, [good]);
    }
}
