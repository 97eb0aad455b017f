//! [`Place`]: what sealed bytes belong to.

use portcullis_core::GrantId;

use crate::records::RecordKey;

/// What sealed bytes belong to. Elsewhere they do not open.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    /// The row of a grant.
    Grant(GrantId),
    /// The row of a record.
    Record(RecordKey),
    /// A text that is in no row, for a purpose.
    Text(&'static str),
}

impl Place {
    /// Its name, which no other place has: that of a grant has 16 bytes, the others have more and begin differently.
    pub(super) fn name(&self) -> Vec<u8> {
        match self {
            Self::Grant(id) => id.as_bytes().to_vec(),
            Self::Record(key) => {
                [b"a record of the table ", key.table().as_str().as_bytes(), b"\0", key.as_bytes()].concat()
            }
            Self::Text(purpose) => [b"a text that is in no row\0", purpose.as_bytes()].concat(),
        }
    }
}
