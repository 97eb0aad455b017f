//! [`Limits`]: the number of connections, and the time-outs of each; [`Slots`] counts the connections, in total and per client network.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// The shortest time between two log lines of one kind.
const PERIOD: Duration = Duration::from_secs(10);

/// The number of connections, and the time-outs of each.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub(crate) max: usize,
    pub(crate) max_per_address: Option<usize>,
    pub(crate) head_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) body_timeout: Duration,
    pub(crate) write_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max: 10_000,
            max_per_address: Some(1_000),
            head_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_mins(2),
            body_timeout: Duration::from_mins(1),
            write_timeout: Duration::from_mins(1),
        }
    }
}

impl Limits {
    /// Sets the number of simultaneous connections; further connections wait. Default: 10,000.
    #[must_use]
    pub const fn with_max(self, max: usize) -> Self {
        Self { max, ..self }
    }

    /// Sets the number of simultaneous connections from one IPv4 address or one IPv6 network (/64); further connections are closed.
    /// Default: 1,000. `None`, for a server behind a proxy, leaves only the total limit.
    #[must_use]
    pub const fn with_max_per_address(self, max: Option<usize>) -> Self {
        Self { max_per_address: max, ..self }
    }

    /// Sets the time from the start of a connection to the head of its first request. Default: 30 s.
    #[must_use]
    pub const fn with_head_timeout(self, timeout: Duration) -> Self {
        Self { head_timeout: timeout, ..self }
    }

    /// Sets the time from the end of a response to the head of the next request. Default: 2 min, which is longer than the time-outs
    /// of common connection pools and proxies, so that the client is the side that closes.
    #[must_use]
    pub const fn with_idle_timeout(self, timeout: Duration) -> Self {
        Self { idle_timeout: timeout, ..self }
    }

    /// Sets the time for the body of a request, from when the service first waits for the body. Default: 1 min.
    #[must_use]
    pub const fn with_body_timeout(self, timeout: Duration) -> Self {
        Self { body_timeout: timeout, ..self }
    }

    /// Sets the time for a write that makes no progress because the client does not read. Default: 1 min.
    #[must_use]
    pub const fn with_write_timeout(self, timeout: Duration) -> Self {
        Self { write_timeout: timeout, ..self }
    }

    /// Lowers the limits to at most `room` connections, of which one address may have at most half.
    pub(super) fn within(self, room: usize) -> Self {
        if room >= self.max {
            return self;
        }
        Self { max: room, max_per_address: self.max_per_address.map(|max| max.min(room.div_ceil(2))), ..self }
    }
}

/// A rate limit for one log line: at most one per [`PERIOD`], with the count of the events in between.
#[derive(Debug)]
pub(crate) struct LogRateLimit(Mutex<State>);

#[derive(Debug)]
struct State {
    count: u64,
    last: Option<Instant>,
}

impl LogRateLimit {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(State { count: 0, last: None }))
    }

    /// Counts one event. Returns the number of events since the last log line if the next line may be written now.
    pub(crate) fn record(&self) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.count += 1;
        let now = Instant::now();
        if state.last.is_some_and(|last| now.saturating_duration_since(last) < PERIOD) {
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.count))
    }
}

/// The limits on the number of connections, in total and per client network.
#[derive(Debug)]
pub(super) struct Slots {
    max: usize,
    total: Arc<Semaphore>,
    by_network: Option<Arc<ByNetwork>>,
    total_log: LogRateLimit,
    network_log: LogRateLimit,
}

#[derive(Debug)]
struct ByNetwork {
    max: usize,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// A guard for one connection; dropping it frees the slot.
#[derive(Debug)]
pub(super) struct Slot {
    _total: OwnedSemaphorePermit,
    _network: Option<NetworkSlot>,
}

#[derive(Debug)]
struct NetworkSlot {
    all: Arc<ByNetwork>,
    network: IpAddr,
}

impl Slots {
    pub(super) fn new(limits: &Limits) -> Self {
        let max = limits.max.min(Semaphore::MAX_PERMITS);
        let by_network = limits.max_per_address.map(|max| Arc::new(ByNetwork { max, taken: Mutex::default() }));
        let (total_log, network_log) = (LogRateLimit::new(), LogRateLimit::new());
        Self { max, total: Arc::new(Semaphore::new(max)), by_network, total_log, network_log }
    }

    /// Waits until the total limit permits one more connection.
    pub(super) async fn acquire_total(&self) -> OwnedSemaphorePermit {
        if let Ok(permit) = Arc::clone(&self.total).try_acquire_owned() {
            return permit;
        }
        if let Some(count) = self.total_log.record() {
            tracing::warn!(
                max = self.max,
                count,
                "the number of connections has reached the limit (max): new connections wait"
            );
        }
        Arc::clone(&self.total).acquire_owned().await.expect("the semaphore is never closed")
    }

    /// Returns a slot for a connection from `address`, or `None` if its network has the maximum number of connections.
    pub(super) fn acquire(&self, total: OwnedSemaphorePermit, address: IpAddr) -> Option<Slot> {
        let Some(all) = &self.by_network else { return Some(Slot { _total: total, _network: None }) };
        let network = network(address);
        let mut taken = all.taken();
        let count = taken.entry(network).or_default();
        if *count < all.max {
            *count += 1;
            let network = NetworkSlot { all: Arc::clone(all), network };
            return Some(Slot { _total: total, _network: Some(network) });
        }
        drop(taken);
        if let Some(count) = self.network_log.record() {
            let max = all.max;
            tracing::warn!(%network, max, count, "too many connections from one address (max_per_address): closed");
        }
        None
    }
}

impl ByNetwork {
    fn taken(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // A poisoned lock is usable: each critical section leaves the counts consistent.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for NetworkSlot {
    fn drop(&mut self) {
        let mut taken = self.all.taken();
        if let Some(count) = taken.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.network);
            }
        }
    }
}

/// Returns the network that is assigned to one subscriber: an IPv4 address, or a /64 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        address @ IpAddr::V4(_) => address,
    }
}
