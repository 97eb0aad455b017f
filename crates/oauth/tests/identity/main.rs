//! ID tokens and assertions: accepted ones, and forgeries with the reason of their rejection.

mod client_assertion;
mod header;
mod id_jag;
mod id_token;
mod introspection;
mod keys;
mod signing;
