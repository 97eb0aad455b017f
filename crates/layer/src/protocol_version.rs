//! Which of the two wires a request is on.

use http::{HeaderMap, HeaderName};

const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// The first protocol version without sessions, and with headers that mirror the body. Versions are dates, so they compare
/// as text.
const MODERN: &[u8] = b"2026-07-28";

/// Whether a request says that it is on the wire of 2026-07-28 or later. If it says so once and something else besides, it
/// counts as said.
pub(crate) fn is_modern(headers: &HeaderMap) -> bool {
    headers.get_all(PROTOCOL_VERSION).iter().any(|version| version.as_bytes() >= MODERN)
}
