//! The login: from the authorization request over consent and provider to the authorization code.

mod callbacks;
mod consents;
mod fixture;
mod flow;
mod outages;
mod pages;
mod providers;
mod refusals;
mod requests;
mod restarts;
#[path = "../tokens/unreliable_store.rs"]
mod unreliable_store;
mod vendors;
