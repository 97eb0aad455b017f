//! Sessions: the state of one login of one user through one client, from the authorization code to the last token.
//!
//! A session is one row, and every decision about it is one compare-and-swap: which of concurrent requests redeems a code or rotates a
//! refresh token, and whether a token is valid. Its id is the id of the grant at the provider.

mod administration;
mod end;
mod invalidation;
mod model;
mod secret;
mod store;
mod tokens;
mod upstream_revocation;

pub use administration::{SessionAdministration, SessionSummary};
pub(crate) use end::SessionsKey;
pub(crate) use model::{CodeBinding, EndReason, Session, SessionUser, Stage, user_claims};
pub(crate) use secret::{ParsedToken, Secret, SecretHash, TokenFamily, base64_bytes};
pub(crate) use store::{ActiveToken, Decision, Sessions, TokenStatus};
pub(crate) use tokens::{
    AccessEntry, ActiveTokens, FirstTokens, GraceUse, Lifetimes, NewTokens, PreviousToken, RedeemedCode, ReuseSign,
    SecretSalt, SuspectedReuse, TokenPair,
};
