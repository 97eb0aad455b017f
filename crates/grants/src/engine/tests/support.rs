//! Flights that are numbers, tokens that say nothing, windows that are exact.

use std::{sync::Arc, time::Duration};

use portcullis_core::{AuthError, BearerToken, Reason, ScopeSet, UnixTime};
use portcullis_oauth::TokenResponse;

use super::super::state::{Flight, Tuning};
use crate::TokenSet;

pub(super) const LIFETIME: Duration = Duration::from_secs(100);

/// The number of a flight.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Number(pub(super) usize);

impl Flight for Number {
    fn is_lost(&self) -> bool {
        false
    }
}

pub(super) fn tuning(spare_suspects: bool) -> Tuning {
    let window = |failures: u32, asked: Option<Duration>| {
        Duration::from_secs(1 << failures.min(5)).max(asked.unwrap_or_default())
    };
    Tuning { margin: Duration::from_secs(10), spare_suspects, jitter: || 0.0, window }
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
