//! Clients: their descriptions, redirect URIs and authentication.
//!
//! A client is configured by the operator, has a metadata document (Client ID Metadata Documents), or has registered
//! ([RFC 7591](https://www.rfc-editor.org/rfc/rfc7591)).

mod all_clients;
mod authentication;
mod client;
mod document;
mod document_entry;
mod documents;
mod metadata;
mod redirect_uri;
mod registration;
mod registrations;
mod shares;

pub(crate) use all_clients::Clients;
pub(crate) use authentication::BasicCredentials;
pub use client::{Client, GrantType, InvalidClient};
pub(crate) use client::{ClientAuthenticationMethod, ClientKeys, ClientSource};
pub use document::ClientMetadataDocumentPolicy;
pub(crate) use metadata::for_log;
pub use redirect_uri::{InvalidRedirectUri, RedirectUri};
pub(crate) use registration::RegisteredClient;
pub use registration::RegistrationPolicy;
