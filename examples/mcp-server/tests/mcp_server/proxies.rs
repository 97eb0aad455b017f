//! The server behind a proxy: the names and origins of requests, the path of the public URL, and the address of the client.

use portcullis_test_support::{Browser, Network, OAuthClient};
use portcullis_testkit::{IdentityProvider, RunningIdentityProvider};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, header};
use serde_json::{Value, json};

use crate::process::{Running, bridge, free_port};

const PUBLIC: &str = "public_url = \"https://mcp.example.com\"";

/// Starts a provider, and a server for its tokens; `keys` begin the file.
async fn start(keys: &str) -> (IdentityProvider, RunningIdentityProvider, Running) {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let server = Running::spawn(running.url(), "", keys);
    server.wait_for("/readyz", 200).await;
    (provider, running, server)
}

async fn status(request: RequestBuilder) -> StatusCode {
    request.send().await.expect("answer").status()
}

fn challenge(response: &Response) -> String {
    response.headers()[header::WWW_AUTHENTICATE].to_str().expect("ASCII").to_owned()
}

#[tokio::test]
async fn a_name_that_a_proxy_sends_is_allowed_by_configuration_and_the_urls_remain_public() {
    let (provider, _running, server) = start(&format!("{PUBLIC}\nallowed_hosts = [\"service\"]")).await;
    let through_proxy = |host: &str| {
        let request = server.call("whoami", &json!({})).header(header::HOST, host);
        request.header("x-forwarded-host", "evil.example").header("x-forwarded-proto", "http")
    };
    let refused = through_proxy("service:8000").send().await.expect("answer");
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let metadata = "resource_metadata=\"https://mcp.example.com/.well-known/oauth-protected-resource/mcp\"";
    assert!(challenge(&refused).contains(metadata), "{refused:?}");
    let token = provider.token("alice").with_audience("https://mcp.example.com/mcp").jwt();
    assert_eq!(status(through_proxy("service:8000").bearer_auth(token)).await, StatusCode::OK);

    assert_eq!(status(through_proxy("other:8000")).await, StatusCode::FORBIDDEN);
    let line = server.logged(&["foreign Host", "`allowed_hosts`"]).await;
    assert!(line.contains("other:8000") && line.contains("mcp.example.com, service"), "{line}");
}

#[tokio::test]
async fn cors_and_the_check_of_origins_agree() {
    let keys = format!("{PUBLIC}\nallowed_origins = [\"https://inspector.example\", \"null\"]");
    let (_provider, _running, configured) = start(&keys).await;
    let (_provider, _running, default) = start("").await;
    for (server, origin, is_allowed) in [
        (&default, "https://claude.ai", true),
        (&default, "https://chatgpt.com", true),
        (&default, "https://vscode.dev", true),
        (&default, "null", false),
        (&default, "https://inspector.example", false),
        (&configured, "https://inspector.example", true),
        (&configured, "null", true),
        (&configured, "https://mcp.example.com", true),
        (&configured, "http://localhost:6274", true),
        (&configured, "https://claude.ai", false),
        (&configured, "https://inspector.example:8443", false),
    ] {
        let answer = server.post(&json!({})).header(header::ORIGIN, origin).send().await.expect("answer");
        let expected = if is_allowed { StatusCode::UNAUTHORIZED } else { StatusCode::FORBIDDEN };
        assert_eq!(answer.status(), expected, "{origin}");
        let preflight = Client::new()
            .request(Method::OPTIONS, server.url())
            .header(header::ORIGIN, origin)
            .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
            .send()
            .await
            .expect("answer");
        for answer in [answer, preflight] {
            let allowed = answer.headers().get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
            assert_eq!(allowed.map(|allowed| allowed == origin), is_allowed.then_some(true), "{origin}: {answer:?}");
        }
    }
    configured.logged(&["foreign Origin", "https://claude.ai", "`allowed_origins`"]).await;
}

#[tokio::test]
async fn the_public_url_may_have_a_path_which_the_proxy_removes_or_keeps() {
    let (provider, _running, server) = start("public_url = \"https://example.com/tools/\"").await;
    let at = |path: &str| format!("{}{path}", server.origin());
    let metadata = "/.well-known/oauth-protected-resource/tools/mcp";
    let document: Value = reqwest::get(at(metadata)).await.expect("answer").json().await.expect("JSON");
    assert_eq!(document["resource"], "https://example.com/tools/mcp");
    let token = provider.token("alice").with_audience("https://example.com/tools/mcp").jwt();
    for path in ["/tools/mcp", "/mcp"] {
        let request = || {
            let call = server.call("whoami", &json!({})).build().expect("a request");
            let request = Client::new().post(at(path)).headers(call.headers().clone());
            request.body(call.body().and_then(reqwest::Body::as_bytes).expect("JSON").to_vec())
        };
        let refused = request().send().await.expect("answer");
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED, "{path}");
        assert!(challenge(&refused).contains(&format!("https://example.com{metadata}")), "{refused:?}");
        assert_eq!(status(request().bearer_auth(&token)).await, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn a_bridge_with_a_path_is_the_issuer_with_that_path() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let (client_id, secret) = (IdentityProvider::CLIENT_ID, IdentityProvider::CLIENT_SECRET);
    let keys = format!(
        "provider = \"oidc\"\nissuer = \"{}\"\nclient_id = \"{client_id}\"\nclient_secret = \"{secret}\"\nscopes = [\"openid\"]",
        running.url()
    );
    let port = free_port();
    let issuer = format!("http://127.0.0.1:{port}/tools");
    let server = Running::serve(port, &format!("public_url = \"{issuer}\"\n{}", bridge(&keys, "url = \"memory:\"")));
    server.wait_for("/readyz", 200).await;
    let client = OAuthClient::discover(&Network::new(), &issuer).await.expect("metadata");
    let mut client = client.with_resource(&format!("{issuer}/mcp")).with_scope("mcp:use");
    assert_eq!(client.register(&client.registration()).await.expect("answer").status(), 201);
    let mut browser = Browser::new(Network::new()).with_stop_at(client.redirect_uri());
    let tokens = client.log_in(&mut browser, "alice").await.expect("a code");
    // A proxy that removes the path.
    let answer = server.call("whoami", &json!({})).bearer_auth(tokens.access_token());
    assert_eq!(status(answer).await, StatusCode::OK);
    let token = Client::new().post(format!("http://127.0.0.1:{port}/token")).send().await.expect("answer");
    assert_eq!(token.status(), StatusCode::BAD_REQUEST, "the token endpoint, without parameters");
}

#[tokio::test]
async fn clients_behind_a_proxy_do_not_share_the_limits_of_its_address() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let keys = crate::bridge::oidc(running.url());
    let by_header = Running::serve(
        free_port(),
        &format!("client_address_header = \"x-forwarded-for\"\n{}", bridge(&keys, "url = \"memory:\"")),
    );
    let unknown = Running::bridge(&keys).await;
    by_header.wait_for("/readyz", 200).await;
    let http = Client::new();
    // 200 registrations of one address are permitted at once.
    for (server, refused) in [(&unknown, None), (&by_header, Some(StatusCode::TOO_MANY_REQUESTS))] {
        let register = async |address: &str| {
            let request = http.post(format!("{}/register", server.origin())).header("x-forwarded-for", address);
            status(request.json(&json!({"redirect_uris": ["https://app.example.com/callback"]}))).await
        };
        let mut of_one = Vec::new();
        for _ in 0..210 {
            of_one.push(register("192.0.2.1").await);
        }
        let found = of_one.into_iter().find(|status| *status != StatusCode::CREATED);
        assert_eq!(found, refused);
        assert_eq!(register("192.0.2.2").await, StatusCode::CREATED, "another client");
    }
    by_header.logged(&["rate limit exceeded", "registrations", "192.0.2.1"]).await;
}

#[tokio::test]
async fn a_proxy_without_its_header_in_the_configuration_is_logged_once() {
    let (_provider, _running, server) = start("").await;
    for (header, value) in
        [("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.1"), ("x-forwarded-for", "192.0.2.2")]
    {
        status(server.post(&json!({})).header(header, value)).await;
    }
    server.logged(&["x-forwarded-for", "`client_address_header` is not set"]).await;
    assert_eq!(server.lines_with(&["`client_address_header` is not set"]).len(), 1);

    let (_provider, _running, configured) = start("client_address_header = \"x-forwarded-for\"").await;
    status(configured.post(&json!({})).header("x-forwarded-for", "192.0.2.1")).await;
    // A later line, so that an earlier one would have been written.
    status(configured.post(&json!({})).header(header::HOST, "evil.example")).await;
    configured.logged(&["foreign Host"]).await;
    assert_eq!(configured.lines_with(&["client_address_header"]).len(), 0);
}
