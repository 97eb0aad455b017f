//! [`BackOffFuture`]: the response, and what it says about the provider.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, Uri, header::RETRY_AFTER};
use pin_project_lite::pin_project;
use portcullis_core::Clock;

use super::{provider::Permit, retry_after, users::User};
use crate::{EgressError, EgressErrorKind};

pin_project! {
    /// Response future for [`BackOff`](crate::BackOff).
    #[must_use = "futures do nothing unless polled"]
    pub struct BackOffFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F> {
        Refused { error: Option<EgressError> },
        Calling { #[pin] call: F, permit: Option<Permit>, asked: Asked, clock: Arc<dyn Clock> },
    }
}

/// What has to be remembered of a request.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) uri: Uri,
    /// With whose token it is made: a rate limit is that user's then, and not everybody's.
    pub(super) user: Option<User>,
}

impl<F> BackOffFuture<F> {
    pub(super) const fn refused(error: EgressError) -> Self {
        Self { state: State::Refused { error: Some(error) } }
    }

    pub(super) const fn calling(call: F, permit: Permit, asked: Asked, clock: Arc<dyn Clock>) -> Self {
        Self { state: State::Calling { call, permit: Some(permit), asked, clock } }
    }
}

impl<F> Future for BackOffFuture<F>
where
    F: Future<Output = Result<Response<Bytes>, EgressError>>,
{
    type Output = Result<Response<Bytes>, EgressError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (result, permit) = match self.project().state.project() {
            StateProjection::Refused { error } => (error.take().map(Err), None),
            StateProjection::Calling { call, permit, asked, clock } => {
                (Some(judge(ready!(call.poll(cx)), asked, clock.as_ref())), permit.take())
            }
        };
        let result = result.expect("a future is not polled again after it was ready");
        Poll::Ready(settle(result, permit))
    }
}

/// A response that means failure becomes an error.
fn judge(
    result: Result<Response<Bytes>, EgressError>,
    asked: &Asked,
    clock: &dyn Clock,
) -> Result<Response<Bytes>, EgressError> {
    let response = result?;
    let delay = || retry_after::parse(response.headers(), clock.now());
    let kind = match (response.status(), &asked.user) {
        (status, Some(user)) if is_limit(status, response.headers()) => {
            user.leave_alone(delay());
            return Ok(response);
        }
        (StatusCode::TOO_MANY_REQUESTS, _) => EgressErrorKind::RateLimited,
        (status, _) if status.is_server_error() => EgressErrorKind::ServerError,
        _ => return Ok(response),
    };
    let error = EgressError::new(kind, &asked.uri).with_status(response.status());
    Err(match delay() {
        Some(delay) => error.with_retry_after(delay),
        None => error,
    })
}

/// Whether somebody asks too often. Some say it by 403, and then when to come back or, as GitHub does, that nothing is left.
fn is_limit(status: StatusCode, headers: &HeaderMap) -> bool {
    let nothing_left = || headers.get("x-ratelimit-remaining").is_some_and(|remaining| remaining == "0");
    match status {
        StatusCode::TOO_MANY_REQUESTS => true,
        StatusCode::FORBIDDEN => headers.contains_key(RETRY_AFTER) || nothing_left(),
        _ => false,
    }
}

/// Tells the provider's state, and the caller of a failed call when to come back.
fn settle(
    result: Result<Response<Bytes>, EgressError>,
    permit: Option<Permit>,
) -> Result<Response<Bytes>, EgressError> {
    let Some(permit) = permit else { return result };
    match result {
        Ok(response) => {
            permit.succeeded();
            Ok(response)
        }
        // Dropping the permit says nothing about the provider.
        Err(error) if error.kind() == EgressErrorKind::Blocked => Err(error),
        Err(error) => {
            let window = permit.failed(&error);
            Err(error.with_retry_after(window))
        }
    }
}

impl<F> fmt::Debug for BackOffFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackOffFuture").finish_non_exhaustive()
    }
}
