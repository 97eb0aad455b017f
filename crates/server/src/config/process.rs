//! The sections `cache`, `connections` and `store`: what the process holds in memory and in files.

use std::{path::PathBuf, time::Duration};

use portcullis::{CacheConfig, store::KeyRing};
use schemars::JsonSchema;
use serde::Deserialize;

use super::document::{ConfigError, Document, duration, duration_text, positive};
use crate::connections::Limits;

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
pub(super) fn validate_cache(document: &Document, table: &Cache) -> Result<CacheSettings, ConfigError> {
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

/// The section as written.
#[derive(Deserialize, JsonSchema, Debug)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Connections {
    /// The number of simultaneous client connections; further connections wait.
    pub(crate) max: usize,
    /// The number of them from one address; further connections are closed. Default: 1000 or half of `max`, and no limit with `client_address_header`.
    pub(crate) max_per_address: Option<usize>,
    /// The time from the start of a connection to the head of its first request.
    pub(crate) head_timeout: String,
    /// The time a connection may be without a request.
    pub(crate) idle_timeout: String,
    /// The time in which the body of a request must arrive.
    pub(crate) body_timeout: String,
    /// The time a client may leave the response unread.
    pub(crate) write_timeout: String,
}

impl Default for Connections {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            max: limits.max,
            max_per_address: None,
            head_timeout: duration_text(limits.head_timeout),
            idle_timeout: duration_text(limits.idle_timeout),
            body_timeout: duration_text(limits.body_timeout),
            write_timeout: duration_text(limits.write_timeout),
        }
    }
}

/// Validates the section. All connections of a server behind a proxy (`client_address_header`) come from the proxy.
pub(super) fn validate_connections(
    document: &Document,
    table: &Connections,
    is_behind_proxy: bool,
) -> Result<Limits, ConfigError> {
    let at_least_one = |key: &str, number: usize| match number {
        0 => Err(document.error(&format!("connections.{key}"), "must be at least 1")),
        number => Ok(number),
    };
    let timeout = |key: &str, text: &str| positive(document, &format!("connections.{key}"), text);
    let limits = Limits::default()
        .with_max(at_least_one("max", table.max)?)
        .with_head_timeout(timeout("head_timeout", &table.head_timeout)?)
        .with_idle_timeout(timeout("idle_timeout", &table.idle_timeout)?)
        .with_body_timeout(timeout("body_timeout", &table.body_timeout)?)
        .with_write_timeout(timeout("write_timeout", &table.write_timeout)?);
    Ok(match table.max_per_address {
        Some(max) => limits.with_max_per_address(Some(at_least_one("max_per_address", max)?)),
        None if is_behind_proxy => limits.with_max_per_address(None),
        None => {
            limits.with_max_per_address(Limits::default().max_per_address.map(|max| max.min(table.max.div_ceil(2))))
        }
    })
}

#[derive(Deserialize, JsonSchema, Debug)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Store {
    /// The store of clients, sessions and upstream tokens: "sqlite://" and a path, or "memory:" for tests.
    pub(crate) url: String,
    /// A file with the keys that seal the store, one per line: 32 bytes in base64 or hexadecimal. The first key seals, all keys open.
    pub(crate) encryption_keys_file: String,
}

impl Default for Store {
    fn default() -> Self {
        Self { url: "sqlite://portcullis.db".to_owned(), encryption_keys_file: String::new() }
    }
}

/// The store of the bridge.
#[derive(Clone, Debug)]
pub(crate) enum StoreSettings {
    /// In the memory of this process: after a restart, users log in again and clients register again.
    Memory,
    /// In a sealed file.
    Sqlite { path: PathBuf, keys: KeyRing, keys_file: PathBuf },
}

pub(super) fn validate_store(document: &Document, table: &Store) -> Result<StoreSettings, ConfigError> {
    let (scheme, rest) = table.url.split_once(':').unwrap_or((&table.url, ""));
    match scheme {
        "memory" => Ok(StoreSettings::Memory),
        "sqlite" => {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            if path.is_empty() || path.contains(['?', '#']) {
                return Err(document.error("store.url", "must name a file, such as sqlite://portcullis.db"));
            }
            let (key, file) = ("store.encryption_keys_file", &table.encryption_keys_file);
            if file.is_empty() {
                let problem = "is missing: a persistent store needs persistent keys; \
                               (umask 077; openssl rand -base64 32 > portcullis.keys) creates one";
                return Err(document.error(key, problem));
            }
            let keys = keys(document, key, file)?;
            let keys_file = PathBuf::from(&table.encryption_keys_file);
            Ok(StoreSettings::Sqlite { path: path.into(), keys, keys_file })
        }
        "postgres" | "postgresql" | "redis" | "rediss" => {
            // The error does not contain the URL, which may contain a password.
            Err(document.error(
                "store.url",
                format!("= \"{scheme}:..\" is not available in this version; use sqlite: or memory:"),
            ))
        }
        _ => Err(document.error("store.url", "must begin with sqlite: or memory:")),
    }
}

/// Reads the keys in `file`, the value of `key`.
pub(super) fn keys(document: &Document, key: &str, file: &str) -> Result<KeyRing, ConfigError> {
    KeyRing::from_file(file).map_err(|error| document.error(key, format!("cannot be used: {error}")))
}
