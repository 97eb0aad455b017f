//! [`Users`]: the users whose rate limit is reached.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{HeaderMap, header::AUTHORIZATION};
use portcullis_core::{BearerToken, Fingerprint, FingerprintState};
use tokio::time::Instant;

use super::window::back_off_window;

/// How many are remembered. Whoever can be forgotten soonest goes first.
const CAPACITY: usize = 10_000;

type Pauses = HashMap<Fingerprint, Instant, FingerprintState>;

/// The users whose rate limit is reached, and until when nothing is asked with their tokens.
#[derive(Default)]
pub(super) struct Users(Mutex<Pauses>);

/// The user with whose token a request is made.
pub(super) struct User {
    users: Arc<Users>,
    token: Fingerprint,
}

impl Users {
    /// The user of a request with `headers`; `None` if it is made with no bearer token.
    pub(super) fn user(self: &Arc<Self>, headers: &HeaderMap) -> Option<User> {
        const SCHEME: &str = "Bearer ";
        let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_at_checked(SCHEME.len())?;
        // What a provider issues is more than the grammar of the scheme allows.
        let token = Some(token.trim_start()).filter(|_| scheme.eq_ignore_ascii_case(SCHEME));
        let token = BearerToken::issued(token?).ok()?.fingerprint();
        Some(User { users: Arc::clone(self), token })
    }

    fn lock(&self) -> MutexGuard<'_, Pauses> {
        // Nothing panics while the lock is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl User {
    /// For how long nothing is to be asked with this token.
    pub(super) fn pause(&self) -> Option<Duration> {
        let until = self.users.lock().get(&self.token).copied()?;
        Some(until.saturating_duration_since(Instant::now())).filter(|rest| !rest.is_zero())
    }

    /// From now on nothing is asked with this token for as long as the provider `asked`. Nobody else is affected.
    pub(super) fn leave_alone(&self, asked: Option<Duration>) {
        let now = Instant::now();
        let until = now + back_off_window(0, asked);
        let mut pauses = self.users.lock();
        pauses.retain(|_, until| *until > now);
        if pauses.len() >= CAPACITY
            && !pauses.contains_key(&self.token)
            && let Some(soonest) = pauses.iter().min_by_key(|(_, until)| **until).map(|(token, _)| *token)
        {
            pauses.remove(&soonest);
        }
        let kept = pauses.entry(self.token).or_insert(until);
        *kept = until.max(*kept);
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("token", &self.token).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use tokio::time::advance;

    use super::*;

    fn user(users: &Arc<Users>, credentials: &str) -> Option<User> {
        let credentials = HeaderValue::from_str(credentials).expect("header value");
        users.user(&HeaderMap::from_iter([(AUTHORIZATION, credentials)]))
    }

    #[test]
    fn a_user_is_whoever_has_the_same_bearer_token() {
        let users = Arc::default();
        let token = |credentials| user(&users, credentials).map(|user| user.token);
        assert_eq!(token("Bearer a"), token("bearer   a"));
        assert_ne!(token("Bearer a"), token("Bearer b"));
        assert!(token("Bearer 00D!of.Salesforce").is_some());
        for credentials in ["Basic YTpi", "Bearer", "Bearer ", "DPoP abcdef"] {
            assert_eq!(token(credentials), None, "{credentials}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_are_remembered_and_those_whose_pause_is_over_are_not() {
        let users = Arc::default();
        let nth = |nth: usize| user(&users, &format!("Bearer {nth}")).expect("a user");
        nth(0).leave_alone(None);
        // The longest there is, so that chance does not change the order.
        let longest = Duration::from_secs(200);
        for n in 1..CAPACITY {
            nth(n).leave_alone(Some(longest));
        }
        assert!(nth(0).pause().is_some());
        nth(CAPACITY).leave_alone(Some(longest));
        assert_eq!((nth(0).pause(), users.lock().len()), (None, CAPACITY), "the one that was over soonest");
        assert!(nth(CAPACITY).pause().is_some());

        advance(longest * 2).await;
        nth(0).leave_alone(None);
        assert_eq!(users.lock().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_answer_shortens_no_pause() {
        let users = Arc::default();
        let user = user(&users, "Bearer a").expect("a user");
        user.leave_alone(Some(Duration::from_secs(60)));
        user.leave_alone(None);
        // Not more than a quarter over.
        assert!(user.pause() <= Some(Duration::from_secs(75)));
        assert!(user.pause() >= Some(Duration::from_secs(60)));
    }
}
