//! [`Table`]: the rows, leases and events of a store as one value.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    ops::Bound,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use portcullis_core::UnixTime;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{Collection, Events, Expected, Lease, LeaseOutcome, Position, RecordKey, Row, StoredRow, Swap, Version};

/// The rows, leases and events of a store as one value, with the operations of [`Store`](crate::Store) on it: what a
/// [`MemoryStore`](crate::MemoryStore) has in memory, and a store in a file has in its file.
///
/// Every operation is a function of the table, its arguments and the time. The table is serializable: what is deserialized is the same
/// table, and equal tables are serialized alike. It contains sealed bytes, and no name of a collection.
#[derive(Default)]
pub struct Table {
    rows: BTreeMap<Key, StoredRow>,
    /// The same rows, in the order in which they expire.
    ends: BTreeSet<(u8, UnixTime, [u8; 32])>,
    /// The highest version there has been.
    version: u64,
    /// Those that were not released.
    leases: BTreeMap<Key, Held>,
    /// The highest fence there has been.
    fence: u64,
    /// How many leases there may be before those that are of no use are forgotten.
    lease_capacity: usize,
    events: VecDeque<Bytes>,
    /// The position of the last event. The others have those before it.
    last_event: u64,
}

/// The number of a collection, and the bytes of a key in it.
type Key = (u8, [u8; 32]);

struct Held {
    fence: u64,
    until: UnixTime,
}

/// With fewer leases, none are looked for that can be forgotten.
const MIN_LEASES: usize = 64;

const fn key_of(key: RecordKey) -> Key {
    (key.collection().number(), *key.as_bytes())
}

impl Table {
    /// Creates an empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the number of rows, also of those that have expired.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Reports whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns the row at `key`, unless it has expired.
    #[must_use]
    pub fn load(&self, key: RecordKey, now: UnixTime) -> Option<&StoredRow> {
        self.load_even_expired(key).filter(|stored| now < stored.row.expires_at)
    }

    /// Returns the row at `key`.
    #[must_use]
    pub fn load_even_expired(&self, key: RecordKey) -> Option<&StoredRow> {
        self.rows.get(&key_of(key))
    }

    fn is_as_expected(&self, key: RecordKey, expected: Expected, now: UnixTime) -> bool {
        match expected {
            Expected::Absent => self.load(key, now).is_none(),
            Expected::Unexpired(version) => self.load(key, now).is_some_and(|stored| stored.version == version),
            Expected::EvenExpired(version) => {
                self.load_even_expired(key).is_some_and(|stored| stored.version == version)
            }
        }
    }

    /// Writes a row: see [`Store::compare_and_swap`](crate::Store::compare_and_swap).
    pub fn compare_and_swap(
        &mut self,
        key: RecordKey,
        expected: Expected,
        new: Row,
        lease: Option<Lease>,
        now: UnixTime,
    ) -> Swap {
        if lease.is_some_and(|lease| !self.is_held(key, lease)) {
            return Swap::Fenced;
        }
        if !self.is_as_expected(key, expected, now) {
            return Swap::Conflict;
        }
        if let Some(lease) = lease {
            self.release(key, lease);
        }
        self.version += 1;
        let version = Version::new(self.version);
        self.insert(key_of(key), StoredRow::new(version, new));
        Swap::Written(version)
    }

    fn insert(&mut self, key: Key, stored: StoredRow) {
        self.remove(key);
        self.ends.insert((key.0, stored.row.expires_at, key.1));
        self.rows.insert(key, stored);
    }

    fn remove(&mut self, key: Key) {
        if let Some(stored) = self.rows.remove(&key) {
            self.ends.remove(&(key.0, stored.row.expires_at, key.1));
        }
    }

    /// Removes a row: see [`Store::compare_and_remove`](crate::Store::compare_and_remove).
    pub fn compare_and_remove(&mut self, key: RecordKey, expected: Version) -> bool {
        let is_as_expected = self.load_even_expired(key).is_some_and(|stored| stored.version == expected);
        if is_as_expected {
            self.remove(key_of(key));
        }
        is_as_expected
    }

    /// Acquires a lease: see [`Store::lease`](crate::Store::lease).
    pub fn lease(&mut self, key: RecordKey, ttl: Duration, now: UnixTime) -> LeaseOutcome {
        let before = self.leases.get(&key_of(key));
        // A lease that ends later than any caller asks for is from before the clock was set back.
        if before.is_some_and(|held| now < held.until && held.until <= now + ttl + ttl) {
            return LeaseOutcome::Held;
        }
        let after_abandoned = before.is_some();
        self.fence += 1;
        self.leases.insert(key_of(key), Held { fence: self.fence, until: now + ttl });
        if self.leases.len() > self.lease_capacity {
            self.sweep_leases(now, |_| true);
            self.lease_capacity = (2 * self.leases.len()).max(MIN_LEASES);
        }
        LeaseOutcome::Acquired(Lease::new(self.fence, after_abandoned))
    }

    fn is_held(&self, key: RecordKey, lease: Lease) -> bool {
        self.leases.get(&key_of(key)).is_some_and(|held| held.fence == lease.fence)
    }

    /// Extends a lease: see [`Store::renew`](crate::Store::renew).
    pub fn renew(&mut self, key: RecordKey, lease: Lease, until: UnixTime) -> bool {
        let held = self.leases.get_mut(&key_of(key)).filter(|held| held.fence == lease.fence);
        held.map(|held| held.until = until).is_some()
    }

    /// Releases a lease: see [`Store::release`](crate::Store::release).
    pub fn release(&mut self, key: RecordKey, lease: Lease) {
        if self.is_held(key, lease) {
            self.leases.remove(&key_of(key));
        }
    }

    /// An abandoned lease is remembered for as long as there is a row that its holder may have left half done.
    fn sweep_leases(&mut self, now: UnixTime, is_swept: impl Fn(u8) -> bool) {
        let Self { leases, rows, .. } = self;
        leases.retain(|key, held| !is_swept(key.0) || now < held.until || rows.contains_key(key));
    }

    /// Removes the rows that have expired: see [`Store::sweep`](crate::Store::sweep).
    pub fn sweep(&mut self, collection: Collection, now: UnixTime) -> u64 {
        let number = collection.number();
        let expired: Vec<_> = self.expired_keys(number, now).collect();
        expired.iter().for_each(|key| self.remove(*key));
        self.sweep_leases(now, |swept| swept == number);
        expired.len() as u64
    }

    fn expired_keys(&self, collection: u8, now: UnixTime) -> impl Iterator<Item = Key> {
        let first = (collection, UnixTime::from_nanos(0), [0; 32]);
        let ends = self.ends.range(first..).take_while(move |(of, ..)| *of == collection);
        ends.take_while(move |(_, end, _)| *end <= now).map(|(of, _, key)| (*of, *key))
    }

    /// Returns the rows of `collection` that have expired, at most `limit`, the oldest first.
    #[must_use]
    pub fn expired(&self, collection: Collection, now: UnixTime, limit: usize) -> Vec<(RecordKey, StoredRow)> {
        self.stored(collection, self.expired_keys(collection.number(), now).take(limit))
    }

    /// Returns the rows of `collection` that have not expired, at most `limit`, the first to expire first.
    #[must_use]
    pub fn next_to_expire(&self, collection: Collection, now: UnixTime, limit: usize) -> Vec<(RecordKey, StoredRow)> {
        let number = collection.number();
        let ends = self.ends.range((Bound::Excluded((number, now, [u8::MAX; 32])), Bound::Unbounded));
        let keys = ends.take_while(move |(of, ..)| *of == number).map(|(of, _, key)| (*of, *key));
        self.stored(collection, keys.take(limit))
    }

    fn stored(&self, collection: Collection, keys: impl Iterator<Item = Key>) -> Vec<(RecordKey, StoredRow)> {
        keys.filter_map(|key| Some((RecordKey::new(collection, key.1), self.rows.get(&key)?.clone()))).collect()
    }

    /// Counts the rows of `collection`, also those that have expired.
    #[must_use]
    pub fn count(&self, collection: Collection) -> u64 {
        let number = collection.number();
        self.rows.range((number, [0; 32])..=(number, [u8::MAX; 32])).count() as u64
    }

    /// Returns the rows of `collection` after `after` that have not expired, in the order of their keys, at most `limit`.
    #[must_use]
    pub fn page(
        &self,
        collection: Collection,
        after: Option<RecordKey>,
        now: UnixTime,
        limit: usize,
    ) -> Vec<(RecordKey, StoredRow)> {
        let number = collection.number();
        let first = after.map_or(Bound::Included((number, [0; 32])), |after| Bound::Excluded(key_of(after)));
        let rows = self.rows.range((first, Bound::Unbounded)).take_while(|(key, _)| key.0 == number);
        let unexpired = rows.filter(|(_, stored)| now < stored.row.expires_at).take(limit);
        unexpired.map(|(key, stored)| (RecordKey::new(collection, key.1), stored.clone())).collect()
    }

    /// Appends an event, and drops the oldest if there are more than `most`.
    pub fn append_event(&mut self, event: Bytes, most: usize) -> Position {
        if self.events.len() >= most {
            self.events.pop_front();
        }
        self.events.push_back(event);
        self.last_event += 1;
        Position::new(self.last_event)
    }

    /// Returns events: see [`Store::events_after`](crate::Store::events_after).
    #[must_use]
    pub fn events_after(&self, after: Position, limit: usize) -> Events {
        let first = self.last_event - self.events.len() as u64;
        let has_gap = !(first..=self.last_event).contains(&after.number());
        let start = if has_gap { first } else { after.number() };
        let skipped = usize::try_from(start - first).unwrap_or(usize::MAX);
        let events: Vec<_> = self.events.iter().skip(skipped).take(limit).cloned().collect();
        let position = Position::new(start + events.len() as u64);
        Events::new(events, position, has_gap)
    }

    /// Returns the position of the last event.
    #[must_use]
    pub const fn last_position(&self) -> Position {
        Position::new(self.last_event)
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, leases, events, .. } = self;
        let lens = [("rows", rows.len()), ("leases", leases.len()), ("events", events.len())];
        f.debug_map().entries(lens).finish()
    }
}

/// A table as it is serialized.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Image {
    version: u64,
    fence: u64,
    last_event: u64,
    rows: Vec<RowImage>,
    leases: Vec<LeaseImage>,
    events: Vec<Encoded>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RowImage {
    collection: u8,
    key: Encoded,
    version: u64,
    /// In nanoseconds.
    expires_at: u64,
    sealed: Encoded,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LeaseImage {
    collection: u8,
    key: Encoded,
    fence: u64,
    /// In nanoseconds.
    until: u64,
}

/// Bytes, serialized in base64.
struct Encoded(Vec<u8>);

impl Encoded {
    fn key(self) -> Result<[u8; 32], &'static str> {
        self.0.try_into().map_err(|_| "a key does not have 32 bytes")
    }
}

impl Serialize for Encoded {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Encoded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        URL_SAFE_NO_PAD.decode(&*text).map(Self).map_err(|_| D::Error::custom("not base64"))
    }
}

impl Serialize for Table {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rows = self.rows.iter().map(|((collection, key), stored)| RowImage {
            collection: *collection,
            key: Encoded(key.to_vec()),
            version: stored.version.number(),
            expires_at: stored.row.expires_at.as_nanos(),
            sealed: Encoded(stored.row.sealed.to_vec()),
        });
        let leases = self.leases.iter().map(|((collection, key), held)| LeaseImage {
            collection: *collection,
            key: Encoded(key.to_vec()),
            fence: held.fence,
            until: held.until.as_nanos(),
        });
        let image = Image {
            version: self.version,
            fence: self.fence,
            last_event: self.last_event,
            rows: rows.collect(),
            leases: leases.collect(),
            events: self.events.iter().map(|event| Encoded(event.to_vec())).collect(),
        };
        image.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Table {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(Image::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl TryFrom<Image> for Table {
    type Error = &'static str;

    fn try_from(image: Image) -> Result<Self, &'static str> {
        let Image { version, fence, last_event, rows, leases, events } = image;
        let mut table = Self { version, fence, last_event, ..Self::default() };
        for RowImage { collection, key, version, expires_at, sealed } in rows {
            if version > table.version {
                return Err("a version is higher than the highest");
            }
            let row = Row::new(sealed.0.into(), UnixTime::from_nanos(expires_at));
            table.insert((collection, key.key()?), StoredRow::new(Version::new(version), row));
        }
        for LeaseImage { collection, key, fence, until } in leases {
            if fence > table.fence {
                return Err("a fence is higher than the highest");
            }
            table.leases.insert((collection, key.key()?), Held { fence, until: UnixTime::from_nanos(until) });
        }
        table.events = events.into_iter().map(|event| event.0.into()).collect();
        if table.events.len() as u64 > last_event {
            return Err("there are more events than positions");
        }
        Ok(table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLLECTION: Collection = Collection::new(200, "test");

    fn key(number: u64) -> RecordKey {
        RecordKey::of(COLLECTION, &[&number.to_be_bytes()])
    }

    #[test]
    fn abandoned_leases_do_not_accumulate() {
        let mut table = Table::new();
        for number in 0..10_000_u64 {
            table.lease(key(number), Duration::from_millis(1), UnixTime::from_secs(number));
        }
        assert!(table.leases.len() <= MIN_LEASES);
    }

    #[test]
    fn a_table_that_is_deserialized_is_the_same() {
        let (now, minute) = (UnixTime::from_secs(1_000), Duration::from_mins(1));
        let mut table = Table::new();
        for (number, end) in [(0, UnixTime::MAX), (1, now), (2, now + minute)] {
            let row = Row::new(vec![0xff, number].into(), end);
            table.compare_and_swap(key(number.into()), Expected::Absent, row, None, now);
        }
        assert!(table.compare_and_remove(key(2), Version::new(3)));
        table.lease(key(0), minute, now);
        table.lease(key(1), minute, now);
        for number in 0..5 {
            table.append_event(vec![number].into(), 3);
        }
        let text = serde_json::to_string(&table).expect("plain data");
        let mut again: Table = serde_json::from_str(&text).expect("the same");
        assert_eq!(serde_json::to_string(&again).expect("plain data"), text);
        assert_eq!(again.expired(COLLECTION, now, 9).len(), 1);
        assert_eq!(again.lease(key(1), minute, now), LeaseOutcome::Held);
        assert_eq!(again.lease(key(2), minute, now), LeaseOutcome::Acquired(Lease::new(3, false)), "fences go on");
        let events = again.events_after(Position::new(3), 9);
        assert_eq!((events.events.len(), events.position, events.has_gap), (2, Position::new(5), false));
        let swap = again.compare_and_swap(key(7), Expected::Absent, Row::new(Bytes::new(), now), None, now);
        assert_eq!(swap, Swap::Written(Version::new(4)), "versions go on");
    }

    #[test]
    fn a_table_that_contradicts_itself_is_rejected() {
        let key = URL_SAFE_NO_PAD.encode([7; 32]);
        let of = |version, key: &str| {
            format!(
                r#"{{"version":3,"fence":0,"last_event":0,"rows":[{{"collection":1,"key":"{key}","version":{version},"expires_at":1,"sealed":""}}],"leases":[],"events":[]}}"#
            )
        };
        assert!(serde_json::from_str::<Table>(&of(3, &key)).is_ok());
        assert!(serde_json::from_str::<Table>(&of(4, &key)).is_err(), "the version would come back");
        assert!(serde_json::from_str::<Table>(&of(3, "AA")).is_err());
        let events = r#"{"version":0,"fence":0,"last_event":0,"rows":[],"leases":[],"events":["AA"]}"#;
        assert!(serde_json::from_str::<Table>(events).is_err(), "it has no position");
    }
}
