//! [`Collection`] and [`RecordKey`]: what rows are found by.

use std::fmt;

use aws_lc_rs::digest;

/// A named set of rows. Rows of different collections are unrelated, whatever their keys are.
///
/// The crate that uses a collection defines it, as a constant. Its number and its name are unique within a store and never change:
/// a store may save the number in place of the name, and what was sealed for a collection opens under its name only. Numbers below 64
/// are reserved for Portcullis.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Collection {
    number: u8,
    name: &'static str,
    binding: Binding,
}

/// What the sealed bytes of a row are bound to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum Binding {
    /// The name of the collection and the key.
    CollectionAndKey,
    /// The first 16 bytes of the key.
    Id,
}

impl Collection {
    /// Creates the collection with this number and name.
    #[must_use]
    pub const fn new(number: u8, name: &'static str) -> Self {
        Self { number, name, binding: Binding::CollectionAndKey }
    }

    /// Binds sealed bytes to the first 16 bytes of the key, an id, and not to the name of the collection.
    ///
    /// This is how grants have been sealed from the first version on, so that what is in databases still opens. Do not use it for a
    /// new collection.
    #[must_use]
    pub const fn with_id_binding(self) -> Self {
        Self { binding: Binding::Id, ..self }
    }

    /// Returns the name of the collection.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.name
    }

    /// Returns the number of the collection.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.number
    }
}

/// A collection and 32 bytes: what a row is found by. The bytes are usually a hash of what is presented.
///
/// A reader of the store learns nothing that could be presented, and finds no user by name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey {
    collection: Collection,
    bytes: [u8; 32],
}

impl RecordKey {
    /// Creates the key with these bytes. The store saves the bytes as they are.
    #[must_use]
    pub const fn new(collection: Collection, bytes: [u8; 32]) -> Self {
        Self { collection, bytes }
    }

    /// Creates the key of an id of 16 bytes, which is unguessable or a hash. The other bytes are zero.
    #[must_use]
    pub fn of_id(collection: Collection, id: &[u8; 16]) -> Self {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(id);
        Self { collection, bytes }
    }

    /// Creates the key of `parts`: their SHA-256. The hash covers the length of each part, so that `["ab", "c"]` and `["a", "bc"]`
    /// have different keys; and the name of the collection, so that a key in one collection reveals none in another.
    #[must_use]
    pub fn of(collection: Collection, parts: &[&[u8]]) -> Self {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(b"portcullis record\0");
        hash.update(collection.name.as_bytes());
        hash.update(b"\0");
        for part in parts {
            hash.update(&(part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut bytes = [0; 32];
        bytes.copy_from_slice(hash.finish().as_ref());
        Self { collection, bytes }
    }

    /// Returns the collection.
    #[must_use]
    pub const fn collection(&self) -> Collection {
        self.collection
    }

    /// Returns the bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// Returns the id that [`of_id`](Self::of_id) made the key of.
    #[must_use]
    pub fn id(&self) -> [u8; 16] {
        let mut id = [0; 16];
        id.copy_from_slice(&self.bytes[..16]);
        id
    }

    /// Returns the associated data that a row with this key is sealed with. No two rows have the same: an id has 16 bytes, and all
    /// others are longer.
    pub(crate) fn associated_data(&self) -> Vec<u8> {
        match self.collection.binding {
            Binding::Id => self.id().to_vec(),
            Binding::CollectionAndKey => {
                [b"a record of the table ", self.collection.name.as_bytes(), b"\0", &self.bytes].concat()
            }
        }
    }
}

/// Prints enough to tell rows apart in a log, and too little to find a row by.
impl fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.bytes;
        write!(f, "{}/{a:02x}{b:02x}{c:02x}{d:02x}", self.collection.name)
    }
}
