//! Grants: what users allowed at an upstream provider. The tokens of a grant are sealed in a [store](portcullis_store::Store), and
//! refreshed once for any number of concurrent requests, tasks and processes.

mod engine;
mod grant_store;
mod outage;
mod provider_client;
mod record;
mod refresher;
mod telemetry;
mod token_refresh;
mod token_set;
mod upstream_verifier;

pub use grant_store::{CreateError, GrantStore, StoredGrant};
pub use provider_client::{Login, LoginError, LoginErrorKind, LoginStep, ProfileVerifier, ProviderClient};
pub use record::{GrantRecord, InvalidRecord};
pub use refresher::{RefreshFuture, RefreshRequest, Refresher, RefresherConfig};
pub use token_refresh::{RefreshError, RefreshErrorKind, TokenRefresh};
pub use token_set::TokenSet;
pub use upstream_verifier::{UpstreamLayer, UpstreamVerifier};

pub use portcullis_store::{
    EphemeralKeyError, KeyRing, Lease, LeaseOutcome, MemoryStore, OpenError, RekeyReport, StoreError, Swap, Version,
    WrongKeys, read_secret_file,
};
