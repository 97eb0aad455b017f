//! [`Circuit`]: whether a provider is asked.

use std::{
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use portcullis_core::Fingerprint;
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use super::{
    Refusal,
    permit::{Call, Permit},
    record::{Record, State},
    suspicion::{Gate, PROBE_INTERVAL},
};
use crate::EgressErrorKind;

/// Whether a provider is asked: the states and transitions are in the documentation of [`CircuitBreaker`](crate::CircuitBreaker).
pub(super) struct Circuit {
    record: Mutex<Record>,
    changed: Notify,
}

/// A call that is to go out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    pub(super) credential: Option<Fingerprint>,
    /// Whether the provider accepted this credential before.
    pub(super) is_accepted: bool,
    /// Whether it failed before, and was not accepted since.
    pub(super) has_failed: bool,
    pub(super) arrived: Instant,
}

enum Decision {
    Go(Permit),
    Refuse(Refusal),
    WaitUntil(Instant),
}

impl Circuit {
    pub(super) fn new() -> Self {
        Self { record: Mutex::new(Record::new()), changed: Notify::new() }
    }

    /// Waits for a probe that is out, at most [`PROBE_INTERVAL`]; no lock is held meanwhile.
    pub(super) async fn admit(self: &Arc<Self>, caller: Caller) -> Result<Permit, Refusal> {
        loop {
            let mut changed = pin!(self.changed.notified());
            // From here on no change is missed.
            changed.as_mut().enable();
            match self.decide(&caller) {
                Decision::Go(permit) => return Ok(permit),
                Decision::Refuse(refusal) => return Err(refusal),
                // Either of the two is a reason to look again.
                Decision::WaitUntil(time) => drop(timeout_at(time, changed).await),
            }
        }
    }

    fn decide(self: &Arc<Self>, caller: &Caller) -> Decision {
        let now = Instant::now();
        let mut record = self.lock();
        let (availability, kind) = match &record.state {
            State::Closed => (Gate::Open, EgressErrorKind::BackingOff),
            State::Suspected { suspicion, kind } => (suspicion.gate(caller, now), *kind),
            State::Open { until, kind } => match until.saturating_duration_since(now) {
                Duration::ZERO => (Gate::Open, *kind),
                rest => (Gate::Closed(rest), *kind),
            },
            State::HalfOpen { kind } => (Gate::Closed(PROBE_INTERVAL), *kind),
        };
        let is_refused = record.is_refused();
        // That a credential was accepted before says nothing: a revoked one is refused as well.
        let like_new = Caller { is_accepted: false, ..*caller };
        let credentials = if is_refused { record.refused.gate(&like_new, now) } else { Gate::Open };
        match (availability, credentials) {
            (Gate::Closed(retry_after), _) => return Decision::Refuse(Refusal { kind, retry_after }),
            (_, Gate::Closed(retry_after)) => {
                return Decision::Refuse(Refusal { kind: EgressErrorKind::ClientRefused, retry_after });
            }
            (Gate::WaitUntil(time), _) | (_, Gate::WaitUntil(time)) => return Decision::WaitUntil(time),
            (Gate::Open, Gate::Open) => {}
        }
        record.calls += 1;
        let number = record.calls;
        if is_refused {
            record.refused.begin(&like_new, number, now);
        }
        match &mut record.state {
            State::Suspected { suspicion, .. } => suspicion.begin(caller, number, now),
            State::Open { kind, .. } => {
                let kind = *kind;
                record.change(State::HalfOpen { kind });
            }
            State::Closed | State::HalfOpen { .. } => {}
        }
        let call = Call { caller: *caller, number, generation: record.generation, sent: now };
        Decision::Go(Permit::new(Arc::clone(self), call))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Record> {
        // Nothing panics while the lock is held.
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those who wait look again.
    pub(super) fn notify(&self) {
        self.changed.notify_waiters();
    }
}
