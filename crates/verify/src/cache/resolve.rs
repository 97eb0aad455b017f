//! The miss path: asking the verifier, and keeping what it says.

use std::sync::Arc;

use portcullis_core::{AuthError, AuthErrorKind, BearerToken, Fingerprint, Reason, VerifyToken};
use tokio::time::Instant;
use tower::ServiceExt as _;

use super::{entry::Entry, flights::Outcome, store::Store};

/// How often a resolution is repeated because its result was withdrawn while it was under way.
const ATTEMPTS: usize = 3;

/// Why a token is resolved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cause {
    /// Nobody remembers it.
    Miss,
    /// It will not be remembered for much longer, and meanwhile everybody goes on with what is there.
    Revalidation,
}

/// Resolves a token and keeps what comes of it.
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
    // Another flight may have landed between the look that missed and this one.
    if cause == Cause::Miss
        && let Some(context) = store.index.live(&fingerprint, store.now())
    {
        return Ok(context);
    }
    let signed = token.signed_fingerprint();
    let outcome = ask(&store, &verifier, fingerprint, signed, &token).await;
    let now = store.now();
    match outcome {
        Ok(context) => {
            if let Some(entry) = Entry::new(Arc::clone(&context), now, &store.config) {
                store.keep(fingerprint, entry).await;
            }
            Ok(context)
        }
        Err(error) if error.is_transient() => {
            if cause == Cause::Revalidation {
                tracing::warn!(reason = error.reason().as_str(), "revalidation failed");
            }
            // It harms nobody while the present context is good; the next attempt comes after a pause.
            if let Some(context) = store.index.live(&fingerprint, now) {
                return Ok(context);
            }
            let Some(Some(entry)) = store.index.look(&fingerprint, |entry| entry.extended(now)) else {
                return Err(error);
            };
            store.telemetry.stale_if_error.increment(1);
            let context = Arc::clone(&entry.context);
            store.keep(fingerprint, entry).await;
            Ok(context)
        }
        Err(error) => {
            refuse(&store, fingerprint, signed, &error).await;
            Err(error)
        }
    }
}

/// The token is no good any more: so are all contexts made from it, those in open response streams included.
async fn refuse(store: &Store, fingerprint: Fingerprint, signed: Fingerprint, error: &AuthError) {
    if error.kind() == AuthErrorKind::InvalidToken {
        store.registry.refuse(&fingerprint);
        store.forget(&fingerprint).await;
        store.rejections.remember(fingerprint, signed, error);
    }
}

/// One resolution, counted and timed; again if its result was withdrawn meanwhile.
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
