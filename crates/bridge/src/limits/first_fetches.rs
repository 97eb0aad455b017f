//! [`FirstFetches`]: what is fetched for the first time, because a stranger has named it.

use std::time::Duration;

use super::{
    Caller,
    buckets::{Buckets, Rate},
    by_address::ByAddress,
    rates::OF_ONE_HOST,
};

/// For a caller: users of new clients are few at a time.
const FROM_ONE: Rate = Rate { at_once: 20, then_every: Duration::from_secs(10) };

/// For all together: hundreds of callers are needed to use it up.
const FROM_ALL: Rate = Rate { at_once: 1000, then_every: Duration::from_millis(50) };

/// What is fetched for the first time, because a stranger has named it.
#[derive(Debug)]
pub(super) struct FirstFetches {
    from_one: ByAddress,
    of_one_host: Buckets,
    from_all: Buckets,
}

impl FirstFetches {
    pub(super) fn new() -> Self {
        let (of_one_host, from_all) = (Buckets::new(OF_ONE_HOST), Buckets::new(FROM_ALL));
        Self { from_one: ByAddress::new(FROM_ONE), of_one_host, from_all }
    }

    /// A fetch from `host`, which `caller` has named, and which is counted; or when it may be. A host that the operator has chosen is
    /// not one by which strangers are bothered, so its clients wait for nobody but the caller.
    ///
    /// The caller pays first: what they may not do is nothing to anybody else.
    pub(super) fn take(&self, caller: &Caller, host: &str, is_chosen: bool) -> Result<(), Duration> {
        self.from_one.look(caller, ())?;
        if !is_chosen {
            self.of_one_host.look(host).and_then(|()| self.from_all.look(()))?;
            self.of_one_host.count(host);
            self.from_all.count(());
        }
        self.from_one.count(caller, ());
        Ok(())
    }
}
