//! [`RemoteKeySet`]: the keys that an issuer publishes, fetched and kept up to date.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use futures_util::FutureExt;
use http::Uri;
use portcullis_core::{AuthError, Clock, Issuer, Reason, SystemClock};
use portcullis_egress::Egress;
use portcullis_oauth::jwt::{HeaderCheckedJwt, SignedJwt};
use tokio::time::Instant;

use crate::{
    location::Location,
    schedule::{Flight, Schedule, flight},
    snapshot::{Age, Snapshot},
    telemetry::Telemetry,
    verification::Verification,
};

/// The keys that an issuer publishes, fetched and kept up to date. Clones share them.
///
/// 1. Nothing is fetched before somebody needs it, or calls [`prefetch`](Self::prefetch).
/// 2. Keys are fresh for what `Cache-Control: max-age` says, within one minute and one hour (10 minutes if it says nothing).
///    Then they are fetched again in the background while they go on being used; if nobody needed them for twice as long,
///    before they are used.
/// 3. A `kid` that is not among them starts a fetch, once in 30 seconds whatever comes of it. In between it is
///    [`Reason::UnknownKey`], unless the token is newer than the last fetch, by its `iat` (with 5 seconds of leeway), or does not say
///    when it was issued: then only the next fetch can tell, and the outcome is [`Reason::KeySetUnavailable`] until it may begin.
///    Anyone can write a `kid` and an `iat`; what follows from them concerns that token alone.
/// 4. If a fetch fails, the keys at hand are used until they are 24 hours old ([`with_max_age`](Self::with_max_age)); without
///    them, and for an unknown `kid`, nobody can tell: [`Reason::KeySetUnavailable`]. The next fetch is made after 1 second,
///    doubling to 30, or when the issuer says.
/// 5. There is one fetch at a time. All who need it wait for it, and it goes on when they go away; so no answer can
///    replace a newer one.
///
/// Metadata is found by [RFC 8414](https://www.rfc-editor.org/rfc/rfc8414) and OpenID Connect Discovery, and must name
/// exactly this issuer. Where requests may go is for the [`Egress`] to say.
///
/// Fetches are counted as `portcullis_key_set_fetches_total` by `outcome`, `success` or `failure`.
/// What the token must say beside is not looked at here.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use portcullis_core::Issuer;
/// use portcullis_egress::{Egress, EgressConfig};
/// use portcullis_remote::RemoteKeySet;
///
/// let keys = RemoteKeySet::discovered(Issuer::new("https://idp.example.com")?, Egress::new(EgressConfig::new())?);
/// assert!(!keys.is_ready(), "nothing is fetched before somebody needs it");
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

struct State {
    current: ArcSwapOption<Snapshot>,
    schedule: Mutex<Schedule>,
    telemetry: Telemetry,
}

impl RemoteKeySet {
    /// The keys of `issuer`, where its metadata says.
    #[must_use]
    pub fn discovered(issuer: Issuer, egress: Egress) -> Self {
        Self::new(Location::DiscoveredFrom(issuer), egress)
    }

    /// The keys at `jwks_uri`, for issuers without metadata.
    #[must_use]
    pub fn at(jwks_uri: Uri, egress: Egress) -> Self {
        Self::new(Location::At(jwks_uri), egress)
    }

    fn new(location: Location, egress: Egress) -> Self {
        let state = State { current: ArcSwapOption::empty(), schedule: Mutex::default(), telemetry: Telemetry::new() };
        let clock = Arc::new(SystemClock::new());
        Self { location, egress, max_age: Duration::from_secs(24 * 3600), clock, state: Arc::new(state) }
    }

    /// The clock by which it is known whether a token is newer than the keys at hand. Default: the system's.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// How long keys are used that cannot be fetched again. Default: 24 hours.
    ///
    /// For so long an outage of the issuer goes unnoticed by its users; for so long a withdrawn key can be used by
    /// somebody who keeps us from fetching.
    #[must_use]
    pub const fn with_max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self
    }

    /// Whether there are keys at hand that may be used.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.state.current.load().as_ref().is_some_and(|current| self.age(current) != Age::Expired)
    }

    /// Fetches the keys if there are none at hand: for start-up, and for a readiness probe.
    ///
    /// # Errors
    /// [`Reason::KeySetUnavailable`] if they could not be had.
    pub async fn prefetch(&self) -> Result<(), AuthError> {
        if self.is_ready() {
            return Ok(());
        }
        self.fetch()?.await
    }

    /// Verifies the signature of `jwt`, with a fetch if it has to be.
    ///
    /// # Errors
    /// [`Reason::UnknownKey`], [`Reason::BadSignature`]; [`Reason::KeySetUnavailable`] if nobody can tell.
    pub async fn verified(&self, jwt: HeaderCheckedJwt) -> Result<SignedJwt, AuthError> {
        match self.verify(jwt) {
            Verification::Done(outcome) => outcome,
            Verification::Pending(outcome) => outcome.await,
        }
    }

    /// Verifies the signature of `jwt` at once, if the key for it is at hand or certainly does not exist: as
    /// [`verified`](Self::verified), for those who do not want to box a future for it.
    pub fn verify(&self, jwt: HeaderCheckedJwt) -> Verification {
        let current = self.state.current.load();
        let fetch = match current.as_ref().map(|current| (current, self.age(current))) {
            None | Some((_, Age::Expired)) => self.fetch(),
            Some((current, age)) => {
                // Of stale keys nobody waits for the next ones; of old ones nobody waits during a back-off.
                let fetch = (age != Age::Fresh).then(|| self.fetch());
                match fetch {
                    Some(Ok(flight)) if age == Age::Old => Ok(flight),
                    _ => match current.keys.select(&jwt) {
                        Some(key) => return Verification::Done(jwt.verify(key)),
                        None => {
                            let is_newer = current.is_older_than(&jwt, self.clock.now());
                            self.lock().reload(Instant::now(), is_newer, || self.start())
                        }
                    },
                }
            }
        };
        match fetch {
            Ok(flight) => Verification::Pending(self.clone().verify_after(flight, jwt).boxed()),
            Err(error) => Verification::Done(Err(error)),
        }
    }

    /// Verifies `jwt` after the fetch it has to wait for.
    async fn verify_after(self, flight: Flight, jwt: HeaderCheckedJwt) -> Result<SignedJwt, AuthError> {
        let fetched = flight.await;
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

    fn lock(&self) -> MutexGuard<'_, Schedule> {
        // Nothing panics while the lock is held.
        self.state.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fetch(&self) -> Result<Flight, AuthError> {
        self.lock().fetch(Instant::now(), || self.start())
    }

    /// Starts a fetch on a task of its own.
    fn start(&self) -> Flight {
        let this = self.clone();
        flight(tokio::spawn(async move {
            let _landing = Landing(Arc::clone(&this.state));
            let (requested_at, requested_on) = (Instant::now(), this.clock.now());
            match this.location.fetch(&this.egress).await {
                Ok((keys, response)) => {
                    this.state.telemetry.fetched(&this.location, &keys);
                    let snapshot = Snapshot::new(keys, response.headers(), requested_at, requested_on);
                    this.state.current.store(Some(Arc::new(snapshot)));
                    this.lock().succeeded();
                    Ok(())
                }
                Err(error) => {
                    this.state.telemetry.failed(&this.location, &error);
                    Err(this.lock().failed(Instant::now(), error))
                }
            }
        }))
    }
}

/// Ends a flight, however it ends, so that the next can start.
struct Landing(Arc<State>);

impl Drop for Landing {
    fn drop(&mut self) {
        self.0.schedule.lock().unwrap_or_else(PoisonError::into_inner).landed();
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
