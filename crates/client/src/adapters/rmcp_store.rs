//! [`RmcpStore`]: the credentials of rmcp's `AuthorizationManager` in a sealed store.

use std::{borrow::Cow, sync::Arc, time::Duration};

use portcullis_core::{ResourceUri, UnixTime};
use portcullis_store::{Lease, LeaseOutcome, RecordKey, SealedStore, StoreError};
use rmcp::transport::auth::{AuthError, CredentialRefreshGuard, CredentialStore, StoredCredentials};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio::{sync::oneshot, time};

use crate::collections::RMCP_CREDENTIALS;

/// How long the lease of a process that has died keeps others from refreshing. A process that lives renews it.
const LEASE: Duration = Duration::from_secs(30);

/// How long a refresh waits for the lease of another one.
const LEASE_WAIT: Duration = Duration::from_secs(90);

/// Attempts to write a row that other writers change at the same time.
const WRITE_ATTEMPTS: usize = 8;

/// A credential store for rmcp's `AuthorizationManager`: the credentials of one resource and user, sealed, with a lease that keeps the
/// tasks and processes that share the store from presenting one refresh token twice.
///
/// It makes rmcp's refreshes take turns. It does not make them fewer: `AuthorizationManager` exchanges the refresh token in every turn,
/// and loses the new one if its caller is dropped. [`RmcpClient`](crate::adapters::RmcpClient) does neither.
#[derive(Clone, Debug)]
pub struct RmcpStore {
    store: Arc<SealedStore>,
    key: RecordKey,
}

impl RmcpStore {
    /// Creates the store of the credentials for `resource` and, if a client acts for several users, one of them.
    #[must_use]
    pub fn new(store: SealedStore, resource: &ResourceUri, user: Option<&str>) -> Self {
        let mut hash = Sha256::new_with_prefix("portcullis rmcp credentials 1");
        hash.update((resource.as_str().len() as u64).to_be_bytes());
        hash.update(resource.as_str());
        if let Some(user) = user {
            hash.update([1]);
            hash.update(user);
        }
        Self { store: Arc::new(store), key: RecordKey::new(RMCP_CREDENTIALS, hash.finalize().into()) }
    }

    async fn write(&self, credentials: &StoredCredentials) -> Result<(), StoreError> {
        for _ in 0..WRITE_ATTEMPTS {
            let written = match self.store.load::<StoredCredentials>(self.key).await? {
                Some(record) => self.store.replace(self.key, record.version, credentials, UnixTime::MAX).await?,
                None => self.store.create(self.key, credentials, UnixTime::MAX).await?,
            };
            if written.is_some() {
                return Ok(());
            }
        }
        Err(StoreError::new("the credentials change all the time"))
    }

    /// Removes the credentials if `is_meant`.
    async fn remove_if(&self, is_meant: impl Fn(&StoredCredentials) -> bool) -> Result<(), StoreError> {
        if let Some(record) = self.store.load::<StoredCredentials>(self.key).await?
            && is_meant(&record.value)
        {
            self.store.remove(self.key, record.version).await?;
        }
        Ok(())
    }

    async fn lease(&self) -> Result<Option<Lease>, StoreError> {
        let until = time::Instant::now() + LEASE_WAIT;
        loop {
            match self.store.lease(self.key, LEASE).await? {
                LeaseOutcome::Acquired(lease) => return Ok(Some(lease)),
                LeaseOutcome::Held if time::Instant::now() < until => time::sleep(Duration::from_millis(20)).await,
                LeaseOutcome::Held => return Ok(None),
            }
        }
    }
}

#[async_trait::async_trait]
impl CredentialStore for RmcpStore {
    async fn load(&self) -> Result<Option<StoredCredentials>, AuthError> {
        let record = self.store.load(self.key).await.map_err(|error| failure(&error))?;
        Ok(record.map(|record| record.value))
    }

    async fn save(&self, credentials: StoredCredentials) -> Result<(), AuthError> {
        self.write(&credentials).await.map_err(|error| failure(&error))
    }

    async fn clear(&self) -> Result<(), AuthError> {
        self.remove_if(|_| true).await.map_err(|error| failure(&error))
    }

    /// Removes the credentials, unless others have replaced them.
    async fn on_refresh_token_rejected(&self, credentials: &StoredCredentials) -> Result<(), AuthError> {
        let rejected = refresh_token(credentials);
        let is_rejected = |current: &StoredCredentials| rejected.is_some() && refresh_token(current) == rejected;
        self.remove_if(is_rejected).await.map_err(|error| failure(&error))
    }

    async fn acquire_refresh_guard(&self) -> Result<Option<CredentialRefreshGuard>, AuthError> {
        let lease = self.lease().await.map_err(|error| failure(&error))?;
        let lease = lease.ok_or_else(|| AuthError::CredentialStoreError("another refresh does not end".to_owned()))?;
        let (guard, dropped) = oneshot::channel::<()>();
        tokio::spawn(hold(self.store.clone(), self.key, lease, dropped));
        Ok(Some(CredentialRefreshGuard::new(guard)))
    }
}

/// Renews a lease until the guard is dropped, and releases it.
async fn hold(store: Arc<SealedStore>, key: RecordKey, lease: Lease, mut dropped: oneshot::Receiver<()>) {
    while time::timeout(LEASE / 3, &mut dropped).await.is_err() {
        if let Err(error) = store.renew(key, lease, LEASE).await {
            tracing::warn!(%error, "the lease of a refresh cannot be renewed");
        }
    }
    if let Err(error) = store.release(key, lease).await {
        tracing::warn!(%error, "the lease of a refresh cannot be released; it expires by itself");
    }
}

/// Returns the hash of the refresh token.
fn refresh_token(credentials: &StoredCredentials) -> Option<[u8; 32]> {
    #[derive(Deserialize)]
    struct Tokens<'a> {
        #[serde(borrow)]
        refresh_token: Option<Cow<'a, str>>,
    }
    let response = portcullis_store::plaintext(credentials.token_response.as_ref()?).ok()?;
    let tokens: Tokens<'_> = serde_json::from_slice(&response).ok()?;
    tokens.refresh_token.map(|token| Sha256::digest(token.as_bytes()).into())
}

fn failure(error: &StoreError) -> AuthError {
    AuthError::CredentialStoreError(error.to_string())
}
