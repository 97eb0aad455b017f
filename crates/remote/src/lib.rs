//! Asks another authorization server: discovery, remote key sets, the client of one endpoint, profiles; and shares one request among its callers.
//!
//! This crate is an implementation detail of [`portcullis`](https://docs.rs/portcullis): depend on `portcullis`.
//!
//! Choosing a key is pure ([`KeySet`](portcullis_oauth::jwt::KeySet)); [`RemoteKeySet`] contains a key set and knows when to fetch it
//! again. Access tokens, ID tokens and assertions are all verified by it; what each of them must claim is for its policy
//! ([`portcullis_oauth::jwt`]).

mod discovery;
mod endpoint_client;
mod key_set_schedule;
mod remote_key_set;
mod single_flight;
mod user_info_endpoint;

pub use discovery::{discover, discover_for_client, max_age};
pub use endpoint_client::{CallError, Credential, Endpoint, EndpointClient, EndpointKind};
pub use remote_key_set::{RemoteKeySet, Verification};
pub use single_flight::{SharedTask, SingleFlight};
pub use user_info_endpoint::UserInfoEndpoint;
