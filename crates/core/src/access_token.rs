//! [`AccessToken`]: a provider's access token.

use http::HeaderValue;

use crate::{BearerToken, Generation, UnixTime};

/// A provider's access token, for calling the provider on behalf of the user.
///
/// Its `Debug` output is redacted. Request it when it is needed ([`Upstream::access_token`](crate::Upstream::access_token)) and do not
/// store it: only a token that was just returned is fresh.
#[derive(Clone, Debug)]
pub struct AccessToken {
    token: BearerToken,
    generation: Generation,
    expires_at: Option<UnixTime>,
}

impl AccessToken {
    /// Creates the access token of `generation` with its expiry, if that is known.
    #[must_use]
    pub const fn new(token: BearerToken, generation: Generation, expires_at: Option<UnixTime>) -> Self {
        Self { token, generation, expires_at }
    }

    /// Returns the token as a bearer token.
    #[must_use]
    pub const fn token(&self) -> &BearerToken {
        &self.token
    }

    /// Returns the value of the header `Authorization`, marked as sensitive.
    /// [RFC 6750 section 2.1](https://www.rfc-editor.org/rfc/rfc6750#section-2.1)
    #[must_use]
    pub fn authorization(&self) -> HeaderValue {
        self.token.authorization()
    }

    /// Returns the text of the token. Every call is a place where it could leak.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        self.token.expose_secret()
    }

    /// Returns the generation: which token of the grant this is.
    #[must_use]
    pub const fn generation(&self) -> Generation {
        self.generation
    }

    /// Returns the expiry, if it is known.
    #[must_use]
    pub const fn expires_at(&self) -> Option<UnixTime> {
        self.expires_at
    }
}
