//! Users by their profile at the provider: OpenID Connect UserInfo, and user endpoints like GitHub's.

mod endpoint;
mod verifier;

pub use endpoint::UserInfoEndpoint;
pub use verifier::UserInfoVerifier;
