//! [`Slots`]: how many connections there are, in all and from each address.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{Limits, occasional::Occasional};

/// How many connections there are, in all and from each address.
#[derive(Debug)]
pub(crate) struct Slots {
    max: usize,
    free: Arc<Semaphore>,
    by_network: Option<Arc<ByNetwork>>,
    full: Occasional,
    crowded: Occasional,
}

#[derive(Debug)]
struct ByNetwork {
    max: usize,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// A place for one connection; dropping it makes room for another.
#[derive(Debug)]
pub(crate) struct Slot {
    _total: OwnedSemaphorePermit,
    _network: Option<InNetwork>,
}

#[derive(Debug)]
struct InNetwork {
    all: Arc<ByNetwork>,
    network: IpAddr,
}

impl Slots {
    pub(crate) fn new(limits: &Limits) -> Self {
        let max = limits.max.min(Semaphore::MAX_PERMITS);
        let by_network = limits.max_per_address.map(|max| Arc::new(ByNetwork { max, taken: Mutex::default() }));
        let (full, crowded) = (Occasional::new(), Occasional::new());
        Self { max, free: Arc::new(Semaphore::new(max)), by_network, full, crowded }
    }

    /// Waits for a place.
    pub(crate) async fn free(&self) -> OwnedSemaphorePermit {
        if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
            return permit;
        }
        if let Some(count) = self.full.due() {
            tracing::warn!(max = self.max, count, "there are as many connections as there may be (max): new ones wait");
        }
        Arc::clone(&self.free).acquire_owned().await.expect("it is never closed")
    }

    /// Gives the place to a connection from `address`, unless there are too many from there.
    pub(crate) fn take(&self, total: OwnedSemaphorePermit, address: IpAddr) -> Option<Slot> {
        let Some(all) = &self.by_network else { return Some(Slot { _total: total, _network: None }) };
        let network = network(address);
        let mut taken = all.taken();
        let count = taken.entry(network).or_default();
        if *count < all.max {
            *count += 1;
            let network = InNetwork { all: Arc::clone(all), network };
            return Some(Slot { _total: total, _network: Some(network) });
        }
        drop(taken);
        if let Some(count) = self.crowded.due() {
            let max = all.max;
            tracing::warn!(%network, max, count, "too many connections from one address (max_per_address): closed");
        }
        None
    }
}

impl ByNetwork {
    fn taken(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // Counts, which are consistent whatever panics.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InNetwork {
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

/// The network that one subscriber has: an IPv4 address, or a /64 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        address @ IpAddr::V4(_) => address,
    }
}
