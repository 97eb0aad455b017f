//! The verifiers that call a provider, and the router between verifiers, against a provider with fixed responses.

mod discovery;
mod enrichment;
mod introspection;
mod isolation;
mod issuers;
mod stub;
mod user_info;
