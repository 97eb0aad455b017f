//! [`Pages`]: what users see.

use portcullis_oauth::providers::Provider;

use crate::BridgeConfig;

/// What users see.
#[derive(Debug)]
pub(crate) struct Pages {}

impl Pages {
    pub(crate) const fn new(_: &BridgeConfig, _: &Provider) -> Self {
        Self {}
    }
}
