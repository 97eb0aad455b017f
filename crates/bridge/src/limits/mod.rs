//! RateLimits: how often whom.
//!
//! Hosted clients come for thousands of users from a few addresses, so no address is limited for what it does right: what is counted
//! by client and address is failures, and what is counted by address alone is what costs and leads nowhere, with much room.

mod by_address;
mod caller;
mod first_fetches;
mod limited;
mod rates;

pub(crate) use caller::Caller;
pub(crate) use limited::RateLimitKind;
pub(crate) use rates::RateLimits;
