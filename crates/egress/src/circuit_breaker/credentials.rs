//! [`CredentialKey`]: the credential that a request presents; and [`Credentials`]: those that fail, each with a pause of its own, and
//! those that were accepted.

use std::{
    collections::{HashMap, HashSet},
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{Request, header::AUTHORIZATION};
use portcullis_core::{BearerToken, Fingerprint, FingerprintState};
use tokio::time::Instant;

use super::{Refusal, retry_after::back_off_window};
use crate::EgressErrorKind;

/// The number of paused credentials that are remembered. The one whose pause ends soonest is forgotten first.
const CAPACITY: usize = 10_000;
/// The least number of accepted credentials that are remembered. Credentials that fail take none of that room.
const ACCEPTED_CAPACITY: usize = 10_000;
/// How long after its pause a credential that fails again is paused for longer than the last time.
const MEMORY: Duration = Duration::from_secs(60);

/// The credential that a request presents to a provider, by its hash: the token that is introspected, the refresh token or the
/// code that is redeemed, the token whose user is asked for.
///
/// The component that makes the request puts it into the extensions, because only that component knows which part of the request is the
/// credential. Without it, the bearer token of the `Authorization` header is the credential. Without that there is none: such
/// a request is the server's own.
///
/// ```
/// use portcullis_core::BearerToken;
/// use portcullis_egress::CredentialKey;
///
/// let token = BearerToken::new("the-token-to-be-introspected")?;
/// let request = http::Request::post("https://idp.example.com/introspect")
///     .extension(CredentialKey::new(token.fingerprint()))
///     .body("token=the-token-to-be-introspected")?;
/// # drop(request);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CredentialKey(Fingerprint);

impl CredentialKey {
    /// Creates the key of the credential with this hash.
    #[must_use]
    pub const fn new(fingerprint: Fingerprint) -> Self {
        Self(fingerprint)
    }

    pub(super) const fn fingerprint(self) -> Fingerprint {
        self.0
    }
}

/// The credential that a request presents.
#[derive(Clone, Copy, Debug)]
pub(super) struct Presented {
    pub(super) credential: Option<Fingerprint>,
    /// Whether the request is made with a user's bearer token: a rate limit is then that user's.
    pub(super) is_bearer: bool,
}

impl Presented {
    pub(super) fn by<B>(request: &Request<B>) -> Self {
        let bearer = bearer(request);
        let named = request.extensions().get::<CredentialKey>().map(|CredentialKey(fingerprint)| *fingerprint);
        Self { credential: named.or(bearer), is_bearer: bearer.is_some() }
    }
}

fn bearer<B>(request: &Request<B>) -> Option<Fingerprint> {
    const SCHEME: &str = "Bearer ";
    let (scheme, token) = request.headers().get(AUTHORIZATION)?.to_str().ok()?.split_at_checked(SCHEME.len())?;
    // Providers issue tokens that the grammar of the scheme does not allow.
    let token = Some(token.trim_start()).filter(|_| scheme.eq_ignore_ascii_case(SCHEME));
    Some(BearerToken::issued(token?).ok()?.fingerprint())
}

/// The credentials that fail, each with a pause of its own, and those that were accepted. Both by their hashes, both bounded.
#[derive(Default)]
pub(super) struct Credentials(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    paused: HashMap<Fingerprint, Pause, FingerprintState>,
    /// In two generations: when the newer one is full, the older one is forgotten.
    accepted: [HashSet<Fingerprint, FingerprintState>; 2],
}

struct Pause {
    until: Instant,
    kind: EgressErrorKind,
    failures: u32,
}

impl Credentials {
    /// Returns the refusal of calls with `credential`, if it is paused.
    pub(super) fn paused(&self, credential: Fingerprint) -> Option<Refusal> {
        let memory = self.lock();
        let pause = memory.paused.get(&credential)?;
        let retry_after = pause.until.saturating_duration_since(Instant::now());
        (!retry_after.is_zero()).then_some(Refusal { kind: pause.kind, retry_after })
    }

    /// Pauses `credential` for a time that doubles each time, or for as long as the provider `asked`. Returns that time. The credential no
    /// longer counts as accepted.
    pub(super) fn pause(&self, credential: Fingerprint, kind: EgressErrorKind, asked: Option<Duration>) -> Duration {
        let now = Instant::now();
        let mut memory = self.lock();
        for accepted in &mut memory.accepted {
            accepted.remove(&credential);
        }
        memory.make_room_for(&credential, now);
        let pause = memory.paused.entry(credential).or_insert(Pause { until: now, kind, failures: 0 });
        // Calls that fail together are one failure.
        let earlier = if pause.until > now { pause.failures.saturating_sub(1) } else { pause.failures };
        pause.failures = earlier.saturating_add(1);
        pause.until = pause.until.max(now + back_off_window(earlier, asked));
        pause.kind = kind;
        pause.until.saturating_duration_since(now)
    }

    /// Notes that the provider accepted `credential`.
    pub(super) fn accept(&self, credential: Fingerprint) {
        let mut memory = self.lock();
        memory.paused.remove(&credential);
        let [newer, older] = &mut memory.accepted;
        if newer.len() >= ACCEPTED_CAPACITY && !newer.contains(&credential) {
            *older = mem::take(newer);
        }
        newer.insert(credential);
    }

    /// Reports whether the provider accepted `credential`, and it has not failed since.
    pub(super) fn is_accepted(&self, credential: &Fingerprint) -> bool {
        self.lock().accepted.iter().any(|accepted| accepted.contains(credential))
    }

    /// Reports whether `credential` failed, and has not been accepted since.
    pub(super) fn has_failed(&self, credential: &Fingerprint) -> bool {
        self.lock().paused.contains_key(credential)
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        // No code panics while the lock is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn make_room_for(&mut self, credential: &Fingerprint, now: Instant) {
        if let Some(pause) = self.paused.get(credential) {
            if pause.until + MEMORY <= now {
                self.paused.remove(credential);
            }
        } else if self.paused.len() >= CAPACITY {
            self.paused.retain(|_, pause| pause.until > now);
            let soonest = self.paused.iter().min_by_key(|(_, pause)| pause.until).map(|(credential, _)| *credential);
            if let Some(soonest) = soonest.filter(|_| self.paused.len() >= CAPACITY) {
                self.paused.remove(&soonest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const LIMITED: EgressErrorKind = EgressErrorKind::RateLimited;
    const SECOND: Duration = Duration::from_secs(1);

    fn nth(nth: usize) -> Fingerprint {
        BearerToken::new(&nth.to_string()).expect("token").fingerprint()
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_are_bounded_and_the_one_that_ends_soonest_is_forgotten_first() {
        let credentials = Credentials::default();
        credentials.pause(nth(0), LIMITED, None);
        // The longest there is, so that the jitter does not change the order.
        let longest = SECOND * 200;
        for n in 1..CAPACITY {
            credentials.pause(nth(n), LIMITED, Some(longest));
        }
        assert!(credentials.paused(nth(0)).is_some());
        credentials.pause(nth(CAPACITY), LIMITED, Some(longest));
        assert!(credentials.paused(nth(0)).is_none(), "its pause would have ended soonest");
        assert_eq!(credentials.lock().paused.len(), CAPACITY);
        assert!(credentials.paused(nth(CAPACITY)).is_some());

        advance(longest * 2).await;
        credentials.pause(nth(0), LIMITED, None);
        assert_eq!(credentials.lock().paused.len(), 1, "pauses that are over make room");
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_double_and_a_late_answer_shortens_none() {
        let (credentials, credential) = (Credentials::default(), nth(0));
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            let least = SECOND * seconds;
            let pause = credentials.pause(credential, LIMITED, None);
            assert!(least <= pause && pause < least * 5 / 4, "{pause:?}");
            assert!(credentials.pause(credential, LIMITED, None) >= pause, "calls that fail together");
            advance(least * 5 / 4).await;
            assert!(credentials.paused(credential).is_none());
        }
        credentials.pause(credential, LIMITED, Some(SECOND * 60));
        credentials.pause(credential, LIMITED, None);
        let rest = credentials.paused(credential).expect("paused").retry_after;
        assert!(SECOND * 60 <= rest && rest <= SECOND * 75);
        advance(SECOND * 75 + MEMORY).await;
        assert!(credentials.pause(credential, LIMITED, None) < SECOND * 5 / 4, "that was long ago");
    }

    #[tokio::test(start_paused = true)]
    async fn an_accepted_credential_is_remembered_until_it_fails_whatever_other_credentials_do() {
        let credentials = Credentials::default();
        credentials.accept(nth(0));
        for n in 1..=CAPACITY {
            credentials.pause(nth(n), LIMITED, None);
        }
        for n in 1..=ACCEPTED_CAPACITY {
            assert!(credentials.is_accepted(&nth(0)), "{n}");
            credentials.accept(nth(n));
        }
        for n in ACCEPTED_CAPACITY..=2 * ACCEPTED_CAPACITY {
            credentials.accept(nth(n));
        }
        assert!(!credentials.is_accepted(&nth(0)), "it is not remembered for ever");
        credentials.accept(nth(0));
        credentials.pause(nth(0), LIMITED, None);
        assert!(!credentials.is_accepted(&nth(0)));
        credentials.accept(nth(0));
        assert!(credentials.is_accepted(&nth(0)) && credentials.paused(nth(0)).is_none());
    }

    fn presented(credentials: &str) -> Presented {
        Presented::by(&Request::get("/").header(AUTHORIZATION, credentials).body(()).expect("request"))
    }

    #[test]
    fn a_bearer_token_is_a_credential_and_other_schemes_are_not() {
        let token = |credentials| presented(credentials).credential;
        assert_eq!(token("Bearer a"), token("bearer   a"));
        assert_ne!(token("Bearer a"), token("Bearer b"));
        assert!(token("Bearer 00D!of.Salesforce").is_some());
        for credentials in ["Basic YTpi", "Bearer", "Bearer ", "DPoP abcdef"] {
            assert_eq!(token(credentials), None, "{credentials}");
        }
    }

    #[test]
    fn the_key_in_the_extensions_comes_first() {
        let key = CredentialKey::new(BearerToken::new("b").expect("token").fingerprint());
        let mut request =
            Request::get("/").header(AUTHORIZATION, "Basic YTpi").extension(key).body(()).expect("request");
        let presented = Presented::by(&request);
        assert_eq!((presented.credential, presented.is_bearer), (Some(key.0), false));
        request.headers_mut().insert(AUTHORIZATION, "Bearer a".parse().expect("value"));
        let presented = Presented::by(&request);
        assert_eq!((presented.credential, presented.is_bearer), (Some(key.0), true));
    }
}
