//! Grants: what users allowed at an upstream provider. Its tokens are kept sealed in a [store](TokenStore), refreshed once
//! however many requests, tasks or processes want them, and handed out alive.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod engine;
mod memory_store;
mod outage;
mod provider_client;
mod record;
pub mod records;
mod refresher;
mod sealing;
mod secret_file;
mod store;
mod telemetry;
mod token_refresh;
mod token_set;
mod upstream_verifier;
mod vault;
mod vault_check;

pub use memory_store::MemoryStore;
pub use provider_client::{Login, LoginError, LoginErrorKind, LoginStep, ProfileVerifier, ProviderClient};
pub use record::{GrantRecord, InvalidRecord};
pub use refresher::{RefreshFuture, RefreshRequest, Refresher, RefresherConfig};
pub use sealing::{InvalidKeyRing, KeyFileError, KeyRing, OpenError, RekeyReport, SealError, WrongKeys};
pub use secret_file::{SecretFileError, read_secret_file};
pub use store::{Lease, LeaseOutcome, SealedGrant, StoreError, StoreFuture, StoredRow, Swap, TokenStore, Version};
pub use token_refresh::{RefreshError, RefreshErrorKind, TokenRefresh};
pub use token_set::TokenSet;
pub use upstream_verifier::{UpstreamLayer, UpstreamVerifier};
pub use vault::{CreateError, EphemeralKeyError, GrantStore, StoredGrant};
