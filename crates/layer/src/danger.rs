//! Doors that weaken the gate: every use can be found by searching for `danger`.

use crate::SessionBinding;

/// Lets every valid token use every `Mcp-Session-Id`.
///
/// **Danger.** A session id is then all that keeps one user out of another's session, unless the MCP server itself compares
/// principals. For several processes that share sessions while requests of one session reach them at random; better: make the
/// balancer sticky.
#[must_use]
pub const fn unbound_sessions() -> SessionBinding {
    SessionBinding::unbound()
}
