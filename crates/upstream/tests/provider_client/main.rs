//! [`ProviderClient`](portcullis_upstream::ProviderClient): what is sent, what is not, and what became of a refresh token.

mod codes;
mod isolation;
mod lifetimes;
mod outcomes;
mod profiles;
mod script;
