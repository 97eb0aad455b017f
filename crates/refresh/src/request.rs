//! [`RefreshRequest`] and [`RefreshFuture`]: a request for the tokens of a grant, and the tokens or the wait for a refresh.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use portcullis_core::{AuthError, Generation, GrantId, Reason};

use crate::{
    TokenSet,
    engine::{Decision, GrantEntry, SharedRefresh, ask, ask_again},
};

/// How many refreshes one request waits for.
const MAX_REFRESHES: u32 = 3;

/// A request for the tokens of a grant. It is cheap to copy, as tower's retry layer requires.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RefreshRequest {
    grant: GrantId,
    rejected: Option<Generation>,
}

impl RefreshRequest {
    /// Creates a request for the current tokens of `grant`, or new ones if those have expired.
    #[must_use]
    pub const fn new(grant: GrantId) -> Self {
        Self { grant, rejected: None }
    }

    /// Reports that the provider rejected the access token of this generation. If it is the current one, it is replaced.
    #[must_use]
    pub const fn with_rejected(mut self, generation: Generation) -> Self {
        self.rejected = Some(generation);
        self
    }

    /// Returns the grant.
    #[must_use]
    pub const fn grant(&self) -> GrantId {
        self.grant
    }

    /// Returns the generation of the rejected access token.
    #[must_use]
    pub const fn rejected(&self) -> Option<Generation> {
        self.rejected
    }
}

/// Future for [`Refresher`](crate::Refresher). Dropping it does not cancel the refresh that it waits for.
#[must_use = "futures do nothing unless polled"]
pub struct RefreshFuture(State);

type Outcome = Result<Arc<TokenSet>, AuthError>;

enum State {
    /// `None` after the outcome was returned.
    Ready(Option<Outcome>),
    Waiting {
        refresh: SharedRefresh,
        waiter: Waiter,
    },
}

struct Waiter {
    entry: Arc<GrantEntry>,
    reported: Option<Generation>,
    refreshes_left: u32,
}

impl RefreshFuture {
    pub(crate) fn new(entry: Arc<GrantEntry>, reported: Option<Generation>) -> Self {
        let decision = ask(&entry, reported);
        Self(Waiter { entry, reported, refreshes_left: MAX_REFRESHES }.follow(decision))
    }
}

impl Waiter {
    fn ask_again(self) -> State {
        let decision = ask_again(&self.entry, self.reported);
        self.follow(decision)
    }

    fn follow(mut self, decision: Decision<SharedRefresh>) -> State {
        match decision {
            Decision::Ready(tokens) => State::Ready(Some(Ok(tokens))),
            Decision::Fail(error) => State::Ready(Some(Err(error))),
            Decision::Wait { .. } if self.refreshes_left == 0 => {
                let error = AuthError::new(Reason::ProviderMisbehaved).with_source("new tokens that have expired");
                State::Ready(Some(Err(error)))
            }
            Decision::Wait { refresh, .. } => {
                self.refreshes_left -= 1;
                State::Waiting { refresh, waiter: self }
            }
        }
    }
}

impl Future for RefreshFuture {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        loop {
            match &mut self.0 {
                State::Ready(outcome) => {
                    return Poll::Ready(outcome.take().expect("a future is not polled after it is ready"));
                }
                State::Waiting { refresh, .. } => {
                    let result = ready!(Pin::new(refresh).poll(cx));
                    let State::Waiting { waiter, .. } = std::mem::replace(&mut self.0, State::Ready(None)) else {
                        unreachable!("the state was Waiting");
                    };
                    self.0 = match result {
                        Err(error) => State::Ready(Some(Err(error))),
                        // The refresh may have been started for a caller that wanted less, or some time ago.
                        Ok(_) => waiter.ask_again(),
                    };
                }
            }
        }
    }
}

impl fmt::Debug for RefreshFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshFuture").finish_non_exhaustive()
    }
}
