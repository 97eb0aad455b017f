//! [`AccessToken`]: a provider's token, for a handler to call the provider with.

use http::HeaderValue;

use crate::{BearerToken, Generation, UnixTime};

/// A provider's access token, for calling the provider on behalf of the user.
///
/// It does not print. Ask for it when it is needed ([`Upstream::access_token`](crate::Upstream::access_token)) and do not keep
/// it: it is fresh now.
#[derive(Clone, Debug)]
pub struct AccessToken {
    token: BearerToken,
    generation: Generation,
    expires_at: Option<UnixTime>,
}

impl AccessToken {
    /// The token of `generation`, which expires then, if that is known.
    #[must_use]
    pub const fn new(token: BearerToken, generation: Generation, expires_at: Option<UnixTime>) -> Self {
        Self { token, generation, expires_at }
    }

    /// The token as it is presented.
    #[must_use]
    pub const fn token(&self) -> &BearerToken {
        &self.token
    }

    /// The value of the header `Authorization`, marked as a secret.
    /// [RFC 6750 section 2.1](https://www.rfc-editor.org/rfc/rfc6750#section-2.1)
    #[must_use]
    pub fn authorization(&self) -> HeaderValue {
        self.token.authorization()
    }

    /// The token itself. Every call is a place where it could leak.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        self.token.expose_secret()
    }

    /// Which token of the grant it is.
    #[must_use]
    pub const fn generation(&self) -> Generation {
        self.generation
    }

    /// When it expires, if that is known.
    #[must_use]
    pub const fn expires_at(&self) -> Option<UnixTime> {
        self.expires_at
    }
}
