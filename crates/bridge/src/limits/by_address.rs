//! [`ByAddress`]: rate limits by source address.

use std::{hash::Hash, time::Duration};

use portcullis_egress::{Rate, RateLimiter};

use super::Caller;

/// Rate limiters by source address, and by the site that the address belongs to. Requests without a known address are not limited: they
/// would all share one bucket.
#[derive(Debug)]
pub(super) struct ByAddress {
    callers: RateLimiter,
    sites: RateLimiter,
}

/// A site of IPv6 has as much as so many of its networks. Otherwise it would have as much as all 65,536.
const NETWORKS: u32 = 4;

impl ByAddress {
    /// `rate` for a caller.
    pub(super) fn new(rate: Rate) -> Self {
        Self { callers: RateLimiter::new(rate), sites: RateLimiter::new(rate.times(NETWORKS)) }
    }

    /// Whether `caller` may do `what`, and if not, when they may. Nothing is counted.
    pub(super) fn check(&self, caller: &Caller, what: impl Hash) -> Result<(), Duration> {
        let Some(site) = caller.site() else { return Ok(()) };
        self.callers.check((caller, &what)).and_then(|()| self.sites.check((site, &what)))
    }

    /// They have done it.
    pub(super) fn record(&self, caller: &Caller, what: impl Hash) {
        if let Some(site) = caller.site() {
            self.callers.record((caller, &what));
            self.sites.record((site, &what));
        }
    }

    /// It turned out to be nothing that is limited.
    pub(super) fn refund(&self, caller: &Caller, what: impl Hash) {
        if let Some(site) = caller.site() {
            self.callers.refund((caller, &what));
            self.sites.refund((site, &what));
        }
    }
}
