//! [`CacheHandle`]: withdrawing what is remembered.

use std::sync::Arc;

use portcullis_core::{BearerToken, Issuer};

use super::{registry::Target, store::Store};

/// Withdraws remembered contexts, at once: hits stop, resolutions under way ask again, open response streams end.
///
/// It reaches this process only. A token withdrawn here is asked about again when it is presented: withdraw it at its
/// authorization server first.
#[derive(Clone, Debug)]
pub struct CacheHandle {
    store: Arc<Store>,
}

impl CacheHandle {
    pub(super) const fn new(store: Arc<Store>) -> Self {
        Self { store }
    }

    /// Withdraws what is remembered of one token, refusals included, in each encoding in which it was presented: the
    /// [signed part](BearerToken::signed_fingerprint) of a JWT identifies it, whatever its signature looks like.
    pub async fn invalidate_token(&self, token: &BearerToken) {
        let signed = token.signed_fingerprint();
        self.invalidate(&Target::Token(signed)).await;
        self.store.forget(&token.fingerprint()).await;
        self.store.rejections.forget_token(&signed);
    }

    /// Withdraws every context of one user, by whatever token or client.
    pub async fn invalidate_user(&self, issuer: &Issuer, subject: &str) {
        self.invalidate(&Target::User(issuer.clone(), subject.into())).await;
    }

    /// Withdraws every context of one issuer.
    pub async fn invalidate_issuer(&self, issuer: &Issuer) {
        self.invalidate(&Target::Issuer(issuer.clone())).await;
    }

    /// Withdraws everything, refusals included.
    pub async fn invalidate_all(&self) {
        self.store.rejections.forget_all();
        self.invalidate(&Target::Everything).await;
    }

    async fn invalidate(&self, target: &Target) {
        // From here on no hit is possible; what follows only frees the memory.
        let revoked = self.store.registry.revoke(target);
        self.store.telemetry.invalidated.increment(revoked.len() as u64);
        for fingerprint in revoked {
            self.store.forget(&fingerprint).await;
        }
    }

    /// How many contexts are remembered at the moment.
    pub async fn contexts(&self) -> u64 {
        self.store.len().await
    }
}
