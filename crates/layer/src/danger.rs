//! Options that weaken the protection. Every use can be found by searching for `danger`.

use crate::AuthConfig;

/// Allows every valid token to use every `Mcp-Session-Id`.
///
/// **Danger.** A session is then protected only by its id, unless the MCP server itself compares principals. Several processes that share
/// sessions do not need it: give their [`SessionBinding`](crate::SessionBinding) the same keys.
#[must_use]
pub fn without_session_binding<V>(mut config: AuthConfig<V>) -> AuthConfig<V> {
    config.session_binding = None;
    config
}
