//! [`PendingLoginIndex`]: the logins that were begun in this process, and by whom.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

use portcullis_core::UnixTime;
use portcullis_grants::{Version, records::RecordKey};

/// When a login expires, and which one it is: the oldest first.
type Ordinal = (UnixTime, RecordKey);

/// The logins that were begun in this process and have not come back to it, and by whom.
///
/// Whatever is asked of it takes no longer if there are many: it is asked for every login, and strangers decide how many there are.
#[derive(Debug, Default)]
pub(super) struct PendingLoginIndex {
    logins: HashMap<RecordKey, One>,
    by_end: BTreeSet<Ordinal>,
    crowds: HashMap<Crowd, BTreeSet<Ordinal>>,
    /// The largest last, and of those that are equal, the one with the oldest login.
    by_size: BTreeSet<(usize, Reverse<Ordinal>, Crowd)>,
}

/// Who is taken to be one when logins are too many.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Crowd {
    /// All at one site.
    At(IpAddr),
    /// Where that is not known, all who use one client.
    Of(RecordKey),
}

#[derive(Debug)]
struct One {
    crowd: Crowd,
    version: Version,
    expires_at: UnixTime,
}

impl PendingLoginIndex {
    pub(super) fn len(&self) -> usize {
        self.logins.len()
    }

    /// A login of `crowd`, which is in the store in `version`.
    pub(super) fn insert(&mut self, key: RecordKey, crowd: Crowd, version: Version, expires_at: UnixTime) {
        self.remove(key);
        self.logins.insert(key, One { crowd, version, expires_at });
        self.by_end.insert((expires_at, key));
        self.resize(crowd, |logins| {
            logins.insert((expires_at, key));
        });
    }

    /// It has come back, or is to be forgotten. In which version it is in the store.
    pub(super) fn remove(&mut self, key: RecordKey) -> Option<Version> {
        let One { crowd, version, expires_at } = self.logins.remove(&key)?;
        self.by_end.remove(&(expires_at, key));
        self.resize(crowd, |logins| {
            logins.remove(&(expires_at, key));
        });
        Some(version)
    }

    /// Forgets those that have expired, and the oldest of more than `max`.
    pub(super) fn shrink(&mut self, max: usize, now: UnixTime) {
        while let Some((expires_at, oldest)) = self.by_end.first().copied()
            && (expires_at <= now || self.len() > max)
        {
            self.remove(oldest);
        }
    }

    /// Takes out the oldest login of the largest crowd.
    pub(super) fn take_from_largest(&mut self) -> Option<(RecordKey, Version)> {
        let (_, Reverse((_, oldest)), _) = self.by_size.last().copied()?;
        self.remove(oldest).map(|version| (oldest, version))
    }

    fn resize(&mut self, crowd: Crowd, change: impl FnOnce(&mut BTreeSet<Ordinal>)) {
        let rank = |logins: &BTreeSet<_>| logins.first().map(|oldest| (logins.len(), Reverse(*oldest), crowd));
        let logins = self.crowds.entry(crowd).or_default();
        if let Some(old) = rank(logins) {
            self.by_size.remove(&old);
        }
        change(logins);
        match rank(logins) {
            Some(new) => drop(self.by_size.insert(new)),
            None => drop(self.crowds.remove(&crowd)),
        }
    }
}

#[cfg(test)]
mod tests {
    use portcullis_grants::records::Collection;

    use super::*;

    fn key(number: u8) -> RecordKey {
        RecordKey::new(Collection::LOGINS, [number; 32])
    }

    fn at(host: u8) -> Crowd {
        Crowd::At(IpAddr::from([192, 0, 2, host]))
    }

    /// One login after the other, each at the site of this number.
    fn begun(sites: &[u8]) -> PendingLoginIndex {
        let mut begun = PendingLoginIndex::default();
        for (number, site) in (0..).zip(sites) {
            begun.insert(key(number), at(*site), Version::new(number.into()), UnixTime::from_secs(number.into()));
        }
        begun
    }

    fn taken(begun: &mut PendingLoginIndex) -> Option<u64> {
        begun.take_from_largest().map(|(_, version)| version.number())
    }

    #[test]
    fn the_oldest_of_the_largest_crowd_goes_first() {
        let mut begun = begun(&[1, 2, 3, 2, 2, 3]);
        let order: Vec<_> = std::iter::from_fn(|| taken(&mut begun)).collect();
        assert_eq!(order, [1, 2, 3, 0, 4, 5], "2 has three, then 3 is as large and older, then all are equal");
        assert!(begun.crowds.is_empty() && begun.by_size.is_empty() && begun.by_end.is_empty());
    }

    #[test]
    fn what_has_come_back_or_is_over_counts_no_more() {
        let mut begun = begun(&[1, 1, 1, 2, 2]);
        assert_eq!(begun.remove(key(1)), Some(Version::new(1)));
        assert_eq!(begun.remove(key(1)), None);
        begun.shrink(10, UnixTime::from_secs(0));
        assert_eq!(begun.len(), 3);
        assert_eq!(taken(&mut begun), Some(3), "of the two at the other site");
        begun.shrink(1, UnixTime::from_secs(0));
        assert_eq!(taken(&mut begun), Some(4), "the older one was too many");
        assert_eq!(taken(&mut begun), None);
    }
}
