//! [`FirstFetches`]: what is fetched for the first time, because a stranger has named it.

use std::time::Duration;

use portcullis_egress::{Rate, RateLimiter};

use super::{Caller, by_address::ByAddress, rates::OF_ONE_HOST};

/// For a caller: users of new clients are few at a time.
const FROM_ONE: Rate = Rate::new(20, Duration::from_secs(10));

/// For all together: hundreds of callers are needed to use it up.
const FROM_ALL: Rate = Rate::new(1000, Duration::from_millis(50));

/// What is fetched for the first time, because a stranger has named it.
#[derive(Debug)]
pub(super) struct FirstFetches {
    from_one: ByAddress,
    of_one_host: RateLimiter,
    from_all: RateLimiter,
}

impl FirstFetches {
    pub(super) fn new() -> Self {
        let (of_one_host, from_all) = (RateLimiter::new(OF_ONE_HOST), RateLimiter::new(FROM_ALL));
        Self { from_one: ByAddress::new(FROM_ONE), of_one_host, from_all }
    }

    /// A fetch from `host`, which `caller` has named, and which is counted; or when it may be. A host that the operator has chosen is
    /// not one by which strangers are bothered, so its clients wait for nobody but the caller.
    ///
    /// The caller's own quota is checked before the shared ones.
    pub(super) fn acquire(&self, caller: &Caller, host: &str, is_chosen: bool) -> Result<(), Duration> {
        self.from_one.check(caller, ())?;
        if !is_chosen {
            self.of_one_host.check(host).and_then(|()| self.from_all.check(()))?;
            self.of_one_host.record(host);
            self.from_all.record(());
        }
        self.from_one.record(caller, ());
        Ok(())
    }
}
