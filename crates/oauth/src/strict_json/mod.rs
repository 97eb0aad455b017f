//! JSON that means the same to everybody: no repeated members, nothing after the end, bounded depth.
//!
//! Two parsers that disagree about `{"aud":"a","aud":"b"}` are a way around a check
//! ([RFC 8725 section 2.4](https://www.rfc-editor.org/rfc/rfc8725#section-2.4),
//! [RFC 7519 section 4](https://www.rfc-editor.org/rfc/rfc7519#section-4)), so such a text is no JSON at all here.

mod names;
mod tree;
mod walk;

pub use tree::{InvalidJson, parse, parse_object};
pub use walk::{Piece, walk};
