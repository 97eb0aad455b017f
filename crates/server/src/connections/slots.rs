//! [`Slots`]: the limits on the number of connections, in total and per client network.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Limits, limits::LogRateLimit};

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
