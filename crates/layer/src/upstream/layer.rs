//! [`RequireUpstreamLayer`]: puts the wait for a fresh upstream token in front of a service.

use tower_layer::Layer;

use super::RequireUpstream;

/// Puts [`RequireUpstream`] in front of an MCP server whose tools call a provider, inside [`AuthLayer`](crate::AuthLayer).
///
/// An MCP server begins its answer before the tool has run, so a tool that cannot get a token can only say so within HTTP 200.
/// This layer sees to it *before* the server is called, so that the client gets the HTTP response that it understands:
///
/// 1. `POST` needs a user with a grant, and an [upstream token](portcullis_core::Upstream) that is not known to be dead. If the
///    grant has ended, the answer is 401 with a challenge; if nobody can tell, 503.
/// 2. Everything else passes: a `GET` opens a stream and a `DELETE` ends a session, neither calls the provider, and neither has to
///    wait for it. The stream ends with the grant all the same, as it ends with the token.
/// 3. If nobody has said who is calling, the answer is 500 and an error in the log.
/// 4. If there is no grant behind the user, the answer is 503 and an error in the log: the verifier is not what it should be.
///
/// A token at hand costs nothing; one that has expired is waited for. It does **not** keep the token: a tool asks
/// [for itself](portcullis_core::UserContext::upstream), and gets this one, or a newer one.
///
/// ```
/// use axum::Router;
/// use portcullis_core::VerifyToken;
/// use portcullis_layer::{AuthConfig, AuthLayer, RequireUpstreamLayer};
///
/// fn app<V>(mcp: Router, cfg: AuthConfig<V>) -> Router
/// where
///     V: VerifyToken<Future: Send> + Clone + Send + Sync + 'static,
/// {
///     mcp.layer(RequireUpstreamLayer::new()).layer(AuthLayer::new(cfg))
/// }
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct RequireUpstreamLayer;

impl RequireUpstreamLayer {
    /// Every `POST` needs an upstream token.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl<S> Layer<S> for RequireUpstreamLayer {
    type Service = RequireUpstream<S>;

    fn layer(&self, inner: S) -> RequireUpstream<S> {
        RequireUpstream::new(inner)
    }
}
