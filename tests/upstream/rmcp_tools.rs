//! A real MCP server whose tools call the provider.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{
    Request, Response, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, RETRY_AFTER, WWW_AUTHENTICATE},
    request::Parts,
};
use http_body::Body;
use http_body_util::{BodyExt as _, Full};
use portcullis::{
    AuthConfig, AuthLayer, UserContext,
    layer::RequireUpstreamLayer,
    oauth::protected_resource::ProtectedResourceMetadata,
    types::{AuthError, Issuer, ResourceUri, VerifyToken},
};
use portcullis_testkit::{Endpoint, Fault, IdentityProvider, TokenPolicy};
use rmcp::{
    ErrorData, Peer, RoleServer,
    handler::server::common::Extension,
    model::{NumberOrString, ProgressNotificationParam, ProgressToken},
    tool, tool_router,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
    },
};
use serde_json::{Value, json};
use tokio::time::sleep;
use tower::{Layer as _, Service, ServiceExt as _};

use crate::fixture::{LIFETIME, World};

const MODERN: &str = "2026-07-28";

#[derive(Clone)]
struct Tools {
    idp: IdentityProvider,
}

impl Tools {
    /// The status with which the provider answers `token`.
    async fn ask(&self, authorization: http::HeaderValue) -> StatusCode {
        let request = Request::get(self.idp.url("/userinfo")).header(AUTHORIZATION, authorization);
        let response = self.idp.clone().oneshot(request.body(Bytes::new()).expect("request")).await;
        response.expect("an answer").status()
    }
}

fn failed(error: &AuthError) -> ErrorData {
    ErrorData::internal_error(error.kind().error_description().unwrap_or("try again later"), None)
}

#[tool_router(server_handler)]
impl Tools {
    #[tool(description = "Calls the provider")]
    async fn calendar(&self, Extension(parts): Extension<Parts>) -> Result<String, ErrorData> {
        let user = parts.extensions.get::<Arc<UserContext>>().expect("a gate outside");
        let token = user.upstream().access_token().await.map_err(|error| failed(&error))?;
        let mut status = self.ask(token.authorization()).await;
        if status == StatusCode::UNAUTHORIZED {
            let token = user.upstream().rejected(&token).await.map_err(|error| failed(&error))?;
            status = self.ask(token.authorization()).await;
        }
        Ok(status.to_string())
    }

    #[tool(description = "Runs until the end of time")]
    async fn watch(&self, peer: Peer<RoleServer>) -> String {
        let progress = ProgressNotificationParam::new(ProgressToken(NumberOrString::Number(1)), 0.5);
        peer.notify_progress(progress).await.expect("a client that listens");
        std::future::pending().await
    }
}

type Server = StreamableHttpService<Tools, LocalSessionManager>;

impl World {
    fn tools(&self) -> Server {
        let tools = Tools { idp: self.idp.clone() };
        let config = StreamableHttpServerConfig::default().with_allowed_hosts(["mcp.example.test"]);
        StreamableHttpService::new(move || Ok(tools.clone()), LocalSessionManager::default().into(), config)
    }

    fn gate(&self) -> AuthLayer<impl VerifyToken<Future: Send> + Clone + Send + Sync + 'static + use<>> {
        let resource = ResourceUri::new(IdentityProvider::AUDIENCE).expect("resource");
        let issuer = Issuer::new(IdentityProvider::ISSUER).expect("issuer");
        AuthLayer::new(AuthConfig::new(ProtectedResourceMetadata::new(resource, issuer), self.own()))
    }
}

/// A call of `tool` on the wire that needs no session.
fn call(tool: &str) -> Request<Full<Bytes>> {
    let meta =
        json!({"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}});
    let params = json!({"name": tool, "arguments": {}, "_meta": meta});
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
    let request = Request::post("/mcp").header(HOST, "mcp.example.test").header(AUTHORIZATION, "Bearer ours");
    let request =
        request.header(ACCEPT, "application/json, text/event-stream").header(CONTENT_TYPE, "application/json");
    let request = request.header("mcp-protocol-version", MODERN).header("mcp-method", "tools/call");
    request.header("mcp-name", tool).body(Full::from(message.to_string())).expect("request")
}

async fn text<B: Body<Error: fmt::Debug>>(response: Response<B>) -> String {
    let body = response.into_body().collect().await.expect("body").to_bytes();
    String::from_utf8(body.to_vec()).expect("text")
}

/// The JSON-RPC message in a good answer, which may be a stream of one.
async fn message<B: Body<Error: fmt::Debug>>(response: Response<B>) -> Value {
    let text = text(response).await;
    let data = text.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim).find(|data| !data.is_empty());
    serde_json::from_str(data.unwrap_or(&text)).expect(&text)
}

async fn send<S, B>(server: &S, request: Request<Full<Bytes>>) -> Response<B>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error: fmt::Debug> + Clone,
{
    server.clone().oneshot(request).await.expect("response")
}

fn assert_login_demanded<B>(response: &Response<B>) {
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let challenge = response.headers()[WWW_AUTHENTICATE].to_str().expect("text");
    assert!(challenge.contains("invalid_token") && challenge.contains("resource_metadata"), "{challenge}");
}

#[tokio::test(start_paused = true)]
async fn a_tool_calls_the_provider_with_a_token_that_is_renewed_under_way() {
    let world = World::new(TokenPolicy::new().without_expires_in()).await;
    let server = world.gate().layer(RequireUpstreamLayer::new().layer(world.tools()));
    for refreshes in [0, 1] {
        let message = message(send(&server, call("calendar")).await).await;
        assert_eq!(message["result"]["content"][0]["text"], "200 OK", "{message}");
        assert_eq!(world.idp.calls(Endpoint::Token), refreshes);
        sleep(LIFETIME).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_a_real_503_only_if_the_token_is_required_before_the_server_is_called() {
    let world = World::new(TokenPolicy::new()).await.with_known_expiry().await;
    let plain = world.gate().layer(world.tools());
    let required = world.gate().layer(RequireUpstreamLayer::new().layer(world.tools()));
    assert_eq!(send(&required, call("calendar")).await.status(), StatusCode::OK);
    world.idp.set_fault(Endpoint::Token, Fault::status(503));
    sleep(LIFETIME).await;
    let answer = message(send(&plain, call("calendar")).await).await;
    assert!(answer["error"].is_object(), "an error within 200: {answer}");
    let answer = send(&required, call("calendar")).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key(RETRY_AFTER));
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_has_ended_is_a_real_401_also_if_a_tool_is_the_first_to_learn_it() {
    let world = World::new(TokenPolicy::new()).await;
    let plain = world.gate().layer(world.tools());
    world.idp.revoke_grant("alice");
    assert_login_demanded(&send(&plain, call("calendar")).await);

    let world = World::new(TokenPolicy::new()).await.with_known_expiry().await;
    let required = world.gate().layer(RequireUpstreamLayer::new().layer(world.tools()));
    world.idp.revoke_grant("alice");
    sleep(LIFETIME).await;
    assert_login_demanded(&send(&required, call("calendar")).await);
    assert_eq!(world.idp.dead_calls(), 0, "the tool was not called");
}

#[tokio::test(start_paused = true)]
async fn an_answer_under_way_ends_with_the_grant_and_the_next_request_is_a_401() {
    let world = World::new(TokenPolicy::new()).await;
    let server = world.gate().layer(RequireUpstreamLayer::new().layer(world.tools()));
    let running = send(&server, call("watch")).await;
    assert_eq!(running.status(), StatusCode::OK);
    assert_eq!(running.headers()[CONTENT_TYPE], "text/event-stream");
    // Meanwhile another tool of the same user learns that it is over.
    world.idp.revoke_grant("alice");
    let learning = async { send(&server, call("calendar")).await.status() };
    let (rest, learnt) = tokio::join!(text(running), learning);
    assert_eq!(learnt, StatusCode::UNAUTHORIZED);
    assert!(rest.contains("notifications/progress") && !rest.contains("result"), "{rest}");
    assert_login_demanded(&send(&server, call("calendar")).await);
}
