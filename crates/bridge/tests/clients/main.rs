//! Clients: registration, metadata documents, redirect URIs and authentication.

mod assertions;
mod authentication;
mod configured;
mod document_cache;
mod document_fetch;
mod documents;
mod document_host;
mod redirect_uri;
mod registration;
mod registration_lifetime;
mod shares;
mod fixture;
