//! Authorization servers that users log in at, by vendor: the requests to each in its own format, and the meaning of its responses.
//!
//! A [`Provider`] is data and pure functions, like everything in this crate: it sends nothing and reads no clock. The files named after
//! messages hold what all vendors have in common; each file named after a vendor holds what that vendor does differently, and
//! `ready_made` is the table of vendors for whom data suffices. To add a vendor, add a row to that table, or a file with a value of the type
//! [`Vendor`] and a constructor of [`Provider`].

mod atlassian;
mod authorization;
mod github;
mod google;
mod keycloak;
mod oidc;
mod profile;
mod provider;
mod ready_made;
mod salesforce;
pub(crate) mod token;
pub(crate) mod token_error;
mod token_status;
mod vendor;

pub use authorization::{
    AuthorizationRefusal, AuthorizationRequest, AuthorizationResponse, InvalidAuthorizationResponse,
};
pub use provider::Provider;
pub use ready_made::{InvalidPlace, Place, ReadyMade};
pub use vendor::{
    ClientCredentials, Endpoints, ErrorMeaning, ErrorRule, Pkce, ProfileRequest, ProfileSource, RevocationFormat,
    Rotation, SubjectMember, Text, TokenFormat, Vendor,
};

#[doc(no_inline)]
pub use crate::user_info::Profile;
