//! [`exchange`]: one call of the authorization server, under a lease.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use portcullis_core::{AuthError, Generation, Reason};
use portcullis_oauth::TokenResponse;
use tokio::time::{Instant, timeout};
use tower::ServiceExt as _;
use tower_service::Service;
use tracing::Instrument as _;

use super::{commit::LeaseGuard, pool::Shared};
use crate::RefreshError;

/// Calls the authorization server, once: presents a refresh token, or obtains tokens in another way.
pub(super) async fn exchange<S, R>(
    service: &S,
    request: R,
    generation: Generation,
    lease: LeaseGuard<'_>,
) -> Result<TokenResponse, RefreshError>
where
    S: Service<R, Response = TokenResponse, Error = RefreshError> + Clone,
{
    let shared = &lease.entry().shared;
    let span = tracing::info_span!(
        "portcullis.exchange",
        grant = %lease.entry().id,
        provider = shared.config.name,
        generation = generation.number(),
    );
    let started = Instant::now();
    let result = match ready_service(service.clone(), lease).await {
        Ok(service) => call(shared, service, request).instrument(span).await,
        Err(error) => Err(error),
    };
    shared.telemetry.exchanged(result.as_ref().err().map(RefreshError::kind), started.elapsed());
    result
}

/// Waits until the service is ready and the lease lasts long enough. Until then nothing has been sent.
async fn ready_service<S, R>(mut service: S, lease: LeaseGuard<'_>) -> Result<S, RefreshError>
where
    S: Service<R, Response = TokenResponse, Error = RefreshError>,
{
    match timeout(lease.entry().shared.config.refresh_timeout, service.ready()).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => return Err(error),
        Err(_) => return Err(RefreshError::not_sent(AuthError::new(Reason::Overloaded))),
    }
    if !lease.has_time_left().await {
        let cause = AuthError::new(Reason::BackingOff).with_source("the lease of the grant was lost");
        return Err(RefreshError::not_sent(cause));
    }
    Ok(service)
}

async fn call<S, R>(shared: &Shared, mut service: S, request: R) -> Result<TokenResponse, RefreshError>
where
    S: Service<R, Response = TokenResponse, Error = RefreshError>,
{
    // The service is called inside the future, so that a panic in `call` is caught as well.
    let response = AssertUnwindSafe(async { service.call(request).await }).catch_unwind();
    match timeout(shared.config.refresh_timeout, response).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(RefreshError::ambiguous(AuthError::new(Reason::VerifierFailed).with_source("a panic"))),
        Err(_) => Err(RefreshError::ambiguous(AuthError::new(Reason::ProviderTimeout))),
    }
}
