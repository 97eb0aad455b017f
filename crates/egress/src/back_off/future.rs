//! [`BackOffFuture`]: the response, and what it says about the provider.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Response, StatusCode, Uri};
use pin_project_lite::pin_project;
use portcullis_core::Clock;

use super::{provider::Permit, retry_after};
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
    /// Made with a user's own token, so a rate limit is that user's and not everybody's.
    pub(super) for_a_user: bool,
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
    let kind = match response.status() {
        StatusCode::TOO_MANY_REQUESTS if asked.for_a_user => return Ok(response),
        StatusCode::TOO_MANY_REQUESTS => EgressErrorKind::RateLimited,
        status if status.is_server_error() => EgressErrorKind::ServerError,
        _ => return Ok(response),
    };
    let error = EgressError::new(kind, &asked.uri).with_status(response.status());
    Err(match retry_after::parse(response.headers(), clock.now()) {
        Some(delay) => error.with_retry_after(delay),
        None => error,
    })
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
