//! [`Provider`]: how a provider is doing.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::window::back_off_window;
use crate::{EgressError, EgressErrorKind};

/// What those are told who come while a probe is out.
const WHILE_PROBING: Duration = Duration::from_secs(1);

/// How a provider is doing, as seen by the calls to it.
#[derive(Default)]
pub(super) struct Provider(Mutex<Record>);

#[derive(Default)]
struct Record {
    state: State,
    /// How many windows have been opened since all was well.
    windows: u32,
    /// Counts the changes of `state`: what a call says counts only if nothing has changed since it went out.
    generation: u64,
}

#[derive(Clone, Copy, Default)]
enum State {
    #[default]
    Well,
    /// Left alone until then.
    Window { until: Instant, kind: EgressErrorKind },
    /// One call is out to see.
    Probing { kind: EgressErrorKind },
}

/// Why a call does not go out.
pub(super) struct Refusal {
    pub(super) kind: EgressErrorKind,
    pub(super) retry_after: Duration,
}

impl Provider {
    pub(super) fn admit(self: &Arc<Self>) -> Result<Permit, Refusal> {
        let mut record = self.lock();
        match record.state {
            State::Well => {}
            State::Window { until, kind } => {
                let rest = until.saturating_duration_since(Instant::now());
                if !rest.is_zero() {
                    return Err(Refusal { kind, retry_after: rest });
                }
                record.change(State::Probing { kind });
            }
            State::Probing { kind } => return Err(Refusal { kind, retry_after: WHILE_PROBING }),
        }
        Ok(Permit { provider: Arc::clone(self), generation: record.generation })
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        // Nothing panics while the lock is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    fn change(&mut self, state: State) {
        self.state = state;
        self.generation += 1;
    }
}

/// One call that may go out. Dropped without a verdict, it leaves the next call to be the probe.
pub(super) struct Permit {
    provider: Arc<Provider>,
    generation: u64,
}

impl Permit {
    pub(super) fn succeeded(self) {
        let mut record = self.provider.lock();
        if record.generation == self.generation && matches!(record.state, State::Probing { .. }) {
            record.windows = 0;
            record.change(State::Well);
        }
    }

    /// Opens the next window, or joins the one that has been opened meanwhile. How long it lasts.
    pub(super) fn failed(self, error: &EgressError) -> Duration {
        let mut record = self.provider.lock();
        let now = Instant::now();
        if record.generation != self.generation {
            return match record.state {
                State::Window { until, .. } => until.saturating_duration_since(now),
                State::Well | State::Probing { .. } => WHILE_PROBING,
            };
        }
        let window = back_off_window(record.windows, error.retry_after());
        let kind = match error.kind() {
            EgressErrorKind::RateLimited => EgressErrorKind::RateLimited,
            _ => EgressErrorKind::BackingOff,
        };
        record.windows = record.windows.saturating_add(1);
        record.change(State::Window { until: now + window, kind });
        drop(record);
        tracing::warn!(%error, window_seconds = window.as_secs_f64(), "a provider fails and is left alone");
        window
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut record = self.provider.lock();
        if let State::Probing { kind } = record.state
            && record.generation == self.generation
        {
            record.change(State::Window { until: Instant::now(), kind });
        }
    }
}
