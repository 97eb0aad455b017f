//! A provider behind the server: real grants, kept fresh.

mod glewlwyd;
mod oidc_provider;
mod server;
