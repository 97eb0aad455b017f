//! The verifiers that ask a provider, and the choice between verifiers, against a provider made of fixed answers.

mod discovery;
mod enrichment;
mod introspection;
mod isolation;
mod issuers;
mod log;
mod stub;
mod user_info;
