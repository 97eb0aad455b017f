//! [`Endpoint`]: the URL of an endpoint, given or found in the issuer's metadata.

use std::{
    error::Error as _,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use http::Uri;
use portcullis_core::{AuthError, Issuer, Reason};
use portcullis_egress::Egress;
use portcullis_oauth::{ProtocolError, metadata::AuthorizationServerMetadata};
use tokio::time::Instant;

use portcullis_remote::discover;

/// How long what was found is used before it is looked up again.
const LIFETIME: Duration = Duration::from_secs(3600);
/// How long a failed look-up is the answer, unless the provider asks for longer.
const COOL_DOWN: Duration = Duration::from_secs(5);
/// How long a provider may ask to be left alone.
const LONGEST_COOL_DOWN: Duration = Duration::from_secs(300);

type Flight = Shared<BoxFuture<'static, Result<Uri, AuthError>>>;

/// Which endpoint of the metadata is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wanted {
    Introspection,
    UserInfo,
}

/// The URL of an endpoint, given or found in the issuer's metadata. Clones share what was found.
#[derive(Clone)]
pub(crate) enum Endpoint {
    Given(Uri),
    Discovered(Arc<Discovered>),
}

/// A look-up: one for everybody, on a task of its own, at most one per cool-down. What was found stays in use while it is
/// looked up again and while that fails.
pub(crate) struct Discovered {
    issuer: Issuer,
    wanted: Wanted,
    egress: Egress,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    found: Option<Uri>,
    failure: Option<AuthError>,
    flight: Option<Flight>,
    next: Option<Instant>,
}

impl Endpoint {
    pub(crate) fn discovered(issuer: Issuer, wanted: Wanted, egress: Egress) -> Self {
        Self::Discovered(Arc::new(Discovered { issuer, wanted, egress, state: Mutex::default() }))
    }

    /// Where to send the request. No lock is held while it is looked up.
    pub(crate) async fn url(&self) -> Result<Uri, AuthError> {
        match self {
            Self::Given(url) => Ok(url.clone()),
            Self::Discovered(discovered) => match discovered.known_or_flight() {
                Ok(known) => known,
                Err(flight) => flight.await,
            },
        }
    }
}

impl Discovered {
    /// What is known, or else the look-up to wait for.
    fn known_or_flight(self: &Arc<Self>) -> Result<Result<Uri, AuthError>, Flight> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // A look-up that is over takes itself away, unless it panicked.
        if state.flight.as_ref().is_some_and(|flight| flight.peek().is_some()) {
            state.flight = None;
        }
        let is_due = state.next.is_none_or(|next| Instant::now() >= next);
        if is_due && state.flight.is_none() {
            state.flight = Some(Arc::clone(self).take_off());
        }
        match (&state.found, &state.flight, &state.failure) {
            (Some(url), _, _) => Ok(Ok(url.clone())),
            (None, Some(flight), _) => Err(flight.clone()),
            (None, None, Some(failure)) => Ok(Err(failure.clone())),
            (None, None, None) => Ok(Err(AuthError::new(Reason::VerifierFailed))),
        }
    }

    fn take_off(self: Arc<Self>) -> Flight {
        let task = tokio::spawn(async move {
            let result = self.look_up().await;
            self.land(result)
        });
        task.map(|joined| {
            joined.unwrap_or_else(|failed| Err(AuthError::new(Reason::VerifierFailed).with_source(failed)))
        })
        .boxed()
        .shared()
    }

    async fn look_up(&self) -> Result<Uri, AuthError> {
        let metadata = discover(&self.egress, &self.issuer).await?;
        self.wanted.of(&metadata).cloned().ok_or_else(|| {
            AuthError::new(Reason::ClientRefused).with_source(ProtocolError::InvalidMember(self.wanted.member()))
        })
    }

    fn land(&self, result: Result<Uri, AuthError>) -> Result<Uri, AuthError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.flight = None;
        match result {
            Ok(url) => {
                state.next = Some(Instant::now() + LIFETIME);
                (state.found, state.failure) = (Some(url.clone()), None);
                Ok(url)
            }
            Err(error) => {
                let (issuer, member) = (&self.issuer, self.wanted.member());
                tracing::warn!(%issuer, member, reason = %error.reason(), source = error.source(), "cannot look up an endpoint");
                let pause = error.retry_after().unwrap_or_default().clamp(COOL_DOWN, LONGEST_COOL_DOWN);
                let error = error.with_retry_after(pause);
                state.next = Some(Instant::now() + pause);
                state.failure = Some(error.clone());
                Err(error)
            }
        }
    }
}

impl Wanted {
    const fn of(self, metadata: &AuthorizationServerMetadata) -> Option<&Uri> {
        match self {
            Self::Introspection => metadata.introspection_endpoint(),
            Self::UserInfo => metadata.userinfo_endpoint(),
        }
    }

    const fn member(self) -> &'static str {
        match self {
            Self::Introspection => "introspection_endpoint",
            Self::UserInfo => "userinfo_endpoint",
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(url) => f.debug_tuple("Given").field(url).finish(),
            Self::Discovered(discovered) => f.debug_tuple("Discovered").field(&discovered.issuer).finish(),
        }
    }
}
