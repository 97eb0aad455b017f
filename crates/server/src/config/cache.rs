//! The section `cache`: how long a verified user is cached.

use std::time::Duration;

use portcullis::CacheConfig;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    ConfigError,
    document::{Document, duration, duration_text, positive},
};

#[derive(Deserialize, JsonSchema, Debug)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Cache {
    /// How long a verified user is cached; never beyond the expiry of the token.
    pub(crate) ttl: String,
    /// The number of cached users.
    pub(crate) capacity: u64,
    /// How long the rejection of a token is cached.
    pub(crate) rejected_ttl: String,
    /// How much longer a user is cached while the provider is unavailable.
    pub(crate) stale_if_error: String,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            ttl: duration_text(CacheConfig::DEFAULT_TTL),
            capacity: CacheConfig::DEFAULT_CAPACITY,
            rejected_ttl: duration_text(CacheConfig::DEFAULT_NEGATIVE_TTL),
            stale_if_error: duration_text(Duration::ZERO),
        }
    }
}

#[derive(Debug)]
pub(crate) struct CacheSettings {
    pub(crate) ttl: Duration,
    pub(crate) capacity: u64,
    pub(crate) rejected_ttl: Duration,
    pub(crate) stale_if_error: Duration,
}

/// Validates the section.
pub(super) fn validate(document: &Document, table: &Cache) -> Result<CacheSettings, ConfigError> {
    if table.capacity == 0 {
        return Err(document.error("cache.capacity", "must be at least 1"));
    }
    Ok(CacheSettings {
        ttl: positive(document, "cache.ttl", &table.ttl)?,
        capacity: table.capacity,
        rejected_ttl: duration(document, "cache.rejected_ttl", &table.rejected_ttl)?,
        stale_if_error: duration(document, "cache.stale_if_error", &table.stale_if_error)?,
    })
}
