//! [`Suspicion`]: different credentials fail, and it is not clear whether the provider does.

use std::time::Duration;

use portcullis_core::Fingerprint;
use tokio::time::Instant;

use super::{breaker::Caller, record::REFUSALS};

/// How long a caller waits for the outcome of a probe, and how long a probe that is not answered keeps the next caller waiting. Also the time
/// from one failed probe with a new credential to the next.
pub(super) const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// The part of the time that a caller has not waited by which it is held back when others wait as well: the one that came first goes first.
const PRECEDENCE: u32 = 100;
/// How many credentials are remembered as evidence. More would say nothing more.
const ENOUGH: usize = REFUSALS;

/// Evidence: the different credentials that failed since the last answer that contradicts it; and the probes that are out.
#[derive(Clone, Debug, Default)]
pub(super) struct Suspicion {
    failed: Vec<Fingerprint>,
    has_accepted: bool,
    not_before: Option<Instant>,
    probe: Option<Probe>,
    accepted_probe: Option<Probe>,
}

/// One call that is out, by the number of its permit.
#[derive(Clone, Copy, Debug)]
struct Probe {
    number: u64,
    sent: Instant,
}

/// Whether a call may go out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Gate {
    Open,
    /// The outcome of a probe, or this time, decides.
    WaitUntil(Instant),
    Closed(Duration),
}

impl Suspicion {
    pub(super) fn of(credential: Fingerprint, is_accepted: bool) -> Self {
        let mut suspicion = Self::default();
        suspicion.add(credential, is_accepted);
        suspicion
    }

    /// Adds a failed credential, which was accepted before, or not.
    pub(super) fn add(&mut self, credential: Fingerprint, is_accepted: bool) {
        if self.failed.len() < ENOUGH && !self.failed.contains(&credential) {
            self.failed.push(credential);
        }
        self.has_accepted |= is_accepted;
    }

    /// No probe with a new credential before `time`.
    pub(super) const fn postpone(&mut self, time: Instant) {
        self.not_before = Some(time);
    }

    /// How long until the next probe with a new credential.
    pub(super) fn rest(&self, now: Instant) -> Duration {
        self.not_before.map_or(Duration::ZERO, |time| time.saturating_duration_since(now))
    }

    /// Whether a call that went out at `sent` was allowed to by what is known now: it is not late.
    pub(super) fn is_probe(&self, sent: Instant) -> bool {
        self.not_before.is_none_or(|time| sent >= time)
    }

    /// How many different credentials failed.
    pub(super) const fn count(&self) -> usize {
        self.failed.len()
    }

    /// Whether one of them was accepted before.
    pub(super) const fn has_accepted(&self) -> bool {
        self.has_accepted
    }

    /// One probe at a time with a credential that was accepted before, at any time; and one with a new credential, at intervals.
    pub(super) fn gate(&self, caller: &Caller, now: Instant) -> Gate {
        let deadline = caller.arrived + PROBE_INTERVAL;
        let (probe, not_before) =
            if caller.is_accepted { (self.accepted_probe, None) } else { (self.probe, self.not_before) };
        if now >= deadline || not_before.is_some_and(|time| time >= deadline) {
            return Gate::Closed(self.rest(now).max(PROBE_INTERVAL));
        }
        let Some(time) = not_before.max(probe.map(|probe| probe.sent + PROBE_INTERVAL)) else { return Gate::Open };
        let precedence = if caller.has_failed {
            // It would not tell anything new.
            PROBE_INTERVAL / 2
        } else {
            let waited = time.saturating_duration_since(caller.arrived).min(PROBE_INTERVAL);
            (PROBE_INTERVAL - waited) / PRECEDENCE
        };
        if now < time + precedence { Gate::WaitUntil(deadline.min(time + precedence)) } else { Gate::Open }
    }

    /// The call with this number is a probe.
    pub(super) const fn begin(&mut self, caller: &Caller, number: u64, now: Instant) {
        let probe = Some(Probe { number, sent: now });
        if caller.is_accepted { self.accepted_probe = probe } else { self.probe = probe }
    }

    /// The call with this number is over.
    pub(super) fn end(&mut self, number: u64) {
        for probe in [&mut self.probe, &mut self.accepted_probe] {
            if probe.is_some_and(|probe| probe.number == number) {
                *probe = None;
            }
        }
    }
}
