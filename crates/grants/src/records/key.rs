//! [`RecordKey`]: by which a record is found.

use std::fmt;

use aws_lc_rs::digest;

use super::Collection;

/// By which a record is found: a table and 32 bytes, as a rule a hash of what is presented.
///
/// Whoever reads the store learns nothing that could be presented, and finds nobody by name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey {
    table: Collection,
    bytes: [u8; 32],
}

impl RecordKey {
    /// The key of these bytes. They stand in the store as they are.
    #[must_use]
    pub const fn new(table: Collection, bytes: [u8; 32]) -> Self {
        Self { table, bytes }
    }

    /// The key of `parts`: their SHA-256. Each part counts with its length, so that `["ab", "c"]` is not `["a", "bc"]`; and so
    /// does the table, so that what is known of one table says nothing of another.
    #[must_use]
    pub fn of(table: Collection, parts: &[&[u8]]) -> Self {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(b"portcullis record\0");
        hash.update(table.as_str().as_bytes());
        hash.update(b"\0");
        for part in parts {
            hash.update(&(part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut bytes = [0; 32];
        bytes.copy_from_slice(hash.finish().as_ref());
        Self { table, bytes }
    }

    /// The table.
    #[must_use]
    pub const fn table(&self) -> Collection {
        self.table
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }
}

/// Enough to tell records apart in a log, and too little to find one by.
impl fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.bytes;
        write!(f, "{}/{a:02x}{b:02x}{c:02x}{d:02x}", self.table.as_str())
    }
}
