//! [`ByAddress`]: how much of what comes from where.

use std::{hash::Hash, time::Duration};

use super::{
    Caller,
    buckets::{Buckets, Rate},
};

/// Buckets for callers, and for the sites that they are at. Whoever has no known address has none: they would share it with everybody.
#[derive(Debug)]
pub(super) struct ByAddress {
    callers: Buckets,
    sites: Buckets,
}

/// A site of IPv6 has as much as so many of its networks. Otherwise it would have as much as all 65,536.
const NETWORKS: u32 = 4;

impl ByAddress {
    /// `rate` for a caller.
    pub(super) fn new(rate: Rate) -> Self {
        let of_site = Rate { at_once: rate.at_once.saturating_mul(NETWORKS), then_every: rate.then_every / NETWORKS };
        Self { callers: Buckets::new(rate), sites: Buckets::new(of_site) }
    }

    /// Whether `caller` may do `what`, and if not, when they may. Nothing is counted.
    pub(super) fn look(&self, caller: &Caller, what: impl Hash) -> Result<(), Duration> {
        let Some(site) = caller.site() else { return Ok(()) };
        self.callers.look((caller, &what)).and_then(|()| self.sites.look((site, &what)))
    }

    /// They have done it.
    pub(super) fn count(&self, caller: &Caller, what: impl Hash) {
        if let Some(site) = caller.site() {
            self.callers.count((caller, &what));
            self.sites.count((site, &what));
        }
    }

    /// It turned out to be nothing that is limited.
    pub(super) fn give_back(&self, caller: &Caller, what: impl Hash) {
        if let Some(site) = caller.site() {
            self.callers.give_back((caller, &what));
            self.sites.give_back((site, &what));
        }
    }
}
