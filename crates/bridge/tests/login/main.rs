//! The login: from a client's request over consent and provider to a code.

mod callbacks;
mod consents;
mod flow;
mod providers;
mod requests;
mod restarts;
mod world;
