//! The login: from a client's request over consent and provider to a code.

mod callbacks;
mod consents;
mod flow;
mod outages;
mod providers;
mod requests;
mod restarts;
#[path = "../tokens/shelf.rs"]
mod shelf;
mod vendors;
mod world;
