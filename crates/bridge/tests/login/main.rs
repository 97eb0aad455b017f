//! The login: from a client's request over consent and provider to a code.

mod consents;
mod flow;
mod requests;
mod world;
