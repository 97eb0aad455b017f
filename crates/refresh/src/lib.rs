//! The token refresh engine. The tokens of a grant are sealed in a [store](portcullis_store::Store) and refreshed once for any number of
//! concurrent requests, tasks and processes.
//!
//! | | |
//! |---|---|
//! | [`Refresher`] | a tower service from a grant to fresh tokens |
//! | [`TokenRefresh`] | the service that presents a refresh token; the user of this crate provides it |
//! | [`GrantStore`] | the sealed rows of the grants |
//! | [`TokenSet`] | the tokens of a grant |
//! | [`ClientGrant`] | a grant that this program uses itself: logins replace its tokens |
//!
//! The crate does **not** know how a user logs in, who the user is, or how a provider is called.

mod client_grant;
mod config;
mod engine;
mod grant_store;
mod refresher;
mod telemetry;
mod token_refresh;
mod token_set;

pub use client_grant::{ClientGrant, ClientLogin, GrantStatus};
pub use config::RefresherConfig;
pub use grant_store::{CreateError, GrantRecord, GrantStore, InvalidRecord, StoredGrant};
pub use refresher::{RefreshFuture, RefreshRequest, Refresher};
pub use token_refresh::{Acquisition, RefreshError, RefreshErrorKind, TokenRefresh};
pub use token_set::TokenSet;

pub(crate) use portcullis_store::{Lease, LeaseOutcome, StoreError, Swap, Version};
