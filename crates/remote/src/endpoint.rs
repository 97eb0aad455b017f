//! [`Endpoint`]: the URL of an endpoint, configured or found in the issuer's metadata.

use std::{
    error::Error as _,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::Uri;
use portcullis_core::{AuthError, Issuer, Reason};
use portcullis_egress::Egress;
use portcullis_oauth::{ProtocolError, metadata::AuthorizationServerMetadata};
use tokio::time::Instant;

use crate::{SharedTask, discover};

/// How long a discovered URL is used before the metadata is fetched again.
const LIFETIME: Duration = Duration::from_secs(3600);
/// The time between a failed look-up and the next one, unless the provider asks for more.
const COOL_DOWN: Duration = Duration::from_secs(5);
/// The longest time that a provider may ask for.
const LONGEST_COOL_DOWN: Duration = Duration::from_secs(300);

/// The URL of an endpoint: configured, or found in the issuer's metadata. Clones share what was found.
///
/// A look-up is one task for all callers, and there is at most one per cool-down. A URL that was found stays in use while it is looked up
/// again, and while that fails.
#[derive(Clone)]
pub struct Endpoint(Source);

#[derive(Clone)]
enum Source {
    At(Uri),
    Discovered(Arc<Discovered>),
}

/// Selects an endpoint in the metadata of an issuer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum EndpointKind {
    /// `introspection_endpoint`.
    Introspection,
    /// `userinfo_endpoint`.
    UserInfo,
}

struct Discovered {
    issuer: Issuer,
    kind: EndpointKind,
    egress: Egress,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    found: Option<Uri>,
    failure: Option<AuthError>,
    look_up: Option<LookUp>,
    next: Option<Instant>,
}

type LookUp = SharedTask<Result<Uri, AuthError>>;

impl Endpoint {
    /// Creates an endpoint at a configured URL.
    #[must_use]
    pub const fn at(url: Uri) -> Self {
        Self(Source::At(url))
    }

    /// Creates an endpoint whose URL is in the metadata of `issuer`.
    #[must_use]
    pub fn discovered(issuer: Issuer, kind: EndpointKind, egress: Egress) -> Self {
        Self(Source::Discovered(Arc::new(Discovered { issuer, kind, egress, state: Mutex::default() })))
    }

    /// Returns the URL. No lock is held while it is looked up.
    ///
    /// # Errors
    /// Always transient: the metadata cannot be fetched, or does not name the endpoint.
    pub async fn url(&self) -> Result<Uri, AuthError> {
        match &self.0 {
            Source::At(url) => Ok(url.clone()),
            Source::Discovered(discovered) => match discovered.cached_or_pending() {
                Ok(cached) => cached,
                Err(pending) => pending.await,
            },
        }
    }
}

impl Discovered {
    /// Returns the cached outcome, or the look-up to wait for.
    fn cached_or_pending(self: &Arc<Self>) -> Result<Result<Uri, AuthError>, LookUp> {
        let mut state = self.state();
        // A look-up that has ended removes itself, unless it panicked or its runtime stopped.
        state.look_up.take_if(|look_up| look_up.is_finished());
        let is_due = state.next.is_none_or(|next| Instant::now() >= next);
        if is_due && state.look_up.is_none() {
            state.look_up = Some(self.start());
        }
        match (&state.found, &state.look_up, &state.failure) {
            (Some(url), _, _) => Ok(Ok(url.clone())),
            (None, Some(look_up), _) => Err(look_up.clone()),
            (None, None, Some(failure)) => Ok(Err(failure.clone())),
            (None, None, None) => Ok(Err(AuthError::new(Reason::VerifierFailed))),
        }
    }

    fn start(self: &Arc<Self>) -> LookUp {
        let this = Arc::clone(self);
        let look_up = async move {
            let outcome = this.look_up().await;
            this.complete(outcome)
        };
        SharedTask::spawn(look_up, |failed| Err(AuthError::new(Reason::VerifierFailed).with_source(failed)))
    }

    async fn look_up(&self) -> Result<Uri, AuthError> {
        let metadata = discover(&self.egress, &self.issuer).await?;
        self.kind.of(&metadata).cloned().ok_or_else(|| {
            AuthError::new(Reason::ClientRefused).with_source(ProtocolError::InvalidMember(self.kind.member()))
        })
    }

    fn complete(&self, outcome: Result<Uri, AuthError>) -> Result<Uri, AuthError> {
        let mut state = self.state();
        state.look_up = None;
        match outcome {
            Ok(url) => {
                state.next = Some(Instant::now() + LIFETIME);
                (state.found, state.failure) = (Some(url.clone()), None);
                Ok(url)
            }
            Err(error) => {
                let (issuer, member) = (&self.issuer, self.kind.member());
                tracing::warn!(%issuer, member, reason = %error.reason(), source = error.source(), "cannot look up an endpoint");
                let pause = error.retry_after().unwrap_or_default().clamp(COOL_DOWN, LONGEST_COOL_DOWN);
                let error = error.with_retry_after(pause);
                state.next = Some(Instant::now() + pause);
                state.failure = Some(error.clone());
                Err(error)
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EndpointKind {
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
        match &self.0 {
            Source::At(url) => f.debug_tuple("Endpoint").field(url).finish(),
            Source::Discovered(discovered) => f.debug_tuple("Endpoint").field(&discovered.issuer).finish(),
        }
    }
}
