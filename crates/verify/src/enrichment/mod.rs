//! Enrichment: the user's profile, added to what another verifier found out.

mod layer;
mod service;

pub use layer::UserInfoLayer;
pub use service::UserInfoEnrichment;
