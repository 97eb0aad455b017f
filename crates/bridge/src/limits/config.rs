//! [`Limits`]: how often whom.

use crate::BridgeConfig;

/// How often whom.
#[derive(Debug)]
pub(crate) struct Limits {}

impl Limits {
    pub(crate) const fn new(_: &BridgeConfig) -> Self {
        Self {}
    }
}
