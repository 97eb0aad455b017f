//! The miss path: asks the verifier and caches the outcome.

use std::sync::Arc;

use portcullis_core::{AuthError, AuthErrorKind, BearerToken, Fingerprint, Reason, VerifyToken};
use tokio::time::Instant;
use tower::ServiceExt as _;

use super::{
    entry::Entry,
    store::{Outcome, Store},
};

/// How often a resolution is repeated because its context was invalidated while it was running.
const ATTEMPTS: usize = 3;

/// Why a token is resolved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cause {
    /// There is no valid context.
    Miss,
    /// The context expires soon, and is used meanwhile.
    Revalidation,
}

/// Resolves a token and caches the outcome.
pub(super) async fn resolve<V>(
    store: Arc<Store>,
    verifier: V,
    fingerprint: Fingerprint,
    token: BearerToken,
    cause: Cause,
) -> Outcome
where
    V: VerifyToken + Clone,
{
    // Another resolution may have ended between the look-up that missed and this one.
    if cause == Cause::Miss
        && let Some(context) = store.index.valid(&fingerprint, store.now())
    {
        return Ok(context);
    }
    let signed = token.signed_fingerprint();
    let outcome = ask(&store, &verifier, fingerprint, signed, &token).await;
    let now = store.now();
    match outcome {
        Ok(context) => {
            if let Some(entry) = Entry::new(Arc::clone(&context), now, &store.config) {
                store.insert(fingerprint, entry).await;
            }
            Ok(context)
        }
        Err(error) if error.is_transient() => {
            if cause == Cause::Revalidation {
                tracing::warn!(reason = error.reason().as_str(), "revalidation failed");
            }
            // The present context is still valid; the next attempt is made after a pause.
            if let Some(context) = store.index.valid(&fingerprint, now) {
                return Ok(context);
            }
            let Some(Some(entry)) = store.index.get(&fingerprint, |entry| entry.stale_copy(now)) else {
                return Err(error);
            };
            store.telemetry.stale_if_error.increment(1);
            let context = Arc::clone(&entry.context);
            store.insert(fingerprint, entry).await;
            Ok(context)
        }
        Err(error) => {
            refuse(&store, fingerprint, signed, &error).await;
            Err(error)
        }
    }
}

/// Invalidates all contexts that were made from a token that is refused now, those in open response streams included.
async fn refuse(store: &Store, fingerprint: Fingerprint, signed: Fingerprint, error: &AuthError) {
    if error.kind() == AuthErrorKind::InvalidToken {
        store.registry.refuse(&fingerprint);
        store.remove(&fingerprint).await;
        store.refusals.insert(fingerprint, signed, error);
    }
}

/// Resolves the token and records metrics; again if its context was invalidated meanwhile.
async fn ask<V>(
    store: &Store,
    verifier: &V,
    fingerprint: Fingerprint,
    signed: Fingerprint,
    token: &BearerToken,
) -> Outcome
where
    V: VerifyToken + Clone,
{
    for _ in 0..ATTEMPTS {
        let ticket = store.registry.begin();
        let begun = Instant::now();
        let outcome = verifier.clone().oneshot(token.clone()).await;
        store.telemetry.resolved(outcome.as_ref().err(), begun.elapsed());
        match outcome {
            Ok(context) if ticket.admit(fingerprint, signed, &context) => return Ok(context),
            Ok(_) => {}
            Err(error) => return Err(error),
        }
    }
    Err(AuthError::new(Reason::Revoked))
}
