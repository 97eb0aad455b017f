//! Strict JSON, which all parsers interpret in the same way: no repeated members, nothing after the end, bounded depth.
//!
//! If two parsers disagree about `{"aud":"a","aud":"b"}`, a check can be bypassed
//! ([RFC 8725 section 2.4](https://www.rfc-editor.org/rfc/rfc8725#section-2.4),
//! [RFC 7519 section 4](https://www.rfc-editor.org/rfc/rfc7519#section-4)), so such a text is rejected.

mod names;
mod tree;
mod walk;

pub use tree::{InvalidJson, parse, parse_object};
pub use walk::{Piece, walk};
