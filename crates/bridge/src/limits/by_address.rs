//! [`ByAddress`] and [`FirstFetches`]: rate limiters by source address.

use std::{hash::Hash, time::Duration};

use portcullis_egress::{Rate, RateLimiter};

use super::{Caller, PER_HOST};

/// Rate limiters by source address and by its network. Requests without a known address are not limited, because they would share one
/// bucket.
#[derive(Debug)]
pub(super) struct ByAddress {
    callers: RateLimiter,
    networks: RateLimiter,
}

/// The quota of an IPv6 /48 network, as a multiple of the quota of one /64.
const NETWORK_FACTOR: u32 = 4;

impl ByAddress {
    /// Creates limiters with `rate` per caller.
    pub(super) fn new(rate: Rate) -> Self {
        Self { callers: RateLimiter::new(rate), networks: RateLimiter::new(rate.times(NETWORK_FACTOR)) }
    }

    /// Checks the limit of `caller` without counting. The error is the time to wait.
    pub(super) fn check(&self, caller: &Caller, what: impl Hash) -> Result<(), Duration> {
        let Some(network) = caller.network() else { return Ok(()) };
        self.callers.check((caller, &what)).and_then(|()| self.networks.check((network, &what)))
    }

    /// Counts a request.
    pub(super) fn record(&self, caller: &Caller, what: impl Hash) {
        if let Some(network) = caller.network() {
            self.callers.record((caller, &what));
            self.networks.record((network, &what));
        }
    }

    /// Removes a request from the count.
    pub(super) fn refund(&self, caller: &Caller, what: impl Hash) {
        if let Some(network) = caller.network() {
            self.callers.refund((caller, &what));
            self.networks.refund((network, &what));
        }
    }
}

/// First fetches per caller.
const PER_CALLER: Rate = Rate::new(20, Duration::from_secs(10));

/// First fetches in all. Only hundreds of callers together can exhaust it.
const TOTAL: Rate = Rate::new(1000, Duration::from_millis(50));

/// Limits fetches of URLs that requests name for the first time.
#[derive(Debug)]
pub(super) struct FirstFetches {
    per_caller: ByAddress,
    per_host: RateLimiter,
    total: RateLimiter,
}

impl FirstFetches {
    pub(super) fn new() -> Self {
        let (per_host, total) = (RateLimiter::new(PER_HOST), RateLimiter::new(TOTAL));
        Self { per_caller: ByAddress::new(PER_CALLER), per_host, total }
    }

    /// Counts a fetch from `host` for `caller`. The limits per host and in all do not apply to a host that the operator has configured.
    ///
    /// The caller's own quota is checked before the shared ones.
    pub(super) fn acquire(&self, caller: &Caller, host: &str, is_configured: bool) -> Result<(), Duration> {
        self.per_caller.check(caller, ())?;
        if !is_configured {
            self.per_host.check(host).and_then(|()| self.total.check(()))?;
            self.per_host.record(host);
            self.total.record(());
        }
        self.per_caller.record(caller, ());
        Ok(())
    }
}
