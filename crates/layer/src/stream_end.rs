//! [`StreamEnd`]: ends a response stream when its token is no longer valid.

use std::{
    fmt,
    future::Future as _,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use portcullis_core::{AuthError, Clock, Revoked, UnixTime, UserContext};
use tokio::time::{Instant, Sleep, sleep_until};

/// The longest sleep before the calendar clock is read again, because the system time may change.
const NAP: Duration = Duration::from_mins(1);

/// The lifetime of a stream whose token has expired before it begins: the token was accepted by leeway, or expired during the request,
/// whose response must still arrive.
const GRACE: Duration = Duration::from_mins(1);

/// The time for which a stream continues while its token cannot be verified: an outage of the provider must neither end every stream at
/// the first failure nor keep streams open until the outage ends.
const UNCHECKED_BOUND: Duration = Duration::from_mins(5);

/// The pauses between failed verifications, unless the error has a delay for the retry.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// The shortest interval between two verifications, whatever the freshness of the user context.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

/// Repeats the verification of the token that opened a response stream.
pub(crate) trait Recheck: Send {
    /// Copies the token, so that a long stream does not keep the memory of the request alive.
    fn detach(&mut self);

    /// Starts or continues the verification.
    fn poll_verified(&mut self, cx: &mut Context<'_>) -> Poll<Result<Arc<UserContext>, AuthError>>;
}

/// Ends a response stream when its token expires, is revoked, or is rejected by the verifier, which verifies the token again
/// whenever the user context is no longer fresh.
///
/// It creates no timer and no listener before the body is pending for the first time. It has no task: the timers are polled with the
/// body.
pub(crate) struct StreamEnd<R: ?Sized = dyn Recheck> {
    /// Held, because a revocation notifies only while its context exists.
    user: Arc<UserContext>,
    clock: Arc<dyn Clock>,
    not_before: UnixTime,
    interval: Duration,
    check_at: UnixTime,
    is_asking: bool,
    /// The time since which verification has been due without an outcome.
    unchecked_since: Option<UnixTime>,
    /// The outcome of the last verification that was not possible.
    last_failure: Option<AuthError>,
    pause: Duration,
    waiting: Option<Waiting>,
    /// The mutex makes the type `Sync`; it is never locked.
    recheck: Mutex<R>,
}

/// The events that wake a pending stream.
struct Waiting {
    revoked: Revoked,
    timer: Pin<Box<Sleep>>,
}

impl<R: Recheck> StreamEnd<R> {
    /// Creates the end of a stream for `user`. `recheck` verifies its token again, every `interval` if the context has no freshness.
    pub(crate) fn new(user: Arc<UserContext>, clock: Arc<dyn Clock>, interval: Duration, recheck: R) -> Self {
        let now = clock.now();
        let is_late = user.expires_at().is_some_and(|expires_at| expires_at <= now);
        Self {
            not_before: if is_late { now + GRACE } else { now },
            check_at: check_at(&user, now, interval),
            interval,
            is_asking: false,
            unchecked_since: None,
            last_failure: None,
            pause: FIRST_PAUSE,
            waiting: None,
            user,
            clock,
            recheck: Mutex::new(recheck),
        }
    }
}

impl StreamEnd {
    /// Reports whether the stream has ended. Before the stream has been [pending](Self::poll_waiting), only conditions that need no wait
    /// are checked.
    pub(crate) fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        let is_due = |at: UnixTime| at <= self.clock.now();
        let is_check_needed = self.waiting.is_some()
            || self.user.revocation().is_revoked()
            || is_due(self.check_at)
            || self.ends_at().is_some_and(is_due);
        is_check_needed && self.poll_waiting(cx).is_ready()
    }

    /// Returns ready when the stream has ended; else the task is woken when this has to be polled again.
    pub(crate) fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.wait_for_revocation();
        loop {
            // Polled in the loop: a new context has another revocation, which must wake this task as well.
            if self.waiting.as_mut().is_some_and(|waiting| Pin::new(&mut waiting.revoked).poll(cx).is_ready()) {
                return over("revoked");
            }
            let now = self.clock.now();
            if self.ends_at().is_some_and(|ends_at| ends_at <= now) {
                return over("expired");
            }
            if self.check_at <= now {
                self.is_asking = true;
                self.unchecked_since.get_or_insert(now);
            }
            if self.is_asking
                && let Poll::Ready(verified) =
                    self.recheck.get_mut().unwrap_or_else(PoisonError::into_inner).poll_verified(cx)
            {
                self.is_asking = false;
                match verified {
                    Ok(user) if self.is_same(&user) => self.go_on(user, now),
                    Ok(_) => return refused("another_user", None),
                    Err(error) if error.is_transient() => self.ask_later(error, now),
                    Err(error) => return refused(error.reason().as_str(), error.causes()),
                }
                continue;
            }
            if self.unchecked_since.is_some_and(|since| since + UNCHECKED_BOUND <= now) {
                let reason = self.last_failure.as_ref().map(|error| error.reason().as_str());
                let source = self.last_failure.as_ref().and_then(AuthError::causes).map(tracing::field::display);
                tracing::warn!(reason, source, "event stream ended: its token could not be verified for 5 minutes");
                return over("unavailable");
            }
            if self.poll_timer(now, cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn wait_for_revocation(&mut self) {
        if self.waiting.is_none() {
            self.recheck.get_mut().unwrap_or_else(PoisonError::into_inner).detach();
            let timer = Box::pin(sleep_until(Instant::now()));
            self.waiting = Some(Waiting { revoked: self.user.revocation().revoked(), timer });
        }
    }

    /// Sleeps until the next time at which a condition has to be checked.
    fn poll_timer(&mut self, now: UnixTime, cx: &mut Context<'_>) -> Poll<()> {
        let check_at = (!self.is_asking).then_some(self.check_at);
        let bound = self.unchecked_since.map(|since| since + UNCHECKED_BOUND);
        let next = [check_at, bound, self.ends_at()].into_iter().flatten().min();
        let nap = next.map_or(NAP, |next| next.saturating_duration_since(now).min(NAP));
        let Some(Waiting { timer, .. }) = &mut self.waiting else { return Poll::Ready(()) };
        timer.as_mut().reset(Instant::now() + nap);
        timer.as_mut().poll(cx)
    }

    fn ends_at(&self) -> Option<UnixTime> {
        Some(self.user.expires_at()?.max(self.not_before))
    }

    fn is_same(&self, user: &UserContext) -> bool {
        user.principal() == self.user.principal() && user.client_id() == self.user.client_id()
    }

    /// Continues the stream with the context of a successful verification.
    fn go_on(&mut self, user: Arc<UserContext>, now: UnixTime) {
        self.check_at = check_at(&user, now, self.interval).max(now + SHORTEST_PAUSE);
        self.unchecked_since = None;
        self.pause = FIRST_PAUSE;
        if let Some(waiting) = &mut self.waiting
            && !Arc::ptr_eq(&self.user, &user)
        {
            waiting.revoked = user.revocation().revoked();
            self.user = user;
        }
    }

    /// Schedules another verification after one that was not possible.
    fn ask_later(&mut self, error: AuthError, now: UnixTime) {
        let pause = error.retry_after().unwrap_or(self.pause).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        self.pause = LONGEST_PAUSE.min(self.pause * 2);
        self.check_at = now + pause;
        tracing::debug!(reason = error.reason().as_str(), retry_in = ?pause, "the token of an event stream cannot be verified at present");
        self.last_failure = Some(error);
    }
}

/// Returns the time at which the token of `user` has to be verified again.
fn check_at(user: &UserContext, now: UnixTime, interval: Duration) -> UnixTime {
    let by_interval = || (now + interval).min(user.revalidate_at().unwrap_or(UnixTime::MAX));
    user.fresh_until().unwrap_or_else(by_interval)
}

fn refused(reason: &'static str, causes: Option<String>) -> Poll<()> {
    tracing::info!(reason, source = causes.map(tracing::field::display), "event stream ended: its token was rejected");
    over("refused")
}

fn over(reason: &'static str) -> Poll<()> {
    metrics::counter!("portcullis_streams_ended_total", "reason" => reason).increment(1);
    Poll::Ready(())
}

impl<R: ?Sized> fmt::Debug for StreamEnd<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamEnd").field("user", &self.user).finish_non_exhaustive()
    }
}
