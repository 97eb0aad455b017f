//! [`TokenResponse`]: what a token endpoint hands out.

use std::time::Duration;

use portcullis_core::{BearerToken, ScopeSet, UnixTime};
use secrecy::SecretString;
use serde_json::{Map, Value};

/// What a token endpoint hands out. `Debug` prints no token.
///
/// [RFC 6749 section 5.1](https://www.rfc-editor.org/rfc/rfc6749#section-5.1), and what providers add to it. Who the user is,
/// it does not say: an ID token is verified elsewhere.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TokenResponse {
    /// The new access token.
    pub access_token: BearerToken,
    /// The new refresh token. Without one the old one stays good
    /// ([RFC 6749 section 6](https://www.rfc-editor.org/rfc/rfc6749#section-6)).
    pub refresh_token: Option<SecretString>,
    /// How long the access token lives, counted from the response.
    pub expires_in: Option<Duration>,
    /// When the access token expires, where it is not told as a time to live.
    pub expires_at: Option<UnixTime>,
    /// How long the refresh token lives, counted from the response. Not in any RFC; Keycloak and GitHub tell it.
    pub refresh_expires_in: Option<Duration>,
    /// What was granted; `None` if the response does not say it: then what was asked for. Empty if nothing was.
    pub scopes: Option<ScopeSet>,
    /// The ID token of OpenID Connect, not verified.
    pub id_token: Option<SecretString>,
    /// What else the provider says, such as Salesforce's `instance_url`. No tokens.
    pub further: Map<String, Value>,
}

impl TokenResponse {
    /// A response with nothing but an access token.
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
