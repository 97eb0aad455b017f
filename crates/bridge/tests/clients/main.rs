//! Clients: registration, metadata documents, redirect URIs and authentication.

mod assertions;
mod authentication;
mod configured;
mod document_cache;
mod document_fetch;
mod document_host;
mod documents;
mod fixture;
mod recorded;
mod redirect_uri;
mod registration;
mod registration_lifetime;
mod shares;
