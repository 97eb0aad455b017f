//! [`Outage`]: accepts users while their provider is unavailable, by its last response about them.

use std::{
    collections::HashMap,
    error::Error as _,
    fmt,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use metrics::counter;
use portcullis_core::{AuthError, AuthErrorKind, Clock, GrantId, Reason, UnixTime, UserContext};
use portcullis_oauth::ProtocolError;
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout};
use tracing::Instrument as _;

/// The maximum number of grants with a kept response: the default capacity of the context cache.
const CAPACITY: usize = 100_000;

/// The maximum time a request waits for a provider that does not respond. The call to the provider continues without the request.
const MAX_WAIT: Duration = Duration::from_secs(3);

/// The time after which a context that was accepted in an outage is revalidated.
const REVALIDATE_AFTER: Duration = Duration::from_secs(5);

/// The minimum time between two log messages about an outage.
const LOG_PERIOD: Duration = Duration::from_secs(30);

/// The last responses of a provider, by grant, with which users are accepted in an outage. Clones share them.
#[derive(Clone)]
pub(crate) struct Outage(Arc<Inner>);

struct Inner {
    grace: Duration,
    clock: Arc<dyn Clock>,
    responses: Mutex<HashMap<GrantId, LastResponse>>,
    logged_at: Mutex<Option<Instant>>,
}

/// The last response of the provider about the user of a grant, and its time.
#[derive(Clone)]
struct LastResponse {
    at: UnixTime,
    /// `None` if the provider rejected the user; only another response changes that.
    user: Option<Arc<KnownUser>>,
}

struct KnownUser {
    profile: Map<String, Value>,
    claims: Map<String, Value>,
}

impl Outage {
    /// Accepts users for `grace` after the provider last confirmed them.
    pub(crate) fn new(grace: Duration, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner { grace, clock, responses: Mutex::default(), logged_at: Mutex::default() }))
    }

    pub(crate) fn grace(&self) -> Duration {
        self.0.grace
    }

    /// Returns the result of `resolution`; during an outage, `user` with the last response.
    pub(crate) async fn bridged(
        &self,
        user: Arc<UserContext>,
        resolution: impl Future<Output = Result<Arc<UserContext>, AuthError>> + Send + 'static,
    ) -> Result<Arc<UserContext>, AuthError> {
        let Some(grant) = user.upstream().grant() else { return resolution.await };
        let this = self.clone();
        let noted = async move {
            let outcome = resolution.await;
            this.note(grant, &outcome);
            outcome
        };
        if self.known(grant, &user).is_none() {
            return noted.await;
        }
        // On a task of its own: an abandoned call would not count against a provider that hangs.
        let task = tokio::spawn(noted.in_current_span());
        let error = match timeout(MAX_WAIT, task).await {
            Ok(Ok(Err(error))) if is_outage(&error) => error,
            Ok(Ok(outcome)) => return outcome,
            Ok(Err(_)) => return Err(AuthError::new(Reason::VerifierFailed)),
            Err(_) => AuthError::new(Reason::ProviderTimeout),
        };
        // Looked up again: the grant may have ended meanwhile, or another call may have been answered.
        match self.known(grant, &user) {
            Some(context) if !user.revocation().is_revoked() => {
                self.report(error.reason());
                Ok(Arc::new(context.with_revalidate_at(self.0.clock.now() + REVALIDATE_AFTER)))
            }
            _ => Err(error),
        }
    }

    /// Returns the user with the last response, if the provider confirmed the user less than `grace` ago.
    fn known(&self, grant: GrantId, user: &UserContext) -> Option<UserContext> {
        let last = self.responses().get(&grant).cloned();
        let confirmed_at = last.as_ref().map(|last| last.at).max(user.confirmed_at())?;
        if self.0.clock.now() >= confirmed_at + self.0.grace {
            return None;
        }
        match last {
            Some(LastResponse { user: known, .. }) => {
                let known = known?;
                Some(user.with_profile(known.profile.clone()).with_extra_claims(known.claims.clone()))
            }
            None => Some(user.with_profile(user.profile().clone())),
        }
    }

    fn note(&self, grant: GrantId, outcome: &Result<Arc<UserContext>, AuthError>) {
        let user = match outcome {
            Ok(user) => Some(Arc::new(KnownUser { profile: user.profile().clone(), claims: user.claims().clone() })),
            Err(error) if is_refusal(error) => None,
            Err(_) => return,
        };
        let (at, mut responses) = (self.0.clock.now(), self.responses());
        if responses.len() >= CAPACITY {
            make_room(&mut responses);
        }
        responses.insert(grant, LastResponse { at, user });
    }

    fn responses(&self) -> MutexGuard<'_, HashMap<GrantId, LastResponse>> {
        self.0.responses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self, reason: Reason) {
        counter!("portcullis_outage_contexts_total", "reason" => reason.as_str()).increment(1);
        let now = Instant::now();
        let mut logged_at = self.0.logged_at.lock().unwrap_or_else(PoisonError::into_inner);
        if logged_at.is_none_or(|at| now.saturating_duration_since(at) >= LOG_PERIOD) {
            *logged_at = Some(now);
            tracing::warn!(%reason, grace = ?self.0.grace, "the provider is unavailable: its users are accepted by its last responses");
        }
    }
}

/// Removes the older half: in an outage, their users are accepted as the inner verifier describes them. Rejections are removed last.
fn make_room(responses: &mut HashMap<GrantId, LastResponse>) {
    let mut times: Vec<_> = responses.values().map(|last| (last.user.is_none(), last.at)).collect();
    let middle = times.len() / 2;
    let (_, middle, _) = times.select_nth_unstable(middle);
    let middle = *middle;
    responses.retain(|_, last| (last.user.is_none(), last.at) > middle);
}

/// Reports whether the provider does not respond, or not with a response that can be understood. A rejection of the token or of this server is
/// no outage.
fn is_outage(error: &AuthError) -> bool {
    let is_of_the_provider = matches!(
        error.reason(),
        Reason::ProviderUnavailable
            | Reason::ProviderTimeout
            | Reason::ProviderRateLimited
            | Reason::ProviderMisbehaved
            | Reason::BackingOff
            | Reason::KeySetUnavailable
    );
    is_of_the_provider && !is_refusal(error)
}

/// Reports whether the provider responded and did not confirm the user: in an outage that follows, the user is not accepted.
fn is_refusal(error: &AuthError) -> bool {
    let source = error.source();
    let answer = || match source.and_then(|source| source.downcast_ref()) {
        Some(ProtocolError::UnexpectedStatus(status)) => status.is_client_error(),
        Some(ProtocolError::InvalidMember("sub") | ProtocolError::WrongIssuer { .. }) => true,
        _ => false,
    };
    match error.reason() {
        _ if error.kind() == AuthErrorKind::InvalidToken
            || source.is_some_and(|source| source.is::<TokenWasRefused>()) =>
        {
            true
        }
        // A token that is accepted elsewhere and not here, or an error that no standard defines, may be about the user.
        Reason::FreshTokenRefused | Reason::UnknownRefusal => true,
        Reason::ClientRefused | Reason::ProviderMisbehaved => {
            answer()
                || source
                    .is_some_and(|source| matches!(source.downcast_ref(), Some(ProtocolError::ClientRefused { .. })))
        }
        _ => false,
    }
}

/// The provider rejected the upstream token, and there is no other one; the inner error says why.
#[derive(Debug, thiserror::Error)]
#[error("the provider rejected the upstream token, and there is no other one: {0}")]
pub(crate) struct TokenWasRefused(AuthError);

impl TokenWasRefused {
    /// Wraps `error`, and keeps its reason and its delay.
    pub(crate) fn marks(error: AuthError) -> AuthError {
        let marked = AuthError::new(error.reason());
        let marked = match error.retry_after() {
            Some(delay) => marked.with_retry_after(delay),
            None => marked,
        };
        marked.with_source(Self(error))
    }
}

impl fmt::Debug for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outage").field("grace", &self.0.grace).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_responses_are_bounded_and_rejections_are_removed_last() {
        let mut responses = HashMap::new();
        for number in 0..100_u8 {
            let user = (number >= 10).then(|| Arc::new(KnownUser { profile: Map::new(), claims: Map::new() }));
            responses.insert(
                GrantId::from_bytes([number; 16]),
                LastResponse { at: UnixTime::from_secs(number.into()), user },
            );
        }
        make_room(&mut responses);
        assert_eq!(responses.len(), 49);
        for (number, is_kept) in [(0, true), (9, true), (10, false), (60, false), (61, true), (99, true)] {
            assert_eq!(responses.contains_key(&GrantId::from_bytes([number; 16])), is_kept, "{number}");
        }
    }
}
