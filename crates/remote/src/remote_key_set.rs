//! [`RemoteKeySet`]: the keys that an issuer publishes, fetched from their [`Location`] and kept up to date.

use std::{
    error::Error as _,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use http::{Response, Uri};
use metrics::{Counter, counter};
use portcullis_core::{AuthError, Clock, Issuer, Reason, SystemClock};
use portcullis_egress::{Egress, RequestKind};
use portcullis_oauth::{
    ProtocolError,
    jwt::{HeaderCheckedJwt, KeySet, SignedJwt},
};
use tokio::time::Instant;

use crate::{
    SharedTask, discovery,
    key_set_schedule::{Age, Fetch, Schedule, Snapshot},
};

/// The keys that an issuer publishes, fetched and kept up to date. Clones share them.
///
/// 1. Nothing is fetched before a token needs it, or [`prefetch`](Self::prefetch) is called.
/// 2. Keys are fresh for the time that `Cache-Control: max-age` says, within one minute and one hour (10 minutes if it says nothing).
///    Then they are fetched again in the background, and are still used meanwhile; if no token needed them for twice that time, they
///    are fetched before they are used.
/// 3. A `kid` that is not among them starts a fetch, at most once in 30 seconds, whatever its outcome is. In between the result is
///    [`Reason::UnknownKey`], unless the token is newer than the last fetch, by its `iat` (with 5 seconds of leeway), or does not say
///    when it was issued: then only the next fetch can tell, and the result is [`Reason::KeySetUnavailable`] until that fetch may
///    begin. A `kid` and an `iat` can be forged; they affect the result for that token alone.
/// 4. If a fetch fails, the present keys are used until they are 24 hours old ([`with_max_age`](Self::with_max_age)). Without keys, and
///    for an unknown `kid`, the result is [`Reason::KeySetUnavailable`]. The next fetch is made after 1 second, doubling to 30, or when
///    the issuer says.
/// 5. There is one fetch at a time. All tokens that need it wait for it, and it goes on when their callers go away; so no response can
///    replace a newer one.
///
/// Metadata is found by [RFC 8414](https://www.rfc-editor.org/rfc/rfc8414) and OpenID Connect Discovery, and must name
/// exactly this issuer. The [`Egress`] decides where requests may go.
///
/// Fetches are counted as `portcullis_key_set_fetches_total` by `outcome`, `success` or `failure`.
/// It verifies signatures and does **not** check claims.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use portcullis_core::Issuer;
/// use portcullis_egress::{Egress, EgressConfig};
/// use portcullis_remote::RemoteKeySet;
///
/// let keys = RemoteKeySet::discovered(Issuer::new("https://idp.example.com")?, Egress::new(EgressConfig::new())?);
/// assert!(!keys.is_ready(), "nothing is fetched before a token needs it");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RemoteKeySet {
    location: Location,
    egress: Egress,
    max_age: Duration,
    clock: Arc<dyn Clock>,
    state: Arc<State>,
}

/// The result of verifying a token by a key set: at once, or after a fetch.
#[must_use]
#[expect(clippy::exhaustive_enums, reason = "at once or later: there is no third")]
pub enum Verification {
    /// The outcome.
    Done(Result<SignedJwt, AuthError>),
    /// The outcome after a fetch.
    Pending(BoxFuture<'static, Result<SignedJwt, AuthError>>),
}

struct State {
    current: ArcSwapOption<Snapshot>,
    schedule: Mutex<Schedule>,
    telemetry: FetchTelemetry,
}

impl RemoteKeySet {
    /// Creates the key set of `issuer`, at the URL that the issuer's metadata says.
    #[must_use]
    pub fn discovered(issuer: Issuer, egress: Egress) -> Self {
        Self::new(Location::DiscoveredFrom(issuer), egress)
    }

    /// Creates the key set at `jwks_uri`, for issuers without metadata.
    #[must_use]
    pub fn at(jwks_uri: Uri, egress: Egress) -> Self {
        Self::new(Location::At(jwks_uri), egress)
    }

    fn new(location: Location, egress: Egress) -> Self {
        let telemetry = FetchTelemetry::new();
        let state = State { current: ArcSwapOption::empty(), schedule: Mutex::default(), telemetry };
        let clock = Arc::new(SystemClock::new());
        Self { location, egress, max_age: Duration::from_secs(24 * 3600), clock, state: Arc::new(state) }
    }

    /// Sets the clock that tells whether a token is newer than the present keys. Default: the system's.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sets how long keys are used that cannot be fetched again. Default: 24 hours.
    ///
    /// An outage of the issuer that is shorter than this is not noticed by its users. An attacker that can prevent fetches can use a
    /// withdrawn key for this long.
    #[must_use]
    pub const fn with_max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self
    }

    /// Reports whether there are keys that may be used.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.state.current.load().as_ref().is_some_and(|current| self.age(current) != Age::Expired)
    }

    /// Fetches the keys if there are none that may be used: at start-up, and for a readiness probe.
    ///
    /// # Errors
    /// [`Reason::KeySetUnavailable`] if they could not be fetched.
    pub async fn prefetch(&self) -> Result<(), AuthError> {
        if self.is_ready() {
            return Ok(());
        }
        self.fetch()?.await
    }

    /// Verifies the signature of `jwt`, after a fetch if one is needed.
    ///
    /// # Errors
    /// [`Reason::UnknownKey`], [`Reason::BadSignature`]; [`Reason::KeySetUnavailable`] if the keys cannot be fetched.
    pub async fn verified(&self, jwt: HeaderCheckedJwt) -> Result<SignedJwt, AuthError> {
        match self.verify(jwt) {
            Verification::Done(outcome) => outcome,
            Verification::Pending(outcome) => outcome.await,
        }
    }

    /// Verifies the signature of `jwt` at once, if no fetch is needed. It does the same as [`verified`](Self::verified), without a
    /// boxed future in that case.
    pub fn verify(&self, jwt: HeaderCheckedJwt) -> Verification {
        let current = self.state.current.load();
        let fetch = match current.as_ref().map(|current| (current, self.age(current))) {
            None | Some((_, Age::Expired)) => self.fetch(),
            Some((current, age)) => {
                // A token waits for the fetch if the keys are old, unless the issuer is in its back-off window.
                let fetch = (age != Age::Fresh).then(|| self.fetch());
                match fetch {
                    Some(Ok(fetch)) if age == Age::Old => Ok(fetch),
                    _ => match current.keys.select(&jwt) {
                        Some(key) => return Verification::Done(jwt.verify(key)),
                        None => {
                            let is_newer = current.is_older_than(&jwt, self.clock.now());
                            self.schedule().reload(Instant::now(), is_newer, || self.start())
                        }
                    },
                }
            }
        };
        match fetch {
            Ok(fetch) => Verification::Pending(self.clone().verify_after(fetch, jwt).boxed()),
            Err(error) => Verification::Done(Err(error)),
        }
    }

    /// Verifies `jwt` after `fetch`.
    async fn verify_after(self, fetch: Fetch, jwt: HeaderCheckedJwt) -> Result<SignedJwt, AuthError> {
        let fetched = fetch.await;
        let current = self.state.current.load_full().filter(|current| self.age(current) != Age::Expired);
        match (current.as_ref().and_then(|current| current.keys.select(&jwt)), fetched) {
            (Some(key), _) => jwt.verify(key),
            (None, Ok(())) => Err(AuthError::new(Reason::UnknownKey)),
            (None, Err(error)) => Err(error),
        }
    }

    fn age(&self, snapshot: &Snapshot) -> Age {
        snapshot.age(Instant::now(), self.max_age)
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        // No code panics while the lock is held.
        self.state.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fetch(&self) -> Result<Fetch, AuthError> {
        self.schedule().fetch(Instant::now(), || self.start())
    }

    /// Starts a fetch on its own task.
    fn start(&self) -> Fetch {
        let this = self.clone();
        let fetch = async move {
            let (requested_at, requested_on) = (Instant::now(), this.clock.now());
            let fetched = this.location.fetch(&this.egress).await;
            this.state.telemetry.record(&this.location, fetched.as_ref().map(|(keys, _)| keys));
            match fetched {
                Ok((keys, response)) => {
                    let snapshot = Snapshot::new(keys, response.headers(), requested_at, requested_on);
                    this.state.current.store(Some(Arc::new(snapshot)));
                    this.schedule().succeeded();
                    Ok(())
                }
                Err(error) => Err(this.schedule().failed(Instant::now(), error)),
            }
        };
        // A task that panicked or was shut down says nothing about any token.
        SharedTask::spawn(fetch, |failed| Err(AuthError::new(Reason::VerifierFailed).with_source(failed)))
    }
}

impl fmt::Debug for RemoteKeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteKeySet")
            .field("location", &self.location)
            .field("max_age", &self.max_age)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(outcome) => f.debug_tuple("Done").field(outcome).finish(),
            Self::Pending(_) => f.debug_tuple("Pending").finish_non_exhaustive(),
        }
    }
}

/// Where the key set of an issuer is.
#[derive(Clone, Debug)]
enum Location {
    /// At the URL in the issuer's metadata. The metadata is fetched each time, because an issuer may move its keys.
    DiscoveredFrom(Issuer),
    /// At a configured URL.
    At(Uri),
}

impl Location {
    /// Fetches the key set and returns it with the response that contained it.
    async fn fetch(&self, egress: &Egress) -> Result<(KeySet, Response<Bytes>), AuthError> {
        let url = match self {
            Self::At(url) => url.clone(),
            Self::DiscoveredFrom(issuer) => {
                let (metadata, _) =
                    discovery::discover_until(egress, issuer, |metadata| metadata.jwks_uri().is_some()).await?;
                metadata.jwks_uri().cloned().ok_or(ProtocolError::InvalidMember("jwks_uri"))?
            }
        };
        let response = discovery::send(egress, KeySet::request(&url), RequestKind::new("key_set")).await?;
        Ok((KeySet::process(&response)?, response))
    }
}

/// For the log: without the query, which may contain an API key.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DiscoveredFrom(issuer) => issuer.fmt(f),
            Self::At(url) => url.to_string().split('?').next().unwrap_or_default().fmt(f),
        }
    }
}

/// Counters and log entries of fetches. The names are a stable interface. The metrics recorder must be installed before.
struct FetchTelemetry {
    success: Counter,
    failure: Counter,
}

impl FetchTelemetry {
    fn new() -> Self {
        let fetches = |outcome: &'static str| counter!("portcullis_key_set_fetches_total", "outcome" => outcome);
        Self { success: fetches("success"), failure: fetches("failure") }
    }

    fn record(&self, location: &Location, outcome: Result<&KeySet, &AuthError>) {
        match outcome {
            Ok(keys) => {
                self.success.increment(1);
                for skipped in keys.skipped() {
                    tracing::warn!(%location, index = skipped.index, problem = skipped.problem, "key of the set skipped");
                }
                tracing::debug!(%location, keys = keys.len(), "key set fetched");
            }
            Err(error) => {
                self.failure.increment(1);
                tracing::warn!(%location, reason = %error.reason(), cause = error.source(), "key set could not be fetched");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_of_a_url_is_not_logged() {
        let location = Location::At(Uri::from_static("https://idp.example.com/keys?api_key=s3cret"));
        assert_eq!(location.to_string(), "https://idp.example.com/keys");
    }
}
