//! Sessions: the state of one login of one user through one client, from the authorization code to the last token.
//!
//! A session is one row, and every decision about it is one compare-and-swap: which of concurrent requests redeems a code or rotates a
//! refresh token, and whether a token is valid. Its id is the id of the grant at the provider.

mod context_revocations;
pub(crate) mod encoding;
mod end;
mod feed;
mod grace;
mod limit;
mod model;
mod secret;
mod store;
mod tokens;
mod upstream_revocation;

pub(crate) use grace::{GraceUse, ReuseSign, SuspectedReuse};
pub(crate) use limit::SessionsKey;
pub(crate) use model::{CodeBinding, EndReason, Session, SessionUser, Stage};
pub(crate) use secret::{ParsedToken, Secret, SecretHash, TokenFamily};
pub(crate) use store::{ActiveToken, Decision, Sessions, TokenStatus};
pub(crate) use tokens::{
    AccessEntry, ActiveTokens, Lifetimes, NewTokens, PreviousToken, RedeemedCode, SecretSalt, TokenPair,
};
