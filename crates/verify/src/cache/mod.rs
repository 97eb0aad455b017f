//! The context cache: every token is resolved once and remembered, and nobody waits for what another already asked.
//!
//! # Contract
//!
//! - **What is shared.** One [`Cache`] and its clones share everything, in one process. Two layers never share, even if made
//!   by one [`CacheLayer`]: a context is good for one verifier only.
//! - **Key.** The [fingerprint](portcullis_core::Fingerprint) of the whole token, so that no token is a hit before its own signature
//!   has been verified. The token itself is not kept.
//! - **Lifetime.** The shortest of the configured time to live (less up to a tenth, by chance, so that contexts made together
//!   do not expire together), the token's own expiry, and [whatever else](portcullis_core::UserContext::with_revalidate_at) the context rests
//!   on. From four fifths of the time to live on, the first request to come starts one revalidation in the background and
//!   everybody goes on with what is there.
//! - **Stampede.** All who miss on one token wait for one resolution, and all get its outcome, errors included. Resolutions
//!   of different tokens never wait for each other.
//! - **A caller that goes away** cancels nothing: the resolution runs on a task of its own and its outcome is kept.
//!   A verifier that panics refuses those who wait with 503 and leaves nothing locked.
//! - **Refusals** of the token are remembered briefly, in a cache of their own, so that junk cannot evict users.
//!   A token that is refused withdraws every context that was made from it, those in open response streams included.
//!   Outages are never remembered; with `stale_if_error` the last good context is used meanwhile, never past the token's expiry.
//! - **Invalidation** ([`CacheHandle`]) by token (in [each of its encodings](portcullis_core::BearerToken::signed_fingerprint)), by
//!   user, by issuer or of everything takes effect at once: for hits, for resolutions under way (what they bring is asked again) and
//!   for response streams already open.

mod config;
mod entry;
mod flights;
mod future;
mod handle;
mod index;
mod layer;
mod registry;
mod rejections;
mod resolve;
mod service;
mod store;
mod telemetry;

#[cfg(test)]
mod tests;

pub use config::CacheConfig;
pub use future::CacheFuture;
pub use handle::CacheHandle;
pub use layer::CacheLayer;
pub use service::Cache;
