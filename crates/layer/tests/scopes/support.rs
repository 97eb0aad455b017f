//! A verifier that parses a token as the list of its scopes, an inner service that echoes bodies, and a policy.

use std::{
    convert::Infallible,
    fmt,
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, header::AUTHORIZATION};
use http_body::Body;
use http_body_util::{BodyExt as _, Full};
use portcullis_core::{AuthError, BearerToken, Challenge, Issuer, ResourceUri, ScopeSet, UserContext};
use portcullis_layer::{
    Auth, AuthConfig,
    scope::{OperationPolicy, RequestBody, ToolScopesLayer},
};
use portcullis_oauth::protected_resource::ProtectedResourceMetadata;
use portcullis_testkit::StrictService;
use serde_json::Value;
use tower::ServiceExt as _;
use tower_layer::Layer as _;
use tower_service::Service;

pub(crate) const METADATA: &str = "https://mcp.example.com/.well-known/oauth-protected-resource/mcp";

pub(crate) fn scopes(text: &str) -> ScopeSet {
    ScopeSet::parse(text).expect(text)
}

/// The token `read~write` has the scopes `read` and `write`; the token `none` has one that is never needed.
#[derive(Clone, Debug)]
pub(crate) struct Verifier;

impl Service<BearerToken> for Verifier {
    type Response = Arc<UserContext>;
    type Error = AuthError;
    type Future = Ready<Result<Arc<UserContext>, AuthError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), AuthError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, token: BearerToken) -> Self::Future {
        let issuer = Issuer::new("https://idp.example.com").expect("issuer");
        let held = scopes(&token.expose_secret().replace('~', " "));
        ready(Ok(Arc::new(UserContext::builder(issuer, "alice").with_scopes(held).build())))
    }
}

pub(crate) fn config() -> AuthConfig<Verifier> {
    let resource = ResourceUri::new("https://mcp.example.com/mcp").expect("resource");
    let issuer = Issuer::new("https://idp.example.com").expect("issuer");
    AuthConfig::new(ProtectedResourceMetadata::new(resource, issuer), Verifier)
}

/// `admin_echo` needs two scopes, the other tools none; reading a resource and one prompt need one each.
pub(crate) fn policy() -> OperationPolicy {
    OperationPolicy::new()
        .with_tool("admin_echo", scopes("admin audit"))
        .with_prompt("secret", scopes("prompts"))
        .with_method("resources/read", scopes("read"))
}

pub(crate) fn post(token: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let request = Request::post("/mcp").header(AUTHORIZATION, format!("Bearer {token}"));
    request.header("content-type", "application/json").body(Full::new(body.into())).expect("request")
}

/// A call of a tool, as clients of both wires write it.
pub(crate) fn call(tool: &str) -> String {
    let id = tool.len();
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}","arguments":{{"a":[1]}}}}}}"#
    )
}

/// The outcome of a request.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: u16,
    pub(crate) challenge: Option<Challenge>,
    pub(crate) error: Option<AuthError>,
    pub(crate) body: Bytes,
    /// The number of calls of the inner service.
    pub(crate) calls: usize,
}

impl Outcome {
    pub(crate) async fn of<C: Body<Error: fmt::Debug>>(response: Response<C>, calls: usize) -> Self {
        let status = response.status().as_u16();
        let error = response.extensions().get::<AuthError>().cloned();
        let challenge = response.headers().get("www-authenticate").map(|value| {
            let text = value.to_str().expect("ASCII");
            Challenge::parse(text).expect(text).remove(0)
        });
        let body = response.into_body().collect().await.expect("body").to_bytes();
        Self { status, challenge, error, body, calls }
    }

    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        self.challenge.as_ref().and_then(|challenge| challenge.param(name))
    }

    #[track_caller]
    pub(crate) fn assert_passed(&self) {
        assert_eq!((self.status, self.calls), (200, 1), "{self:?}");
        assert!(self.challenge.is_none() && self.error.is_none(), "{self:?}");
    }

    /// Asserts a 403 with all of `needed`.
    #[track_caller]
    pub(crate) fn assert_forbidden(&self, needed: &str) {
        assert_eq!((self.status, self.calls), (403, 0), "{self:?}");
        assert_eq!(self.param("error"), Some("insufficient_scope"));
        assert_eq!(self.param("scope"), Some(needed));
        assert_eq!(self.param("resource_metadata"), Some(METADATA));
        let body: Value = serde_json::from_slice(&self.body).expect("JSON");
        assert_eq!(body["error"], "insufficient_scope");
    }

    /// Asserts a 400 for a body that cannot be parsed, without scopes.
    #[track_caller]
    pub(crate) fn assert_unreadable(&self, reason: &str) {
        assert_eq!((self.status, self.calls), (400, 0), "{self:?}");
        assert_eq!(self.param("error"), Some("invalid_request"));
        assert_eq!(self.error.as_ref().map(|error| error.reason().as_str()), Some(reason));
    }

    /// Asserts a 400 with the JSON-RPC error of MCP, without a challenge.
    #[track_caller]
    pub(crate) fn assert_mismatch(&self) {
        assert_eq!((self.status, self.calls), (400, 0), "{self:?}");
        assert!(self.challenge.is_none() && self.error.is_none(), "{self:?}");
        let body: Value = serde_json::from_slice(&self.body).expect("JSON");
        assert_eq!((&body["jsonrpc"], &body["error"]["code"]), (&"2.0".into(), &(-32020).into()));
    }
}

/// Returns the body, so that a test sees what the inner service received.
pub(crate) async fn echo<B: Body<Error: fmt::Debug>>(request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(request.into_body().collect().await.expect("body").to_bytes())))
}

/// Sends `request` to a server with `layer` inside the auth layer.
pub(crate) async fn ask_with<B>(layer: ToolScopesLayer, request: Request<B>) -> Outcome
where
    B: Body<Data = Bytes, Error: fmt::Debug>,
{
    let inner = StrictService::new(echo::<RequestBody<B>>);
    let response = Auth::new(layer.layer(inner.clone()), config()).oneshot(request).await.expect("response");
    Outcome::of(response, inner.calls()).await
}

/// Sends `request` to a server with [`policy`].
pub(crate) async fn ask<B>(request: Request<B>) -> Outcome
where
    B: Body<Data = Bytes, Error: fmt::Debug>,
{
    ask_with(ToolScopesLayer::new(policy()), request).await
}
