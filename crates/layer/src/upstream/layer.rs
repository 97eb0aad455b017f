//! [`RequireUpstreamLayer`]: applies [`RequireUpstream`] to a service.

use tower_layer::Layer;

use super::RequireUpstream;

/// A [`Layer`] that applies [`RequireUpstream`] to an MCP server whose tools call a provider, inside [`AuthLayer`](crate::AuthLayer).
///
/// An MCP server begins its response before the tool has run, so a tool without a token can report that only within HTTP 200.
/// This layer obtains a token *before* the server is called, so that the client receives an HTTP response that it can act on:
///
/// 1. `POST` needs a user with a grant, and an [upstream token](portcullis_core::Upstream) that is not known to be invalid. If the
///    grant has ended, the response is 401 with a challenge; if the provider is unavailable, 503.
/// 2. All other methods pass: a `GET` opens a stream and a `DELETE` ends a session; neither calls the provider. The stream nevertheless
///    ends with the grant, as it ends with the token.
/// 3. If the request has no user context, the response is 500 and an error is logged.
/// 4. If the user has no grant, the response is 503 and an error is logged, because the verifier is misconfigured.
///
/// A valid token causes no delay; an expired one is refreshed first. The layer does **not** store the token: a tool requests it
/// [itself](portcullis_core::UserContext::upstream), and receives this token or a newer one.
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
    /// Creates the layer. It has no settings.
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
