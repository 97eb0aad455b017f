//! [`Outage`]: users go on while their provider cannot be asked, by what it last said of them.

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

/// What a provider last said is kept of so many grants: as many as the context cache holds contexts.
const CAPACITY: usize = 100_000;

/// So long a user waits for a provider that does not answer. The question goes on without the user.
const PATIENCE: Duration = Duration::from_secs(3);

/// After so long the provider is asked again, or its back-off is.
const PAUSE: Duration = Duration::from_secs(5);

/// An outage is logged at most so often.
const LOGGED_EVERY: Duration = Duration::from_secs(30);

/// Users go on while their provider cannot be asked, by what it last said of them. Clones share that.
#[derive(Clone)]
pub(super) struct Outage(Arc<Inner>);

struct Inner {
    grace: Duration,
    clock: Arc<dyn Clock>,
    answers: Mutex<HashMap<GrantId, Answer>>,
    logged_at: Mutex<Option<Instant>>,
}

/// What the provider last said of the user of a grant, and when.
#[derive(Clone)]
struct Answer {
    at: UnixTime,
    /// `None`: that the user is none; only another answer changes that.
    known: Option<Arc<Known>>,
}

struct Known {
    profile: Map<String, Value>,
    claims: Map<String, Value>,
}

impl Outage {
    /// For `grace` after the provider last confirmed a user.
    pub(super) fn new(grace: Duration, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner { grace, clock, answers: Mutex::default(), logged_at: Mutex::default() }))
    }

    /// What `resolution` comes to; if the provider cannot be asked, `user` by what is known from before.
    pub(super) async fn bridged(
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
        // On a task of its own: a question that is given up would tell nobody that the provider hangs.
        let asking = tokio::spawn(noted.in_current_span());
        let error = match timeout(PATIENCE, asking).await {
            Ok(Ok(Err(error))) if is_outage(&error) => error,
            Ok(Ok(outcome)) => return outcome,
            Ok(Err(_)) => return Err(AuthError::new(Reason::VerifierFailed)),
            Err(_) => AuthError::new(Reason::ProviderTimeout),
        };
        // Looked at again: the grant may have ended meanwhile, or another question may have been answered.
        match self.known(grant, &user) {
            Some(context) if !user.revocation().is_revoked() => {
                self.tell(error.reason());
                Ok(Arc::new(context.with_revalidate_at(self.0.clock.now() + PAUSE)))
            }
            _ => Err(error),
        }
    }

    /// The user by what is known from before, if the provider confirmed it recently enough.
    fn known(&self, grant: GrantId, user: &UserContext) -> Option<UserContext> {
        let answer = self.answers().get(&grant).cloned();
        let confirmed_at = answer.as_ref().map(|answer| answer.at).max(user.confirmed_at())?;
        if self.0.clock.now() >= confirmed_at + self.0.grace {
            return None;
        }
        match answer {
            Some(Answer { known, .. }) => {
                let known = known?;
                Some(user.with_profile(known.profile.clone()).with_extra_claims(known.claims.clone()))
            }
            None => Some(user.with_profile(user.profile().clone())),
        }
    }

    fn note(&self, grant: GrantId, outcome: &Result<Arc<UserContext>, AuthError>) {
        let known = match outcome {
            Ok(user) => Some(Arc::new(Known { profile: user.profile().clone(), claims: user.claims().clone() })),
            Err(error) if is_refusal(error) => None,
            Err(_) => return,
        };
        let (at, mut answers) = (self.0.clock.now(), self.answers());
        if answers.len() >= CAPACITY {
            make_room(&mut answers);
        }
        answers.insert(grant, Answer { at, known });
    }

    fn answers(&self) -> MutexGuard<'_, HashMap<GrantId, Answer>> {
        self.0.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, reason: Reason) {
        counter!("portcullis_outage_contexts_total", "reason" => reason.as_str()).increment(1);
        let now = Instant::now();
        let mut logged_at = self.0.logged_at.lock().unwrap_or_else(PoisonError::into_inner);
        if logged_at.is_none_or(|at| now.saturating_duration_since(at) >= LOGGED_EVERY) {
            *logged_at = Some(now);
            tracing::warn!(%reason, grace = ?self.0.grace, "the provider cannot be asked: its users go on by what is known of them");
        }
    }
}

/// Forgets the older half: their users go on as the verifier inside knows them. That a user was refused is forgotten last.
fn make_room(answers: &mut HashMap<GrantId, Answer>) {
    let mut times: Vec<_> = answers.values().map(|answer| (answer.known.is_none(), answer.at)).collect();
    let middle = times.len() / 2;
    let (_, middle, _) = times.select_nth_unstable(middle);
    let middle = *middle;
    answers.retain(|_, answer| (answer.known.is_none(), answer.at) > middle);
}

/// Whether the provider cannot be asked, or says nothing that can be understood. A refusal of the token or of this server is no outage.
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

/// Whether the provider has answered, and did not confirm the user: in an outage that follows, the user is not served by what was known
/// before.
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
        // A key that opens one endpoint and not this one, or a word that no standard knows, may be about the user.
        Reason::FreshTokenRefused | Reason::UnknownRefusal => true,
        Reason::ClientRefused | Reason::ProviderMisbehaved => {
            answer()
                || source
                    .is_some_and(|source| matches!(source.downcast_ref(), Some(ProtocolError::ClientRefused { .. })))
        }
        _ => false,
    }
}

/// The provider refused the user's token, and there is no other one; the error says why not.
#[derive(Debug, thiserror::Error)]
#[error("the provider refused the token of this user, and there is no other one: {0}")]
pub(super) struct TokenWasRefused(AuthError);

impl TokenWasRefused {
    /// Marks `error`.
    pub(super) fn marks(error: AuthError) -> AuthError {
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
    fn what_is_kept_is_bounded_and_refusals_are_forgotten_last() {
        let mut answers = HashMap::new();
        for number in 0..100_u8 {
            let known = (number >= 10).then(|| Arc::new(Known { profile: Map::new(), claims: Map::new() }));
            answers.insert(GrantId::from_bytes([number; 16]), Answer { at: UnixTime::from_secs(number.into()), known });
        }
        make_room(&mut answers);
        assert_eq!(answers.len(), 49);
        for (number, is_kept) in [(0, true), (9, true), (10, false), (60, false), (61, true), (99, true)] {
            assert_eq!(answers.contains_key(&GrantId::from_bytes([number; 16])), is_kept, "{number}");
        }
    }
}
