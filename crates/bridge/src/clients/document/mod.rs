//! Client ID Metadata Documents: a client is called by an `https` URL, at which it says what it is.
//!
//! draft-ietf-oauth-client-id-metadata-document; MCP, Client ID Metadata Documents.

mod client_url;
mod documents;
mod entry;
mod fetched;
mod kept;
mod message;
mod policy;
mod unfetched;

use client_url::ClientUrl;
pub(super) use documents::Documents;
use entry::{Entry, Flight, Look};
use fetched::Fetched;
use kept::Kept;
pub use policy::ClientMetadataDocumentPolicy;
use unfetched::Unfetched;
