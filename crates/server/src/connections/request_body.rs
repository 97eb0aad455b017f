//! [`TimedBody`]: a request's body, which has to arrive in time.

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
use portcullis_layer::drain::DrainBody;
use tokio::time::{Sleep, sleep};

use crate::occasional::Occasional;

/// The body of a request, as a service gets it.
pub type RequestBody = DrainBody<TimedBody<Incoming>>;

/// A request's body, which has to arrive in time. The time begins when it is first waited for.
#[derive(Debug)]
pub struct TimedBody<B> {
    body: B,
    timeout: Duration,
    deadline: Option<Pin<Box<Sleep>>>,
}

/// Why a body does not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// It has not arrived in time.
    #[error("the body of a request did not arrive within {0:?}")]
    Timeout(Duration),
    /// The connection broke off, or its framing is wrong.
    #[error(transparent)]
    Broken(Box<dyn Error + Send + Sync>),
}

/// Slow bodies are logged once in a while.
static SLOW: Occasional = Occasional::new();

impl<B> TimedBody<B> {
    pub(crate) const fn new(body: B, timeout: Duration) -> Self {
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
        if let Some(count) = SLOW.due().filter(|_| is_first) {
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
