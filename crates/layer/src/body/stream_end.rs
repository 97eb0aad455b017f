//! [`StreamEnd`]: when a token that keeps a response stream open is good no more.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use portcullis_core::{Clock, Revoked, UnixTime, UserContext};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// How long to sleep at most before looking at the wall clock again, which may have been stepped.
const NAP: Duration = Duration::from_mins(1);

/// How long a stream lasts whose token has expired before it begins: accepted by the verifier's leeway, or expired while the
/// inner service worked on the answer, which must arrive all the same.
const GRACE: Duration = Duration::from_mins(1);

/// Ready when the token of `user` has expired or been withdrawn.
#[derive(Debug)]
pub(crate) struct StreamEnd {
    /// Held, because a context that nobody holds is not told that it is withdrawn.
    user: Arc<UserContext>,
    not_before: UnixTime,
    clock: Arc<dyn Clock>,
    revoked: Revoked,
    nap: Option<Pin<Box<Sleep>>>,
}

impl StreamEnd {
    pub(crate) fn new(user: Arc<UserContext>, clock: Arc<dyn Clock>) -> Self {
        let revoked = user.revocation().revoked();
        let now = clock.now();
        let is_late = user.expires_at().is_some_and(|expires_at| expires_at <= now);
        let not_before = if is_late { now + GRACE } else { now };
        Self { user, not_before, clock, revoked, nap: None }
    }
}

impl Future for StreamEnd {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if Pin::new(&mut self.revoked).poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let Some(expires_at) = self.user.expires_at() else { return Poll::Pending };
        let ends_at = expires_at.max(self.not_before);
        loop {
            let left = ends_at.saturating_duration_since(self.clock.now());
            if left.is_zero() {
                return Poll::Ready(());
            }
            let nap = self.nap.get_or_insert_with(|| Box::pin(sleep(left.min(NAP))));
            if nap.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            nap.set(sleep_until(Instant::now() + left.min(NAP)));
        }
    }
}
