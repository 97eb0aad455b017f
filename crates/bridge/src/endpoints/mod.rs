//! The endpoints, a file each.

mod introspect;
mod router;

pub use introspect::ResourceServer;
pub(crate) use router::router;
