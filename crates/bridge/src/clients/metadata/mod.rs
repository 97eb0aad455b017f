//! What a client says of itself, in a document or when it registers: the same members, read in the same way.
//!
//! [RFC 7591 section 2](https://www.rfc-editor.org/rfc/rfc7591#section-2).

mod invalid;
mod members;
mod web;

pub(super) use invalid::InvalidMetadata;
pub(super) use members::Members;
pub(super) use web::is_web;
