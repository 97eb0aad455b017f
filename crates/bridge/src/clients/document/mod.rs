//! Client ID Metadata Documents: the client id is an `https` URL, and the document at that URL describes the client.
//!
//! draft-ietf-oauth-client-id-metadata-document; MCP, Client ID Metadata Documents.

mod client_url;
mod documents;
mod entry;
mod message;
mod policy;

use client_url::ClientUrl;
pub(super) use documents::Documents;
use documents::FetchError;
use entry::{DocumentEntry, FetchedDocument, Lookup, SharedFetch};
pub use policy::ClientMetadataDocumentPolicy;
