//! The resource's metadata (RFC 9728), served by the gate itself.

mod endpoint;

pub(crate) use endpoint::MetadataEndpoint;
