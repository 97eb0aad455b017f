//! [`CacheHandle`]: invalidates cached contexts.

use std::sync::Arc;

use portcullis_core::{BearerToken, Issuer};

use super::{registry::Target, store::Store};

/// Invalidates cached user contexts immediately: hits stop, running resolutions ask again, open response streams end.
///
/// It affects this process only. An invalidated token is resolved again when it is presented again: revoke it at its
/// authorization server first.
#[derive(Clone, Debug)]
pub struct CacheHandle {
    store: Arc<Store>,
}

impl CacheHandle {
    pub(super) const fn new(store: Arc<Store>) -> Self {
        Self { store }
    }

    /// Invalidates what is cached about one token, refusals included, in each encoding in which it was presented: the
    /// [signed part](BearerToken::signed_fingerprint) of a JWT identifies it, whatever its signature is.
    pub async fn invalidate_token(&self, token: &BearerToken) {
        let signed = token.signed_fingerprint();
        self.invalidate(&Target::Token(signed)).await;
        self.store.remove(&token.fingerprint()).await;
        self.store.refusals.remove_token(&signed);
    }

    /// Invalidates every context of one user, whatever the token and the client are.
    pub async fn invalidate_user(&self, issuer: &Issuer, subject: &str) {
        self.invalidate(&Target::User(issuer.clone(), subject.into())).await;
    }

    /// Invalidates every context of one issuer.
    pub async fn invalidate_issuer(&self, issuer: &Issuer) {
        self.invalidate(&Target::Issuer(issuer.clone())).await;
    }

    /// Invalidates everything, refusals included.
    pub async fn invalidate_all(&self) {
        self.store.refusals.clear();
        self.invalidate(&Target::Everything).await;
    }

    async fn invalidate(&self, target: &Target) {
        // After this line no hit is possible; the rest frees memory.
        let revoked = self.store.registry.revoke(target);
        self.store.telemetry.invalidated.increment(revoked.len() as u64);
        for fingerprint in revoked {
            self.store.remove(&fingerprint).await;
        }
    }

    /// Returns the number of cached contexts.
    pub async fn contexts(&self) -> u64 {
        self.store.len().await
    }
}
