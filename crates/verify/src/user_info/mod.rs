//! Users identified by their profile at the provider: UserInfo of OpenID Connect, and the profiles of other providers.

mod endpoint;
mod enrichment;
mod verifier;

pub use endpoint::UserInfoEndpoint;
pub use enrichment::{UserInfoEnrichment, UserInfoLayer};
pub use verifier::UserInfoVerifier;
