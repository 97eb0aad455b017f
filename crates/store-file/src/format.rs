//! The format of the file: a header of one line with a checksum, and the table as JSON.

use std::{fmt::Write as _, path::Path};

use portcullis_store::Table;
use sha2::{Digest as _, Sha256};

use crate::FileStoreError;

/// The beginning of every file of this store.
const MAGIC: &str = "portcullis file store";
/// The last format that this program supports.
const FORMAT: u32 = 1;

/// The content of a file.
pub(crate) struct Content {
    /// A random number that the file was created with, in hexadecimal: it tells files apart.
    pub(crate) id: String,
    /// How often the file was written: it tells an earlier state of a file from a later one.
    pub(crate) sequence: u64,
    pub(crate) table: Table,
}

impl Content {
    /// Creates the content of a new file.
    pub(crate) fn new() -> Self {
        Self { id: format!("{:032x}", rand::random::<u128>()), sequence: 0, table: Table::new() }
    }

    /// Returns the table as it is written: equal tables are written alike.
    pub(crate) fn body(&self) -> String {
        serde_json::to_string(&self.table).expect("a table has only numbers and texts")
    }

    /// Returns the bytes of the file.
    pub(crate) fn encode(&self, body: &str) -> Vec<u8> {
        let Self { id, sequence, .. } = self;
        let checksum = checksum(id, *sequence, body);
        format!("{MAGIC} {FORMAT} {id} {sequence} {checksum}\n{body}").into_bytes()
    }

    /// Reads the bytes of the file at `path`.
    pub(crate) fn decode(bytes: &[u8], path: &Path) -> Result<Self, FileStoreError> {
        let damaged = |problem: &str| FileStoreError::Damaged { path: path.to_owned(), problem: problem.to_owned() };
        if bytes.is_empty() {
            return Err(damaged("it is empty"));
        }
        if !bytes.starts_with(MAGIC.as_bytes()) {
            return Err(FileStoreError::Foreign { path: path.to_owned() });
        }
        let text = str::from_utf8(bytes).map_err(|_| damaged("it is not text"))?;
        let (header, body) = text.split_once('\n').ok_or_else(|| damaged("it ends in its first line"))?;
        let mut fields = header[MAGIC.len()..].split_ascii_whitespace();
        let format = fields
            .next()
            .and_then(|field| field.parse().ok())
            .filter(|format| *format > 0)
            .ok_or_else(|| damaged("its header"))?;
        if format > FORMAT {
            return Err(FileStoreError::Later { path: path.to_owned(), found: format, known: FORMAT });
        }
        let (Some(id), Some(sequence), Some(found), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(damaged("its header"));
        };
        let sequence = sequence.parse().map_err(|_| damaged("its header"))?;
        if found != checksum(id, sequence, body) {
            return Err(damaged("its checksum does not match"));
        }
        let table = serde_json::from_str(body).map_err(|error| damaged(&error.to_string()))?;
        Ok(Self { id: id.to_owned(), sequence, table })
    }
}

/// Returns the checksum of the content, in hexadecimal. It detects damage, not a change on purpose: rows are sealed for that.
fn checksum(id: &str, sequence: u64, body: &str) -> String {
    let hash = Sha256::digest(format!("{id} {sequence}\n{body}"));
    hash.iter().fold(String::with_capacity(64), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string grows");
        text
    })
}
