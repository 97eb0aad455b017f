//! The messages of OAuth, as pure functions: a request is built, a response is judged, nothing is sent.
//!
//! No I/O, no runtime, no clock: the present time is an argument. A check leaves evidence in the types: a token becomes
//! [`Verified`] [`Claims`] only by [`JwtPolicy`](jwt::JwtPolicy) or by an introspection policy.

mod claims;
pub mod jwt;
pub mod protected_resource;
pub mod strict_json;
mod verified;

pub use claims::{Claims, InvalidClaim};
pub use verified::Verified;
