//! The grants of users: codes, refresh tokens and the families to which they belong.

mod handle;
mod ledger;
mod policy;
mod redeem;

pub use handle::IssuedGrant;
pub(super) use ledger::{Ledger, LedgerSnapshot, Refusal};
pub use policy::TokenPolicy;
pub(crate) use redeem::random;
pub(super) use redeem::{CodeRedemption, Consent, GrantedTokens};
