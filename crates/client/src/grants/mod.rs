//! The grant types that need no browser.
//!
//! | | who the token is for | what is presented |
//! |---|---|---|
//! | [`ClientCredentials`] | the program | its own secret or key |
//! | [`RefreshTokenGrant`] | a user who logged in elsewhere | the refresh token of that login |
//! | [`JwtBearer`] | a workload | a JWT of the platform that runs it |
//! | [`TokenExchange`] | a user, on whose behalf the program acts | a token of the user, and perhaps one of the program |
//! | [`CrossAppAccess`] | a user of an enterprise | the user's ID token, at the enterprise's provider |
//! | [`FromFn`] | any | what a function does |

mod assertions;
mod cross_app_access;
mod own_credentials;
mod token_target;

pub use assertions::{JwtBearer, TokenExchange};
pub use cross_app_access::{CrossAppAccess, CrossAppAccessError, CrossAppAccessLeg};
pub use own_credentials::{ClientCredentials, RefreshTokenGrant};
pub use token_target::{FromFn, TokenTarget, from_fn};
