//! [`Permit`]: one call that may go out, and what comes of it.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    breaker::{Caller, Circuit},
    record::State,
};
use crate::EgressErrorKind;

/// One call that may go out. Dropped without a verdict, it says nothing about the provider and leaves its place to the next call.
pub(super) struct Permit {
    breaker: Arc<Circuit>,
    pub(super) call: Call,
}

/// One call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) caller: Caller,
    pub(super) number: u64,
    pub(super) generation: u64,
    pub(super) sent: Instant,
}

/// What an answer of the provider says about the credential.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Accepted,
    /// Nothing.
    Answered,
    /// It was refused, or this server was.
    Refused,
}

/// How a call failed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failure {
    pub(super) kind: EgressErrorKind,
    /// For how long the provider asked to be left alone.
    pub(super) asked: Option<Duration>,
}

/// What a failed call did to the breaker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Consequence {
    /// It opened a window: all calls are refused for so long.
    Opened(Duration),
    /// It changed nothing for calls with credentials that were accepted before. Others wait, for so long at least.
    Waiting(Duration),
}

impl Permit {
    pub(super) const fn new(breaker: Arc<Circuit>, call: Call) -> Self {
        Self { breaker, call }
    }

    /// The provider answered. Whether its refusals may be about this server.
    pub(super) fn answered(self, verdict: Verdict) -> bool {
        self.breaker.lock().answered(&self.call, verdict, Instant::now())
    }

    /// The provider failed, or there was no answer.
    pub(super) fn failed(self, failure: Failure) -> Consequence {
        self.breaker.lock().failed(&self.call, failure, Instant::now())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut record = self.breaker.lock();
        record.refused.end(self.call.number);
        match &mut record.state {
            State::Suspected { suspicion, .. } => suspicion.end(self.call.number),
            State::HalfOpen { kind } => {
                let kind = *kind;
                if record.generation == self.call.generation {
                    record.change(State::Open { until: Instant::now(), kind });
                }
            }
            State::Closed | State::Open { .. } => {}
        }
        drop(record);
        self.breaker.notify();
    }
}
