//! Sessions: what one login gave to one client, from the authorization code to the last token.
//!
//! A session is a row, and whatever is decided about it is one compare-and-swap: which of two callers redeems a code, which of
//! twenty rotates a refresh token, whether a token still works. Its id is that of the grant at the provider.

pub(crate) mod base64_bytes;
mod contexts;
mod crowd;
mod ending;
mod grace;
mod handle;
mod live;
mod model;
mod redeem;
mod revocations;
mod rotate;
mod secret;
mod sessions;
mod sessions_key;
#[cfg(test)]
mod tests;

pub(crate) use ending::EndReason;
pub(crate) use grace::{ReuseSign, SuspectedReuse};
pub(crate) use handle::TokenFamily;
pub(crate) use live::{AccessEntry, Lifetimes, TokenPair};
pub(crate) use model::{CodeBinding, Session, SessionUser, Stage};
pub(crate) use redeem::{Redeemed, Redemption};
pub(crate) use rotate::{Rotation, RotationRequest};
pub(crate) use secret::{ParsedToken, Secret, SecretHash};
pub(crate) use sessions::{Decision, Good, Sessions, TokenStatus};
pub(crate) use sessions_key::SessionsKey;
