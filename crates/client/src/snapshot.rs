//! [`Snapshot`]: what is known about the tokens of a manager.

use std::time::Duration;

use portcullis_core::{Generation, Reason, ScopeSet, UnixTime};
use portcullis_refresh::GrantStatus;

use crate::Binding;

/// What is known about the tokens of a manager.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// The binding, once it is resolved.
    pub binding: Option<Binding>,
    /// The number of the current access token.
    pub generation: Option<Generation>,
    /// When the access token expires, if that is known.
    pub expires_at: Option<UnixTime>,
    /// The scopes of the access token.
    pub scopes: ScopeSet,
    /// What a caller can expect.
    pub state: TokenState,
    /// Whether the newest tokens could not be saved yet.
    pub unsaved: bool,
}

/// What a caller can expect of a [`TokenManager`](crate::TokenManager).
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TokenState {
    /// No token is in this process yet.
    Unknown,
    /// The access token works.
    Fresh,
    /// The access token has expired or was refused, and no exchange is in progress.
    Stale,
    /// An exchange is in progress and there is no token that works.
    Refreshing,
    /// The last exchange failed: until this time from now on no other is made.
    BackingOff(Duration),
    /// The user has to log in.
    ReauthRequired,
}

impl Snapshot {
    /// Creates the snapshot of a manager whose binding is not resolved; `backing_off`: for how long it is not resolved.
    pub(crate) fn unresolved(backing_off: Option<Duration>) -> Self {
        Self {
            binding: None,
            generation: None,
            expires_at: None,
            scopes: ScopeSet::default(),
            state: backing_off.map_or(TokenState::Unknown, TokenState::BackingOff),
            unsaved: false,
        }
    }

    pub(crate) fn new(binding: &Binding, status: &GrantStatus, is_interactive: bool) -> Self {
        let tokens = status.tokens.as_deref();
        Self {
            binding: Some(binding.clone()),
            generation: tokens.map(|tokens| tokens.generation()),
            expires_at: tokens.and_then(|tokens| tokens.expires_at()),
            scopes: tokens.map(|tokens| tokens.scopes().clone()).unwrap_or_default(),
            state: state(status, is_interactive),
            unsaved: status.is_unsaved,
        }
    }
}

fn state(status: &GrantStatus, is_interactive: bool) -> TokenState {
    if status.has_working_token {
        return TokenState::Fresh;
    }
    if status.is_refreshing {
        return TokenState::Refreshing;
    }
    match &status.cooling_down {
        Some(error) if error.reason() == Reason::GrantEnded => TokenState::ReauthRequired,
        Some(error) => TokenState::BackingOff(error.retry_after().unwrap_or_default()),
        None if status.ended.is_some() && is_interactive => TokenState::ReauthRequired,
        None if status.tokens.is_some() => TokenState::Stale,
        None => TokenState::Unknown,
    }
}
