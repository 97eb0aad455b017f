//! [`ClientCredentials`] and [`RefreshTokenGrant`]: grants whose credential this program has.

use std::sync::atomic::{AtomicU8, Ordering};

use portcullis_core::{Challenge, ResourceUri, ScopeSet};
use portcullis_oauth::{TokenRequest, TokenResponse};
use secrecy::SecretString;

use super::{
    TokenTarget,
    token_target::{reusable, without_user},
};
use crate::{Binding, DpopKey, Grant, GrantError, GrantErrorKind, GrantFuture};

/// Tokens for the program itself: there is no user.
/// [RFC 6749 section 4.4](https://www.rfc-editor.org/rfc/rfc6749#section-4.4)
///
/// MCP's extension for it wants a client that signs assertions
/// ([`ClientCredential::private_key_jwt`](crate::ClientCredential::private_key_jwt)) or has a secret.
#[derive(Clone, Debug)]
pub struct ClientCredentials(TokenTarget);

impl ClientCredentials {
    /// Creates the grant of the client of `target`.
    #[must_use]
    pub const fn new(target: TokenTarget) -> Self {
        Self(target)
    }
}

impl Grant for ClientCredentials {
    fn resource(&self) -> &ResourceUri {
        self.0.resource()
    }

    fn name(&self) -> &'static str {
        "client_credentials"
    }

    fn resolve<'a>(&'a self, _: Option<&'a Challenge>) -> GrantFuture<'a, Binding> {
        Box::pin(async { Ok(self.0.binding()) })
    }

    fn obtain<'a>(&'a self, _: &'a Binding, scopes: &'a ScopeSet) -> GrantFuture<'a, TokenResponse> {
        Box::pin(async {
            let tokens = self.0.obtain(TokenRequest::client_credentials(), scopes).await;
            tokens.map_err(|error| without_user(reusable(error)))
        })
    }

    fn refresh<'a>(&'a self, _: &'a Binding, refresh_token: &'a SecretString) -> GrantFuture<'a, TokenResponse> {
        Box::pin(self.0.refresh(refresh_token))
    }

    fn dpop_key(&self) -> Option<&DpopKey> {
        self.0.endpoint().dpop_key()
    }
}

/// Tokens of a login that took place elsewhere, of which this program is given the refresh token.
///
/// The refresh token is presented once: after it, the tokens are those in the store, which must therefore be a durable one if refresh tokens
/// rotate. It is presented again only if the request did not reach the authorization server, or the server failed; once more if no answer
/// came. A new process presents it if the store has no tokens that work.
#[derive(Debug)]
pub struct RefreshTokenGrant {
    target: TokenTarget,
    refresh_token: SecretString,
    /// How many more times the refresh token may be presented.
    left: AtomicU8,
}

/// One presentation, and another if it was not answered.
const PRESENTATIONS: u8 = 2;

impl RefreshTokenGrant {
    /// Creates the grant of the user whose `refresh_token` was issued to the client of `target`.
    #[must_use]
    pub const fn new(target: TokenTarget, refresh_token: SecretString) -> Self {
        Self { target, refresh_token, left: AtomicU8::new(PRESENTATIONS) }
    }
}

impl Grant for RefreshTokenGrant {
    fn resource(&self) -> &ResourceUri {
        self.target.resource()
    }

    fn name(&self) -> &'static str {
        "refresh_token"
    }

    fn resolve<'a>(&'a self, _: Option<&'a Challenge>) -> GrantFuture<'a, Binding> {
        Box::pin(async { Ok(self.target.binding()) })
    }

    /// Presents the refresh token that was given from outside. It cannot request more scopes than it has.
    fn obtain<'a>(&'a self, _: &'a Binding, _: &'a ScopeSet) -> GrantFuture<'a, TokenResponse> {
        Box::pin(async {
            if self.left.load(Ordering::Relaxed) == 0 {
                return Err(GrantError::refused("the refresh token that was given was presented already"));
            }
            let outcome = self.target.refresh(&self.refresh_token).await;
            let spent = match outcome.as_ref().map_err(GrantError::kind) {
                Ok(_) | Err(GrantErrorKind::Refused) => PRESENTATIONS,
                Err(GrantErrorKind::Ambiguous) => 1,
                Err(_) => 0,
            };
            // The manager does not call it twice at a time.
            self.left.store(self.left.load(Ordering::Relaxed).saturating_sub(spent), Ordering::Relaxed);
            outcome
        })
    }

    /// The refresh token that was given is spent: presented again, it would end the login.
    fn can_step_up(&self) -> bool {
        false
    }

    fn refresh<'a>(&'a self, _: &'a Binding, refresh_token: &'a SecretString) -> GrantFuture<'a, TokenResponse> {
        Box::pin(self.target.refresh(refresh_token))
    }

    fn dpop_key(&self) -> Option<&DpopKey> {
        self.target.endpoint().dpop_key()
    }
}
