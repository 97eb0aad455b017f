//! [`Grant`]: how tokens are obtained.

use std::{fmt, future::Future, pin::Pin};

use portcullis_core::{Challenge, ResourceUri, ScopeSet};
use portcullis_oauth::TokenResponse;
use secrecy::SecretString;

use crate::{Binding, DpopKey, GrantError};

/// Future of the methods of [`Grant`].
pub type GrantFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, GrantError>> + Send + 'a>>;

/// How tokens for one resource are obtained: a grant type of OAuth, with what it needs to be used.
///
/// An implementation sends requests and nothing else: it keeps no token, holds no lock and does not retry. The
/// [`TokenManager`](crate::TokenManager) calls it on a task of its own, at most once at a time for a binding, and does not call it again
/// before the result is saved.
pub trait Grant: fmt::Debug + Send + Sync + 'static {
    /// Returns the resource server that the tokens are for.
    fn resource(&self) -> &ResourceUri;

    /// Returns the name of the grant type, as a metric label: `client_credentials`.
    fn name(&self) -> &'static str;

    /// Returns the binding. A grant that discovers its authorization server or registers its client does it here.
    ///
    /// `challenge`: what the resource answered to a request without a token or with a token that it refuses; its `resource_metadata`
    /// parameter may name another metadata document than the one that is cached, and another authorization server.
    fn resolve<'a>(&'a self, challenge: Option<&'a Challenge>) -> GrantFuture<'a, Binding>;

    /// Obtains tokens with all of `scopes`, without a refresh token. A response without scopes grants those.
    fn obtain<'a>(&'a self, binding: &'a Binding, scopes: &'a ScopeSet) -> GrantFuture<'a, TokenResponse>;

    /// Presents a refresh token.
    fn refresh<'a>(&'a self, binding: &'a Binding, refresh_token: &'a SecretString) -> GrantFuture<'a, TokenResponse>;

    /// Returns what distinguishes this grant from others for the same resource in one store: the configured client, the scopes, the user.
    ///
    /// For a grant that asks the network in [`resolve`](Self::resolve): its binding is stored under this text, so that after a restart no
    /// network is needed to use the stored tokens. Default: `None`, for a grant that knows its binding without the network.
    fn stored_as(&self) -> Option<String> {
        None
    }

    /// Tells the grant the binding that is in use because an earlier process resolved and stored it. Default: nothing is done.
    fn restore(&self, _binding: &Binding) {}

    /// Reports whether [`obtain`](Self::obtain) can be called again while there are tokens, to obtain other scopes. Default: yes.
    fn can_step_up(&self) -> bool {
        true
    }

    /// Reports whether [`obtain`](Self::obtain) needs the user. Then it is called only by a login or a step-up, never in place of a
    /// refresh, and never holds one up. Default: no.
    fn is_interactive(&self) -> bool {
        false
    }

    /// Returns the key to which the tokens are bound. [`TokenLayer`](crate::TokenLayer) presents such tokens with proofs; an adapter that
    /// cannot do so refuses to send requests. Default: `None`, for bearer tokens.
    fn dpop_key(&self) -> Option<&DpopKey> {
        None
    }

    /// Reports whether an [`obtain`](Self::obtain) that needs the user has the answer of the user and exchanges it for tokens: an
    /// authorization code is good once. A shutdown waits for that, and ends a login that still waits for the user. Default: no.
    fn is_redeeming(&self) -> bool {
        false
    }
}
