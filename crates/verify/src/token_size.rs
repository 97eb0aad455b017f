//! How long a token may be before anybody looks at it.

/// Twice the room that most servers give all headers of a request, in bytes.
pub(crate) const DEFAULT_MAX_LEN: usize = 16 * 1024;
