//! [`TokenResponse`]: the response of a token endpoint.

use std::time::Duration;

use portcullis_core::{BearerToken, ScopeSet, UnixTime};
use secrecy::SecretString;
use serde_json::{Map, Value};

/// The response of a token endpoint. Its `Debug` output has no token.
///
/// [RFC 6749 section 5.1](https://www.rfc-editor.org/rfc/rfc6749#section-5.1), and the members that providers add. It does **not**
/// identify the user: the ID token is not verified.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TokenResponse {
    /// The new access token.
    pub access_token: BearerToken,
    /// The new refresh token. Without one the old one stays valid
    /// ([RFC 6749 section 6](https://www.rfc-editor.org/rfc/rfc6749#section-6)).
    pub refresh_token: Option<SecretString>,
    /// The lifetime of the access token from the time of the response.
    pub expires_in: Option<Duration>,
    /// The expiry of the access token, if the provider gives it as a time instead.
    pub expires_at: Option<UnixTime>,
    /// The lifetime of the refresh token from the time of the response. It is not in any RFC; Keycloak and GitHub send it.
    pub refresh_expires_in: Option<Duration>,
    /// The granted scopes; `None` if the response does not contain them, which means the requested ones. Empty if none was granted.
    pub scopes: Option<ScopeSet>,
    /// The ID token of OpenID Connect, which is not verified.
    pub id_token: Option<SecretString>,
    /// The other members of the response, such as Salesforce's `instance_url`, without tokens.
    pub further: Map<String, Value>,
}

impl TokenResponse {
    /// Creates a response with an access token only.
    #[must_use]
    pub fn new(access_token: BearerToken) -> Self {
        Self {
            access_token,
            refresh_token: None,
            expires_in: None,
            expires_at: None,
            refresh_expires_in: None,
            scopes: None,
            id_token: None,
            further: Map::new(),
        }
    }
}
