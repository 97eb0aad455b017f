//! Refreshes that are numbers, tokens without meaning, cool-downs without jitter.

use std::{sync::Arc, time::Duration};

use portcullis_core::{AuthError, BearerToken, Reason, ScopeSet, UnixTime};
use portcullis_oauth::TokenResponse;

use super::super::state::{RefreshPolicy, RunningRefresh};
use crate::TokenSet;

pub(super) const LIFETIME: Duration = Duration::from_secs(100);

/// The number of a running refresh.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct RefreshNumber(pub(super) usize);

impl RunningRefresh for RefreshNumber {
    fn is_dead(&self) -> bool {
        false
    }
}

pub(super) fn policy(defer_when_possibly_spent: bool) -> RefreshPolicy {
    let cool_down = |failures: u32, asked: Option<Duration>| {
        Duration::from_secs(1 << failures.min(5)).max(asked.unwrap_or_default())
    };
    RefreshPolicy {
        early_margin: Duration::from_secs(10),
        defer_when_possibly_spent,
        jitter: || 0.0,
        cool_down,
        follows_logins: false,
        can_acquire: false,
    }
}

pub(super) fn response(expires_in: Option<Duration>) -> TokenResponse {
    let mut response = TokenResponse::new(BearerToken::issued("token").expect("token"));
    response.refresh_token = Some("refresh".into());
    response.expires_in = expires_in;
    response
}

pub(super) fn first(now: UnixTime) -> Arc<TokenSet> {
    Arc::new(TokenSet::from_login(response(Some(LIFETIME)), &ScopeSet::default(), now))
}

pub(super) fn unavailable() -> AuthError {
    AuthError::new(Reason::ProviderUnavailable)
}
