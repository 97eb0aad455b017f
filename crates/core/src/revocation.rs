//! [`Revocation`]: whether a user context has been withdrawn, as seen by everybody who holds it.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll},
};

use event_listener::{Event, EventListener};

/// Whether a [`UserContext`](crate::UserContext) has been withdrawn.
///
/// Asking is one atomic load, next to the context's reference count, so a cache asks on every hit; a response stream that
/// lives for hours awaits [`revoked`](Self::revoked).
#[derive(Default)]
pub struct Revocation {
    revoked: AtomicBool,
    event: Event,
}

impl Revocation {
    /// Not revoked.
    #[must_use]
    pub const fn new() -> Self {
        Self { revoked: AtomicBool::new(false), event: Event::new() }
    }

    /// Withdraws it, for ever, and wakes whoever awaits that.
    pub fn revoke(&self) {
        self.revoked.store(true, Ordering::Release);
        self.event.notify(usize::MAX);
    }

    /// Whether it has been withdrawn.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::Acquire)
    }

    /// Ready once it has been withdrawn.
    pub fn revoked(&self) -> Revoked {
        // Listening comes first, so a revocation between the two is not missed.
        let listener = self.event.listen();
        Revoked { listener: (!self.is_revoked()).then_some(listener) }
    }
}

impl fmt::Debug for Revocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocation").field("revoked", &self.is_revoked()).finish_non_exhaustive()
    }
}

/// Future for [`Revocation::revoked`]. It may outlive the context, and is then never ready.
#[must_use = "futures do nothing unless polled"]
pub struct Revoked {
    /// Nothing to listen for once it has happened. Only a revocation notifies.
    listener: Option<EventListener>,
}

impl Future for Revoked {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(listener) = &mut self.listener {
            std::task::ready!(Pin::new(listener).poll(cx));
            self.listener = None;
        }
        Poll::Ready(())
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
    fn wakes_all_who_wait_and_whoever_asks_later() {
        let revocation = Revocation::new();
        let mut context = Context::from_waker(Waker::noop());
        let mut early = [Box::pin(revocation.revoked()), Box::pin(revocation.revoked())];
        for waiting in &mut early {
            assert!(waiting.as_mut().poll(&mut context).is_pending());
        }
        assert!(!revocation.is_revoked());

        revocation.revoke();

        assert!(revocation.is_revoked());
        for waiting in &mut early {
            assert!(waiting.as_mut().poll(&mut context).is_ready());
            assert!(waiting.as_mut().poll(&mut context).is_ready(), "and stays so");
        }
        assert!(Box::pin(revocation.revoked()).as_mut().poll(&mut context).is_ready());
    }
}
