//! The bodies of a connection: [`TimedBody`] of a request, [`TrackedBody`] of a response.

use std::{
    error::Error,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use portcullis::layer::drain::DrainBody;
use tokio::time::{Sleep, sleep};

use super::{activity::ActiveRequest, limits::LogRateLimit};

/// The request body that a service receives.
pub type RequestBody = DrainBody<TimedBody<Incoming>>;

/// A request body that must arrive within a time-out. The time-out starts when the body is first polled and not ready.
#[derive(Debug)]
pub struct TimedBody<B> {
    body: B,
    timeout: Duration,
    deadline: Option<Pin<Box<Sleep>>>,
}

/// An error of a request body.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The body did not arrive in time.
    #[error("the body of a request did not arrive within {0:?}")]
    Timeout(Duration),
    /// The connection was closed, or the body's framing is invalid.
    #[error(transparent)]
    Broken(Box<dyn Error + Send + Sync>),
}

static SLOW: LogRateLimit = LogRateLimit::new();

impl<B> TimedBody<B> {
    pub(super) const fn new(body: B, timeout: Duration) -> Self {
        Self { body, timeout, deadline: None }
    }
}

impl<B> Body for TimedBody<B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| frame.map_err(|error| BodyError::Broken(error.into()))));
        }
        let timeout = self.timeout;
        let is_first = self.deadline.as_ref().is_none_or(|deadline| !deadline.is_elapsed());
        ready!(self.deadline.get_or_insert_with(|| Box::pin(sleep(timeout))).as_mut().poll(cx));
        if let Some(count) = SLOW.record().filter(|_| is_first) {
            tracing::warn!(count, ?timeout, "bodies of requests did not arrive in time (body_timeout)");
        }
        Poll::Ready(Some(Err(BodyError::Timeout(timeout))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

pin_project! {
    /// A response body. The request counts as active until this body is dropped.
    #[derive(Debug)]
    pub struct TrackedBody<B> {
        #[pin]
        body: B,
        request: ActiveRequest,
    }
}

impl<B> TrackedBody<B> {
    pub(super) const fn new(body: B, request: ActiveRequest) -> Self {
        Self { body, request }
    }
}

impl<B: Body> Body for TrackedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
