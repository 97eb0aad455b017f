//! The section `store`: the store of the bridge, and the keys that seal it.

use std::path::PathBuf;

use portcullis::store::KeyRing;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{ConfigError, document::Document};

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

pub(super) fn validate(document: &Document, table: &Store) -> Result<StoreSettings, ConfigError> {
    let (scheme, rest) = table.url.split_once(':').unwrap_or((&table.url, ""));
    match scheme {
        "memory" => Ok(StoreSettings::Memory),
        "sqlite" => {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            if path.is_empty() || path.contains(['?', '#']) {
                return Err(document.error("store.url", "must name a file, such as sqlite://portcullis.db"));
            }
            let keys = keys(document, &table.encryption_keys_file)?;
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

fn keys(document: &Document, file: &str) -> Result<KeyRing, ConfigError> {
    let key = "store.encryption_keys_file";
    if file.is_empty() {
        let problem = "is missing: a persistent store needs persistent keys; \
                       (umask 077; openssl rand -base64 32 > portcullis.keys) creates one";
        return Err(document.error(key, problem));
    }
    KeyRing::from_file(file).map_err(|error| document.error(key, format!("cannot be used: {error}")))
}
