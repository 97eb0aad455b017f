//! ID tokens and assertions: what is accepted, and what is refused, each forgery for its own reason.

mod client_assertion;
mod header;
mod id_jag;
mod id_token;
mod signing;
