//! The context cache: a token is resolved once, its user context is cached, and callers that miss at the same time share one resolution.
//!
//! # Contract
//!
//! - **What is shared.** One [`Cache`] and its clones share everything, in one process. Two layers never share, even if made
//!   by one [`CacheLayer`]: a context is valid for one verifier only.
//! - **Key.** The [fingerprint](portcullis_core::Fingerprint) of the whole token, so that no token is a hit before its own signature
//!   has been verified. The token itself is not stored.
//! - **Lifetime.** The shortest of the configured time to live (less a random part of up to a tenth, so that contexts made together
//!   do not expire together), the token's own expiry, and the [revalidation time](portcullis_core::UserContext::with_revalidate_at) of the context.
//!   After four fifths of the time to live, the first request starts one revalidation in the background, and all requests are still
//!   answered from the cache (stale-while-revalidate).
//! - **Single flight.** All callers that miss on one token wait for one resolution and get its outcome, errors included. Resolutions
//!   of different tokens never wait for each other.
//! - **A caller that goes away** cancels nothing: the resolution runs on its own task and its outcome is cached.
//!   A verifier that panics fails the waiting callers with 503 and leaves nothing locked.
//! - **Refusals** of a token are cached briefly in a separate negative cache, so that invalid tokens cannot evict users.
//!   A refusal invalidates every context that was made from the token, those in open response streams included.
//!   Outages are never cached; with `stale_if_error` the last valid context is used meanwhile, never past the token's expiry.
//! - **Invalidation** ([`CacheHandle`]) by token (in [each of its encodings](portcullis_core::BearerToken::signed_fingerprint)), by
//!   user, by issuer or of everything takes effect at once: for hits, for running resolutions (their contexts are resolved again) and
//!   for response streams that are already open.

mod config;
mod entry;
mod negative_cache;
mod registry;
mod resolve;
mod service;
mod store;
mod telemetry;

#[cfg(test)]
mod tests;

pub use config::CacheConfig;
pub use service::{Cache, CacheFuture, CacheHandle, CacheLayer};
