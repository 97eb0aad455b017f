//! Vendors: each one file of paths, shapes and habits.

mod atlassian;
mod dialect;
mod github;
mod google;
mod keycloak;
mod salesforce;
mod standard;

pub(super) use dialect::{Dialect, Visit};
pub use dialect::{ErrorClass, Vendor};
pub(super) use github::github_token_check;
pub(super) use standard::Standard;

// What every vendor needs of the provider.
use super::{
    Endpoint, Fault, IdentityProvider, TokenPolicy,
    grants::{GrantedTokens, Refusal},
    messages::{body, challenged, empty, json, ok, refused_token},
    state::State,
    token_endpoint::{self, Parameters, basic, client},
};
