//! A provider behind the server: real grants, kept fresh.

mod django;
mod glewlwyd;
mod oidc_provider;
mod server;
