//! The section `connections`: the number of client connections, and the time-outs of each.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    ConfigError,
    document::{Document, duration_text, positive},
};
use crate::connections::Limits;

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
        None => {
            limits.with_max_per_address(Limits::default().max_per_address.map(|max| max.min(table.max.div_ceil(2))))
        }
    })
}
