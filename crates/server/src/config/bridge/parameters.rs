//! The rules for `bridge.parameters`: what else the provider is told when a user is sent there.

use portcullis::{ScopeSet, bridge::BridgeConfig};

use super::table::ProviderName;
use crate::config::{ConfigError, document::element, section::Section};

/// What the bridge itself says. Two of a name would be refused, or worse, both be read.
const OWN: [&str; 11] = [
    "client_id",
    "code_challenge",
    "code_challenge_method",
    "nonce",
    "redirect_uri",
    "request",
    "request_uri",
    "response_mode",
    "response_type",
    "scope",
    "state",
];

/// Adds the parameters to `config`, each written as `name=value`.
pub(super) fn add_all(
    mut config: BridgeConfig,
    section: &Section<'_>,
    provider: ProviderName,
    scopes: &ScopeSet,
    written: &[String],
) -> Result<BridgeConfig, ConfigError> {
    let mut says_prompt = false;
    for (index, parameter) in written.iter().enumerate() {
        let error = |problem| section.error(&element("parameters", index), problem);
        let (name, value) =
            parameter.split_once('=').ok_or_else(|| error("must be a name, an equals sign and a value"))?;
        if OWN.contains(&name) {
            return Err(error("is a parameter that the bridge itself has"));
        }
        says_prompt |= name == "prompt";
        // Without a value: what would be sent without being asked for is not.
        if !value.is_empty() {
            config = config.with_upstream_parameter(name, value);
        }
    }
    // OpenID Connect Core section 11: without it a provider has to ignore `offline_access`, and some do.
    let wants_consent = provider == ProviderName::Oidc && scopes.contains("offline_access") && !says_prompt;
    Ok(if wants_consent { config.with_upstream_parameter("prompt", "consent") } else { config })
}
