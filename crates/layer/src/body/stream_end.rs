//! [`StreamEnd`]: when a token that keeps a response stream open is good no more.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use portcullis_core::{Clock, Revoked, UserContext};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// How long to sleep at most before looking at the wall clock again, which may have been stepped.
const NAP: Duration = Duration::from_mins(1);

/// Ready when the token of `user` has expired or been withdrawn.
#[derive(Debug)]
pub(crate) struct StreamEnd {
    user: Arc<UserContext>,
    clock: Arc<dyn Clock>,
    revoked: Revoked,
    nap: Option<Pin<Box<Sleep>>>,
}

impl StreamEnd {
    pub(crate) fn new(user: Arc<UserContext>, clock: Arc<dyn Clock>) -> Self {
        let revoked = user.revocation().revoked();
        Self { user, clock, revoked, nap: None }
    }
}

impl Future for StreamEnd {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if Pin::new(&mut self.revoked).poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let Some(expires_at) = self.user.expires_at() else { return Poll::Pending };
        loop {
            let left = expires_at.saturating_duration_since(self.clock.now());
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
