//! Client ID Metadata Documents: a client is called by an `https` URL, at which it says what it is.
//!
//! draft-ietf-oauth-client-id-metadata-document; MCP, Client ID Metadata Documents.

mod policy;

pub use policy::DocumentPolicy;
