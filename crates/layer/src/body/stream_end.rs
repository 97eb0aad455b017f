//! [`StreamEnd`]: when a token that keeps a response stream open is good no more.

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

use super::Recheck;

/// How long to sleep at most before looking at the wall clock again, which may have been stepped.
const NAP: Duration = Duration::from_mins(1);

/// How long a stream lasts whose token has expired before it begins: accepted by the verifier's leeway, or expired while the
/// inner service worked on the answer, which must arrive all the same.
const GRACE: Duration = Duration::from_mins(1);

/// For how long a stream goes on while its token cannot be checked: an outage of the provider must not end every stream at
/// the first check that fails, nor leave streams open for as long as it lasts.
const UNCHECKED_BOUND: Duration = Duration::from_mins(5);

/// The pauses between checks that fail, unless the verifier says when to come again.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Between two checks at least, whatever a verifier says about the freshness of its answers.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

/// When a response stream ends: its token expires, is withdrawn, or is refused by the verifier, which is asked again
/// whenever its answer is no longer fresh.
///
/// Costs no timer, no listener and no clock of its own before the body is pending for the first time. There is no task: the
/// timers are polled with the body.
pub(crate) struct StreamEnd<R: ?Sized = dyn Recheck> {
    /// Held, because a context that nothing holds is not told that it is withdrawn.
    user: Arc<UserContext>,
    clock: Arc<dyn Clock>,
    not_before: UnixTime,
    interval: Duration,
    check_at: UnixTime,
    is_asking: bool,
    /// Since when the token has been due for a check without an answer.
    unchecked_since: Option<UnixTime>,
    pause: Duration,
    waiting: Option<Waiting>,
    /// A mutex only to be `Sync`; it is never locked.
    recheck: Mutex<R>,
}

/// What wakes a stream that is pending.
struct Waiting {
    revoked: Revoked,
    timer: Pin<Box<Sleep>>,
}

impl<R: Recheck> StreamEnd<R> {
    /// The end of a stream for `user`, asked for by `recheck`, every `interval` where nothing says how fresh an answer is.
    pub(crate) fn new(user: Arc<UserContext>, clock: Arc<dyn Clock>, interval: Duration, recheck: R) -> Self {
        let now = clock.now();
        let is_late = user.expires_at().is_some_and(|expires_at| expires_at <= now);
        Self {
            not_before: if is_late { now + GRACE } else { now },
            check_at: check_at(&user, now, interval),
            interval,
            is_asking: false,
            unchecked_since: None,
            pause: FIRST_PAUSE,
            waiting: None,
            user,
            clock,
            recheck: Mutex::new(recheck),
        }
    }
}

impl StreamEnd {
    /// Whether the stream is over, by what can be seen without waiting for anything. Once the stream has
    /// [waited](Self::poll_waiting), everything is looked at.
    pub(crate) fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        let is_due = |at: UnixTime| at <= self.clock.now();
        let needs_a_look = self.waiting.is_some()
            || self.user.revocation().is_revoked()
            || is_due(self.check_at)
            || self.ends_at().is_some_and(is_due);
        needs_a_look && self.poll_waiting(cx).is_ready()
    }

    /// Ready when the stream is over; else the task is woken when that has to be looked at again.
    pub(crate) fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.wait_for_revocation();
        loop {
            // In the loop: a check may have brought a new context, whose revocation has to wake this task as well.
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
                    Ok(_) => return refused("another_user"),
                    Err(error) if error.is_transient() => self.ask_later(&error, now),
                    Err(error) => return refused(error.reason().as_str()),
                }
                continue;
            }
            if self.unchecked_since.is_some_and(|since| since + UNCHECKED_BOUND <= now) {
                tracing::warn!("event stream ended: its token could not be checked for 5 minutes");
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

    /// Sleeps until the next instant at which something has to be looked at.
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

    /// The token is still good: for as long as the new answer is.
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

    /// The token cannot be checked at the moment.
    fn ask_later(&mut self, error: &AuthError, now: UnixTime) {
        let pause = error.retry_after().unwrap_or(self.pause).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        self.pause = LONGEST_PAUSE.min(self.pause * 2);
        self.check_at = now + pause;
        tracing::debug!(reason = error.reason().as_str(), again_in = ?pause, "the token of an event stream cannot be checked");
    }
}

/// When the verifier has to be asked about the token of `user` again.
fn check_at(user: &UserContext, now: UnixTime, interval: Duration) -> UnixTime {
    let by_interval = || (now + interval).min(user.revalidate_at().unwrap_or(UnixTime::MAX));
    user.fresh_until().unwrap_or_else(by_interval)
}

fn refused(reason: &'static str) -> Poll<()> {
    tracing::info!(reason, "event stream ended: its token is refused");
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
