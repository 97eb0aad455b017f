//! The section `connections`: how many there may be, and how long each may take for what.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{ConfigError, document::Document, validate::positive};
use crate::connections::Limits;

/// How many connections one address may have, if the operator does not say, and never more than half of all.
const USUAL_SHARE: usize = 1_000;

/// The section as it is written.
#[derive(Deserialize, JsonSchema, Debug)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Connections {
    /// How many connections clients may have at once; more wait until one ends.
    pub(crate) max: usize,
    /// How many of them from one address; more are closed. Default: 1000 or half of `max`, and no limit with `client_address_header`.
    pub(crate) max_per_address: Option<usize>,
    /// How long a new connection may take to the head of its first request.
    pub(crate) head_timeout: String,
    /// How long a connection may be without a request.
    pub(crate) idle_timeout: String,
    /// How long the body of a request may take to arrive.
    pub(crate) body_timeout: String,
    /// How long a client may read nothing of what it is sent.
    pub(crate) write_timeout: String,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            max: 10_000,
            max_per_address: None,
            head_timeout: "30s".to_owned(),
            idle_timeout: "2m".to_owned(),
            body_timeout: "1m".to_owned(),
            write_timeout: "1m".to_owned(),
        }
    }
}

/// Validates the section. All connections of a server behind a proxy (`client_address_header`) come from the proxy.
pub(super) fn validate(document: &Document, table: &Connections, is_behind_proxy: bool) -> Result<Limits, ConfigError> {
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
        None => limits.with_max_per_address(Some(table.max.div_ceil(2).min(USUAL_SHARE))),
    })
}
