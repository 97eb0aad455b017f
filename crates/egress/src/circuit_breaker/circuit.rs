//! [`Circuit`]: admits calls by the state of the circuit breaker.

use std::{
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use super::{
    Refusal,
    state::{Call, Consequence, Failure, Record, State, Verdict},
    suspicion::{Caller, Gate, PROBE_INTERVAL},
};
use crate::EgressErrorKind;

/// Admits calls: the states and transitions are in the documentation of [`CircuitBreaker`](crate::CircuitBreaker).
pub(super) struct Circuit {
    record: Mutex<Record>,
    changed: Notify,
}

/// The right to send one call. Dropped without a verdict, it says nothing about the provider and admits the next call in its place.
pub(super) struct Permit {
    circuit: Arc<Circuit>,
    call: Call,
}

enum Decision {
    Admit(Permit),
    Refuse(Refusal),
    WaitUntil(Instant),
}

impl Circuit {
    pub(super) fn new() -> Self {
        Self { record: Mutex::new(Record::new()), changed: Notify::new() }
    }

    /// Admits or refuses a call, after the outcome of a running probe if that decides: it waits at most [`PROBE_INTERVAL`], and holds no
    /// lock meanwhile.
    pub(super) async fn admit(self: &Arc<Self>, caller: Caller) -> Result<Permit, Refusal> {
        loop {
            let mut changed = pin!(self.changed.notified());
            // From here on no change is missed.
            changed.as_mut().enable();
            match self.decide(&caller) {
                Decision::Admit(permit) => return Ok(permit),
                Decision::Refuse(refusal) => return Err(refusal),
                // A change or the time: either is a reason to decide again.
                Decision::WaitUntil(time) => drop(timeout_at(time, changed).await),
            }
        }
    }

    fn decide(self: &Arc<Self>, caller: &Caller) -> Decision {
        let now = Instant::now();
        let mut record = self.lock();
        record.give_up_probe(now);
        let (availability, kind) = match &record.state {
            State::Closed => (Gate::Open, EgressErrorKind::BackingOff),
            State::Suspected { suspicion, kind } => (suspicion.gate(caller, now), *kind),
            State::Open { until, kind } => match until.saturating_duration_since(now) {
                rest if rest.is_zero() => (Gate::Open, *kind),
                rest => (Gate::Closed(rest), *kind),
            },
            State::HalfOpen { kind, .. } => (Gate::Closed(PROBE_INTERVAL), *kind),
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
                record.change(State::HalfOpen { kind, probe: *caller, sent: now });
            }
            State::Closed | State::HalfOpen { .. } => {}
        }
        let call = Call { caller: *caller, number, generation: record.generation, sent: now };
        Decision::Admit(Permit { circuit: Arc::clone(self), call })
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        // No code panics while the lock is held.
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Notes that the provider answered. Reports whether its refusals may be about this server.
    pub(super) fn answered(self, verdict: Verdict) -> bool {
        self.circuit.lock().answered(&self.call, verdict, Instant::now())
    }

    /// Notes that the provider failed, or did not answer.
    pub(super) fn failed(self, failure: Failure) -> Consequence {
        self.circuit.lock().failed(&self.call, failure, Instant::now())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut record = self.circuit.lock();
        record.refused.end(self.call.number);
        match &mut record.state {
            State::Suspected { suspicion, .. } => suspicion.end(self.call.number),
            State::HalfOpen { kind, .. } => {
                let kind = *kind;
                if record.generation == self.call.generation {
                    record.change(State::Open { until: Instant::now(), kind });
                }
            }
            State::Closed | State::Open { .. } => {}
        }
        drop(record);
        self.circuit.changed.notify_waiters();
    }
}
