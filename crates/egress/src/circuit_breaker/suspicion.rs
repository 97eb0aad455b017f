//! [`Suspicion`]: evidence against a provider, from failures of different credentials.

use std::time::Duration;

use portcullis_core::Fingerprint;
use tokio::time::Instant;

/// How long a call waits for the outcome of a probe, and how long a probe that is not answered delays the next one. Also the time
/// from one failed probe with a new credential to the next.
pub(super) const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// A call that has not waited is delayed by this part of the time that it could have waited, so that the call that came first goes first.
const PRECEDENCE: u32 = 100;
/// The number of different credentials from which on refusals may be about this server, if none was accepted lately. More than
/// the dead grants that a process usually presents before one is accepted; fewer than a provider takes for an attack.
pub(super) const REFUSALS: usize = 16;
/// The number of credentials that are remembered as evidence. More would not change any decision.
const ENOUGH: usize = REFUSALS;

/// A call that asks to be admitted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    pub(super) credential: Option<Fingerprint>,
    /// Whether the provider accepted this credential before.
    pub(super) is_accepted: bool,
    /// Whether it failed before, and was not accepted since.
    pub(super) has_failed: bool,
    pub(super) arrived: Instant,
}

/// The different credentials that failed since the last answer that contradicts the suspicion; and the probes that are under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Suspicion {
    failed: Vec<Fingerprint>,
    has_accepted: bool,
    not_before: Option<Instant>,
    probe: Option<Probe>,
    accepted_probe: Option<Probe>,
}

/// A call that is under way, by the number of its permit.
#[derive(Clone, Copy, Debug)]
struct Probe {
    number: u64,
    sent: Instant,
}

/// Whether a call may be sent.
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

    /// Admits no probe with a new credential before `time`.
    pub(super) const fn postpone(&mut self, time: Instant) {
        self.not_before = Some(time);
    }

    /// Returns the time until the next probe with a new credential.
    pub(super) fn rest(&self, now: Instant) -> Duration {
        self.not_before.map_or(Duration::ZERO, |time| time.saturating_duration_since(now))
    }

    /// Reports whether a call that was sent at `sent` is a probe, and not a late one of before.
    pub(super) fn is_probe(&self, sent: Instant) -> bool {
        self.not_before.is_none_or(|time| sent >= time)
    }

    /// Returns how many different credentials failed.
    pub(super) const fn count(&self) -> usize {
        self.failed.len()
    }

    /// Reports whether one of them was accepted before.
    pub(super) const fn has_accepted(&self) -> bool {
        self.has_accepted
    }

    /// Admits one probe at a time with an accepted credential, at any time; and one with a new credential, at intervals.
    pub(super) fn gate(&self, caller: &Caller, now: Instant) -> Gate {
        let deadline = caller.arrived + PROBE_INTERVAL;
        let (probe, not_before) =
            if caller.is_accepted { (self.accepted_probe, None) } else { (self.probe, self.not_before) };
        if now >= deadline || not_before.is_some_and(|time| time >= deadline) {
            return Gate::Closed(self.rest(now).max(PROBE_INTERVAL));
        }
        let Some(time) = not_before.max(probe.map(|probe| probe.sent + PROBE_INTERVAL)) else { return Gate::Open };
        let precedence = if caller.has_failed {
            // Another failure of it would not be new evidence.
            PROBE_INTERVAL / 2
        } else {
            let waited = time.saturating_duration_since(caller.arrived).min(PROBE_INTERVAL);
            (PROBE_INTERVAL - waited) / PRECEDENCE
        };
        if now < time + precedence { Gate::WaitUntil(deadline.min(time + precedence)) } else { Gate::Open }
    }

    /// Notes that the call with this number is a probe.
    pub(super) const fn begin(&mut self, caller: &Caller, number: u64, now: Instant) {
        let probe = Some(Probe { number, sent: now });
        if caller.is_accepted { self.accepted_probe = probe } else { self.probe = probe }
    }

    /// Notes that the call with this number has ended.
    pub(super) fn end(&mut self, number: u64) {
        for probe in [&mut self.probe, &mut self.accepted_probe] {
            if probe.is_some_and(|probe| probe.number == number) {
                *probe = None;
            }
        }
    }
}
