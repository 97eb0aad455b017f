//! Options that weaken the protection. Every use can be found by searching for `danger`.

use crate::AuthConfig;

/// Allows every valid token to use every `Mcp-Session-Id`.
///
/// **Danger.** A session is then protected only by its id, unless the MCP server itself compares principals. This is for several
/// processes that share sessions when requests of one session reach them at random. Prefer a load balancer with sticky sessions.
#[must_use]
pub fn without_session_binding<V>(mut config: AuthConfig<V>) -> AuthConfig<V> {
    config.session_binding = None;
    config
}
