//! [`Revocation`]: whether a user context has been withdrawn, as seen by everybody who holds it.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use event_listener::{Event, EventListener};

/// Whether a [`UserContext`](crate::UserContext) has been withdrawn.
///
/// Shared by all clones. Asking is one atomic load, so a cache asks on every hit; a response stream that lives for hours
/// awaits [`revoked`](Self::revoked).
#[derive(Clone, Default)]
pub struct Revocation(Arc<State>);

#[derive(Default)]
struct State {
    revoked: AtomicBool,
    event: Event,
}

impl Revocation {
    /// Not revoked.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Withdraws it, for ever, and wakes whoever awaits that.
    pub fn revoke(&self) {
        self.0.revoked.store(true, Ordering::Release);
        self.0.event.notify(usize::MAX);
    }

    /// Whether it has been withdrawn.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.0.revoked.load(Ordering::Acquire)
    }

    /// Ready once it has been withdrawn.
    pub fn revoked(&self) -> Revoked {
        Revoked { listener: self.0.event.listen(), state: Arc::clone(&self.0) }
    }
}

impl fmt::Debug for Revocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocation").field("revoked", &self.is_revoked()).finish_non_exhaustive()
    }
}

/// Future for [`Revocation::revoked`].
#[must_use = "futures do nothing unless polled"]
pub struct Revoked {
    listener: EventListener,
    state: Arc<State>,
}

impl Future for Revoked {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            // The listener was registered before this look, so a revocation between the two wakes it.
            if self.state.revoked.load(Ordering::Acquire) {
                return Poll::Ready(());
            }
            match Pin::new(&mut self.listener).poll(cx) {
                Poll::Ready(()) => self.listener = self.state.event.listen(),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl fmt::Debug for Revoked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revoked").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn is_seen_by_every_clone_and_wakes_waiters_before_and_after() {
        let revocation = Revocation::new();
        let clone = revocation.clone();
        let mut early = Box::pin(clone.revoked());
        let mut context = Context::from_waker(Waker::noop());
        assert!(early.as_mut().poll(&mut context).is_pending());
        assert!(!clone.is_revoked());

        revocation.revoke();

        assert!(clone.is_revoked());
        assert!(early.as_mut().poll(&mut context).is_ready());
        assert!(Box::pin(clone.revoked()).as_mut().poll(&mut context).is_ready());
    }
}
