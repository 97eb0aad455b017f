//! The activity of a connection: its requests ([`Activity`]), their bodies ([`TimedBody`], [`TrackedBody`]) and its bytes ([`Stream`]).

use std::{
    error::Error,
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use portcullis::layer::drain::DrainBody;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::limits::{Limits, LogRateLimit};

/// The interval at which a connection that is shutting down is checked. It is dropped when it has no active request.
const SHUTDOWN_INTERVAL: Duration = Duration::from_secs(1);

/// The active requests of a connection, and the time since which there are none.
#[derive(Debug)]
pub(super) struct Activity(Mutex<State>);

#[derive(Debug)]
struct State {
    requests: usize,
    /// Whether a write waits because the client does not read.
    is_blocked: bool,
    /// The time since which there is neither a request nor a blocked write.
    idle_since: Instant,
    /// Whether there has been a request.
    is_used: bool,
    lingers: bool,
}

/// A guard for a request, held from its head to the end of its response.
#[derive(Debug)]
pub(super) struct ActiveRequest(Arc<Activity>);

impl Activity {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State {
            requests: 0,
            is_blocked: false,
            idle_since: Instant::now(),
            is_used: false,
            lingers: false,
        }))
    }

    /// Begins a request, which ends when the returned guard is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> ActiveRequest {
        let mut state = self.state();
        state.requests += 1;
        state.is_used = true;
        ActiveRequest(Arc::clone(self))
    }

    /// Sets whether a write waits for the client. The body of a response may be dropped before its last bytes are written, so a
    /// connection without requests can still have a blocked write.
    pub(super) fn set_blocked(&self, is_blocked: bool) {
        let mut state = self.state();
        state.is_blocked = is_blocked;
        state.idle_since = Instant::now();
    }

    /// Marks the connection as one that ends with the current response while the client may still be sending.
    pub(super) fn set_lingering(&self) {
        self.state().lingers = true;
    }

    /// Reports whether [`set_lingering`](Self::set_lingering) was called.
    pub(super) fn lingers(&self) -> bool {
        self.state().lingers
    }

    /// Waits until the connection has had no request for longer than `limits` allow.
    pub(super) async fn idle(&self, limits: &Limits) {
        loop {
            let deadline = self.idle_deadline(limits);
            if deadline <= Instant::now() {
                return;
            }
            sleep_until(deadline).await;
        }
    }

    /// Waits until a connection that is shutting down has no active request.
    pub(super) async fn finished(&self) {
        loop {
            sleep(SHUTDOWN_INTERVAL).await;
            if !self.state().is_busy() {
                return;
            }
        }
    }

    /// Returns the earliest time at which the connection can be idle for too long.
    fn idle_deadline(&self, limits: &Limits) -> Instant {
        let state = self.state();
        if state.is_busy() {
            return Instant::now() + limits.idle_timeout;
        }
        state.idle_since + if state.is_used { limits.idle_timeout } else { limits.head_timeout }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A poisoned lock is usable: each critical section leaves the state consistent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    const fn is_busy(&self) -> bool {
        self.requests > 0 || self.is_blocked
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.requests -= 1;
        state.idle_since = Instant::now();
    }
}

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

/// The time for which a connection is read after its last response if the client may still be sending. What arrives is dropped. A
/// socket that is closed with unread bytes is reset, and the client may lose the response (RFC 9112 section 9.6).
const LINGER: Duration = Duration::from_secs(5);

/// The bytes of a connection, with a time-out for blocked writes and a lingering close.
#[derive(Debug)]
pub(super) struct Stream<I> {
    io: I,
    activity: Arc<Activity>,
    write_timeout: Duration,
    /// The time-out of a write that makes no progress.
    stalled: Option<Pin<Box<Sleep>>>,
    /// The end of the lingering close, set when the last byte has been written.
    lingering: Option<Pin<Box<Sleep>>>,
}

impl<I> Stream<I> {
    pub(super) const fn new(io: I, activity: Arc<Activity>, write_timeout: Duration) -> Self {
        Self { io, activity, write_timeout, stalled: None, lingering: None }
    }

    /// Returns `written`, or an error if writes have been pending for longer than the time-out.
    fn limit<T>(&mut self, written: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            if self.stalled.take().is_some() {
                self.activity.set_blocked(false);
            }
            return written;
        }
        if self.stalled.is_none() {
            self.activity.set_blocked(true);
        }
        let timeout = self.write_timeout;
        ready!(self.stalled.get_or_insert_with(|| Box::pin(sleep(timeout))).as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client reads nothing (write_timeout)")))
    }
}

impl<I: AsyncRead + Unpin> Stream<I> {
    /// Reads and drops what the client still sends, until [`LINGER`] has passed.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let lingering = self.lingering.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        if lingering.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let mut buffer = [0; 8 * 1024];
        // At most 64 KiB per poll, so that other connections are served too.
        for _ in 0..8 {
            let mut buffer = ReadBuf::new(&mut buffer);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Stream<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.limit(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.limit(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.limit(flushed, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            let shut = Pin::new(&mut self.io).poll_shutdown(cx);
            ready!(self.limit(shut, cx))?;
            if !self.activity.lingers() {
                return Poll::Ready(Ok(()));
            }
        }
        self.poll_linger(cx)
    }
}
