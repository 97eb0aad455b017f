//! [`plaintext`]: what is sealed, wiped afterwards.

use std::io;

use serde::Serialize;
use zeroize::Zeroizing;

/// Counts what is written.
struct Len(usize);

impl io::Write for Len {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `value` as JSON. It fails if it is none, as a map whose keys are no text.
pub(crate) fn plaintext<T: Serialize>(value: &T) -> serde_json::Result<Zeroizing<Vec<u8>>> {
    // Room enough from the start: what a growing vector leaves behind is not wiped.
    let mut len = Len(0);
    serde_json::to_writer(&mut len, value)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(len.0));
    serde_json::to_writer(&mut *bytes, value)?;
    Ok(bytes)
}
