//! [`Revocation`]: the shared state of whether a user context has been revoked.

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

/// The shared state of whether a [`UserContext`](crate::UserContext) has been revoked.
///
/// A check is one atomic load, next to the reference count of the context, so a cache checks it on every hit. A long response stream
/// awaits [`revoked`](Self::revoked).
///
/// It may [follow](Self::following) another revocation: a context that was built from a grant is revoked with the grant.
#[derive(Default)]
pub struct Revocation {
    revoked: AtomicBool,
    event: Event,
    cause: Option<Arc<Self>>,
}

impl Revocation {
    /// Creates a revocation that is not revoked.
    #[must_use]
    pub const fn new() -> Self {
        Self { revoked: AtomicBool::new(false), event: Event::new(), cause: None }
    }

    /// Creates a revocation that is revoked when `cause` is revoked.
    #[must_use]
    pub const fn following(cause: Arc<Self>) -> Self {
        Self { revoked: AtomicBool::new(false), event: Event::new(), cause: Some(cause) }
    }

    /// Revokes it permanently and wakes all waiting futures.
    pub fn revoke(&self) {
        self.revoked.store(true, Ordering::Release);
        self.event.notify(usize::MAX);
    }

    /// Reports whether it has been revoked.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::Acquire) || self.cause.as_ref().is_some_and(|cause| cause.is_revoked())
    }

    /// Returns a future that is ready when it has been revoked.
    pub fn revoked(&self) -> Revoked {
        // The listener is registered before the check, so that a revocation between the two is not missed.
        let own = self.event.listen();
        let cause = self.cause.as_ref().map(|cause| Box::new(cause.revoked()));
        Revoked { listening: (!self.is_revoked()).then_some(Listening { own, cause }) }
    }
}

impl fmt::Debug for Revocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocation").field("revoked", &self.is_revoked()).finish_non_exhaustive()
    }
}

/// Future for [`Revocation::revoked`]. It may outlive the context, and then is never ready.
#[must_use = "futures do nothing unless polled"]
pub struct Revoked {
    /// `None` once the revocation has happened. Only a revocation notifies the listeners.
    listening: Option<Listening>,
}

struct Listening {
    own: EventListener,
    cause: Option<Box<Revoked>>,
}

impl Future for Revoked {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(Listening { own, cause }) = &mut self.listening {
            let is_caused = cause.as_mut().is_some_and(|cause| Pin::new(cause).poll(cx).is_ready());
            if !is_caused {
                std::task::ready!(Pin::new(own).poll(cx));
            }
            self.listening = None;
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
    fn a_revocation_wakes_all_waiting_futures_and_later_ones_are_ready() {
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

    #[test]
    fn a_following_revocation_is_revoked_by_its_cause_and_not_the_reverse() {
        let cause = Arc::new(Revocation::new());
        let (first, second) = (Revocation::following(Arc::clone(&cause)), Revocation::following(Arc::clone(&cause)));
        let mut context = Context::from_waker(Waker::noop());
        let (mut of_first, mut of_second) = (first.revoked(), second.revoked());
        assert!(Pin::new(&mut of_first).poll(&mut context).is_pending());
        first.revoke();
        assert!(Pin::new(&mut of_first).poll(&mut context).is_ready());
        assert!(first.is_revoked() && !cause.is_revoked() && !second.is_revoked());
        assert!(Pin::new(&mut of_second).poll(&mut context).is_pending());
        cause.revoke();
        assert!(second.is_revoked());
        assert!(Pin::new(&mut of_second).poll(&mut context).is_ready());
        assert!(Pin::new(&mut second.revoked()).poll(&mut context).is_ready());
    }
}
