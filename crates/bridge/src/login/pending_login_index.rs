//! [`PendingLoginIndex`]: the pending logins of this process, by source.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

use portcullis_core::UnixTime;
use portcullis_store::{RecordKey, Version};

/// Orders logins by expiry.
type Ordinal = (UnixTime, RecordKey);

/// The pending logins that began in this process, by source.
///
/// All operations are O(log n): the size is attacker-controlled.
#[derive(Debug, Default)]
pub(super) struct PendingLoginIndex {
    logins: HashMap<RecordKey, Entry>,
    by_end: BTreeSet<Ordinal>,
    sources: HashMap<RequestSource, BTreeSet<Ordinal>>,
    /// The largest source last; among equal ones, the one with the oldest login.
    by_size: BTreeSet<(usize, Reverse<Ordinal>, RequestSource)>,
}

/// The unit of fairness when there are too many logins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum RequestSource {
    /// The network of the caller.
    Network(IpAddr),
    /// The client, for callers without a known address.
    Client(RecordKey),
}

#[derive(Debug)]
struct Entry {
    source: RequestSource,
    version: Version,
    expires_at: UnixTime,
}

impl PendingLoginIndex {
    pub(super) fn len(&self) -> usize {
        self.logins.len()
    }

    /// Adds a login of `source`, which has the version `version` in the store.
    pub(super) fn insert(&mut self, key: RecordKey, source: RequestSource, version: Version, expires_at: UnixTime) {
        self.remove(key);
        self.logins.insert(key, Entry { source, version, expires_at });
        self.by_end.insert((expires_at, key));
        self.resize(source, |logins| {
            logins.insert((expires_at, key));
        });
    }

    /// Removes a login. Returns its version in the store.
    pub(super) fn remove(&mut self, key: RecordKey) -> Option<Version> {
        let Entry { source, version, expires_at } = self.logins.remove(&key)?;
        self.by_end.remove(&(expires_at, key));
        self.resize(source, |logins| {
            logins.remove(&(expires_at, key));
        });
        Some(version)
    }

    /// Removes expired logins, and the oldest beyond `max`.
    pub(super) fn shrink(&mut self, max: usize, now: UnixTime) {
        while let Some((expires_at, oldest)) = self.by_end.first().copied()
            && (expires_at <= now || self.len() > max)
        {
            self.remove(oldest);
        }
    }

    /// Removes and returns the oldest login of the largest source.
    pub(super) fn take_from_largest(&mut self) -> Option<(RecordKey, Version)> {
        let (_, Reverse((_, oldest)), _) = self.by_size.last().copied()?;
        self.remove(oldest).map(|version| (oldest, version))
    }

    fn resize(&mut self, source: RequestSource, change: impl FnOnce(&mut BTreeSet<Ordinal>)) {
        let rank = |logins: &BTreeSet<_>| logins.first().map(|oldest| (logins.len(), Reverse(*oldest), source));
        let logins = self.sources.entry(source).or_default();
        if let Some(old) = rank(logins) {
            self.by_size.remove(&old);
        }
        change(logins);
        match rank(logins) {
            Some(new) => drop(self.by_size.insert(new)),
            None => drop(self.sources.remove(&source)),
        }
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::collections;

    fn key(number: u8) -> RecordKey {
        RecordKey::new(collections::LOGINS, [number; 32])
    }

    fn at(host: u8) -> RequestSource {
        RequestSource::Network(IpAddr::from([192, 0, 2, host]))
    }

    /// One login after the other, each from the network of this number.
    fn index(networks: &[u8]) -> PendingLoginIndex {
        let mut index = PendingLoginIndex::default();
        for (number, network) in (0..).zip(networks) {
            index.insert(key(number), at(*network), Version::new(number.into()), UnixTime::from_secs(number.into()));
        }
        index
    }

    fn taken(index: &mut PendingLoginIndex) -> Option<u64> {
        index.take_from_largest().map(|(_, version)| version.number())
    }

    #[test]
    fn the_oldest_login_of_the_largest_source_is_removed_first() {
        let mut index = index(&[1, 2, 3, 2, 2, 3]);
        let order: Vec<_> = std::iter::from_fn(|| taken(&mut index)).collect();
        assert_eq!(order, [1, 2, 3, 0, 4, 5], "2 has three, then 3 is as large and older, then all are equal");
        assert!(index.sources.is_empty() && index.by_size.is_empty() && index.by_end.is_empty());
    }

    #[test]
    fn completed_and_expired_logins_do_not_count() {
        let mut index = index(&[1, 1, 1, 2, 2]);
        assert_eq!(index.remove(key(1)), Some(Version::new(1)));
        assert_eq!(index.remove(key(1)), None);
        index.shrink(10, UnixTime::from_secs(0));
        assert_eq!(index.len(), 3);
        assert_eq!(taken(&mut index), Some(3), "the larger network");
        index.shrink(1, UnixTime::from_secs(0));
        assert_eq!(taken(&mut index), Some(4), "the older one was too many");
        assert_eq!(taken(&mut index), None);
    }
}
