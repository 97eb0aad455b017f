//! Clients: who may ask for tokens, where codes may be sent, and how a client proves who it is.
//!
//! A client is configured by the operator, describes itself in a document at its own URL (Client ID Metadata Documents), or has
//! registered itself ([RFC 7591](https://www.rfc-editor.org/rfc/rfc7591)).

mod authentication;
mod client;
mod document;
mod metadata;
mod redirect_uri;
mod registration;
mod registry;
mod shares;

use client::ClientKeys;
pub use client::{Client, GrantType, InvalidClient};
pub(crate) use client::{ClientAuthenticationMethod, Origin};
pub use document::ClientMetadataDocumentPolicy;
pub use redirect_uri::{InvalidRedirectUri, RedirectUri};
pub use registration::RegistrationPolicy;
pub(crate) use registry::Clients;
