//! Valid and invalid requests of clients, users and unknown parties at a bridge.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use portcullis_test_support::{Answer, Authorization, Browser, Endpoint, Fault, LoginPolicy, Network, OAuthClient};
use reqwest::Client;
use tokio::time::sleep;

use crate::server::{API, API_SECRET, SERVER, SERVER_SECRET, Server};

/// Everything, in one go.
pub(crate) async fn story(server: &Server) {
    let (app, basic, posting) = clients(server).await;
    let live = tokens(server, &app).await;
    let also = tokens(server, &basic).await;
    tokens(server, &posting).await;
    tools(server, &[&live, &also]).await;
    assertions(server, &basic).await;
    let live = refreshes(server, &app, &live).await;
    questions(server, &live).await;
    guesses(server, &app, &also).await;
    failing_logins(server, &app).await;
    echoes(server, &app).await;
    ends(server, &app, &live, &also).await;
}

/// One without a secret and two with, of which two have registered themselves.
async fn clients(server: &Server) -> (OAuthClient, OAuthClient, OAuthClient) {
    let (mut app, mut posting) = (server.client().await, server.client().await);
    let registration = app.registration();
    app.register(&registration).await.expect("an answer");
    let mut confidential = registration.clone();
    confidential["token_endpoint_auth_method"] = "client_secret_post".into();
    let registered = posting.register(&confidential).await.expect("an answer");
    assert!(registered["client_secret"].is_string(), "{registered:?}");
    let mut refused = registration;
    refused["redirect_uris"] = serde_json::json!(["javascript:alert('planted')"]);
    server.client().await.register(&refused).await.expect("an answer");
    (app, server.client().await.with_client_id(SERVER).with_secret(SERVER_SECRET), posting)
}

/// Alice logs in, and the client has a code.
async fn code(client: &OAuthClient) -> (Authorization, String) {
    let authorization = client.authorization().expect("an endpoint");
    let mut browser = Browser::new(Network::new()).with_stop_at(client.redirect_uri());
    let callback = browser.log_in(&authorization.url(), "alice").await.expect("pages").left().expect("a callback");
    let code = authorization.code(&callback).expect("a code");
    (authorization, code)
}

async fn tokens(_: &Server, client: &OAuthClient) -> Answer {
    let (authorization, code) = code(client).await;
    let answer = client.redeem(&authorization, &code).await.expect("an answer");
    assert_eq!(answer.status(), 200, "{answer:?}");
    answer
}

async fn tool(server: &Server, token: &str) -> u16 {
    let request = Client::new().post(format!("{}/mcp", server.issuer)).bearer_auth(token);
    request.body("{}").send().await.expect("an answer").status().as_u16()
}

async fn tools(server: &Server, good: &[&Answer]) {
    for answer in good {
        assert_eq!(tool(server, answer.access_token()).await, 200);
    }
    let token = good[0].access_token();
    for bad in [&format!("{token}x"), &token[..token.len() - 1], "pcat_planted-token-unknown", good[0].refresh_token()]
    {
        assert_eq!(tool(server, bad).await, 401);
    }
    // A provider's token is none of ours.
    let foreign = server.idp.token("alice").jwt();
    assert_eq!(tool(server, &foreign).await, 401);
    let http2 = Client::builder().http2_prior_knowledge().build().expect("a client");
    drop(http2.post(format!("{}/mcp", server.issuer)).bearer_auth(token).send().await);
}

async fn assertions(server: &Server, client: &OAuthClient) {
    let assertion = |audience: &str| {
        let resource = format!("{}/mcp", server.issuer);
        server.idp.id_jag("alice", audience, SERVER).with_claim("resource", resource).with_scope("mcp:read").jwt()
    };
    let good = assertion(&server.issuer);
    let answer = client.redeem_id_jag(&good).await.expect("an answer");
    assert_eq!(answer.status(), 200, "{answer:?}");
    for bad in [good, assertion("https://other.example.test"), "planted.assertion.unknown".to_owned()] {
        assert_eq!(client.redeem_id_jag(&bad).await.expect("an answer").error(), Some("invalid_grant"));
    }
}

async fn refreshes(server: &Server, client: &OAuthClient, tokens: &Answer) -> Answer {
    let refreshed = client.refresh(tokens.refresh_token()).await.expect("an answer");
    let repeated = client.refresh(tokens.refresh_token()).await.expect("an answer");
    assert_eq!(refreshed.refresh_token(), repeated.refresh_token());
    // The provider's tokens are refreshed as well.
    server.clock.advance(Duration::from_secs(3 * 60));
    let latest = client.refresh(refreshed.refresh_token()).await.expect("an answer");
    tool(server, latest.access_token()).await;
    latest
}

async fn questions(server: &Server, tokens: &Answer) {
    let api = server.client().await.with_client_id(API);
    let knowing = api.clone().with_secret(API_SECRET);
    for token in [tokens.access_token(), tokens.refresh_token(), "pcat_planted-question"] {
        assert_eq!(knowing.introspect(token).await.expect("an answer").status(), 200);
        assert_eq!(
            api.clone().with_secret("planted-guess-of-the-api").introspect(token).await.expect("an answer").status(),
            401
        );
    }
}

async fn guesses(server: &Server, app: &OAuthClient, others: &Answer) {
    let confidential = server.client().await.with_client_id(SERVER);
    for guess in [
        confidential.clone().with_secret("planted-guess-in-a-header"),
        confidential.with_secret_in_body("planted-guess-in-a-body"),
    ] {
        assert_eq!(guess.refresh(others.refresh_token()).await.expect("an answer").status(), 401);
        assert_eq!(guess.revoke(others.refresh_token()).await.expect("an answer").status(), 401);
    }
    let refused = [
        app.refresh(others.refresh_token()),
        app.refresh("pcrt_planted-refresh-token-unknown"),
        app.revoke(others.access_token()),
        app.refresh("a").with_another("refresh_token", "planted-repeated-token"),
        app.token("planted-grant-type").with("code", "planted-code-unknown"),
        app.refresh("planted-token-and-secret").with("client_secret", "planted-secret-of-a-public-client"),
        app.call("token_endpoint")
            .with_header("authorization", "Basic cGxhbnRlZC1iYXNpYzpwbGFudGVkLWJhc2ljLXNlY3JldA=="),
        app.call("token_endpoint").with_header("authorization", "Bearer planted-bearer-at-the-token-endpoint"),
        app.call("token_endpoint").with_body("code=planted-code-in-a-body&%%%=&client_secret=planted-secret-in-a-body"),
    ];
    for call in refused {
        let answer = call.await.expect("an answer");
        assert!(answer.status().is_client_error(), "{answer:?}");
    }
    let (authorization, code) = code(app).await;
    let wrong =
        app.redeem(&authorization, &code).with("code_verifier", "planted-verifier-of-forty-three-characters-or-more");
    assert_eq!(wrong.await.expect("an answer").error(), Some("invalid_grant"));
    assert_eq!(app.redeem(&authorization, &code).await.expect("an answer").status(), 200);
}

/// Every way in which a login goes wrong.
async fn failing_logins(server: &Server, app: &OAuthClient) {
    let idp = &server.idp;
    let browser = || Browser::new(Network::new()).with_stop_at(app.redirect_uri());
    let log_in = async || {
        let url = app.authorization().expect("an endpoint").url();
        drop(browser().log_in(&url, "alice").await.expect("pages"));
    };
    for (endpoint, fault) in [
        (Endpoint::Token, Fault::status(400)),
        (Endpoint::UserInfo, Fault::status(500)),
        (Endpoint::Token, Fault::disconnect()),
        (Endpoint::Token, Fault::body("text/html", "<p>planted-page-of-the-provider")),
    ] {
        idp.set_fault(endpoint, fault);
        log_in().await;
        idp.heal(endpoint);
        // Longer than a provider that fails is left alone.
        sleep(Duration::from_millis(1500)).await;
    }
    idp.forge_id_tokens(|id_token| id_token.with_claim("nonce", "planted-nonce-of-another-login"));
    log_in().await;
    idp.forge_id_tokens(portcullis_testkit::TokenBuilder::unsigned);
    log_in().await;
    idp.stop_forging();
    idp.forge_callbacks(|response| response.with("iss", "https://other.example.test"));
    log_in().await;
    idp.forge_callbacks(|response| response.with("state", "planted-state-unknown"));
    log_in().await;
    idp.stop_forging();
    idp.set_login_policy(LoginPolicy::new().with_denial("access_denied"));
    log_in().await;
    idp.set_login_policy(LoginPolicy::new());

    // The user says no; the client asks for what there is not; another browser has the callback.
    let url = app.authorization().expect("an endpoint").url();
    drop(browser().press_through(&url, &[("decision", "deny")]).await.expect("pages"));
    for bad in [
        ("scope", "planted-scope"),
        ("response_type", "planted-type"),
        ("redirect_uri", "https://planted.example.test/"),
        ("client_id", "planted-client"),
    ] {
        let url = app.authorization().expect("an endpoint").with(bad.0, bad.1).url();
        drop(browser().get(&url).await.expect("a page"));
    }
    let mut stopping = Browser::new(Network::new()).with_stop_at(&format!("{}/callback", server.issuer));
    let url = app.authorization().expect("an endpoint").url();
    let callback = stopping.log_in(&url, "alice").await.expect("pages").left().expect("the callback");
    for _ in 0..2 {
        drop(browser().get(callback.as_str()).await.expect("a page"));
    }
}

/// The provider says in its errors what it was asked.
async fn echoes(server: &Server, app: &OAuthClient) {
    let live = tokens(server, app).await;
    let echo = |echoes| server.wiretap.echoes.store(echoes, Relaxed);
    echo(true);
    // Past the life of the provider's token.
    server.clock.advance(Duration::from_mins(9));
    tool(server, live.access_token()).await;
    echo(false);
    let url = app.authorization().expect("an endpoint").url();
    let mut browser = Browser::new(Network::new()).with_stop_at(&format!("{}/callback", server.issuer));
    let callback = browser.log_in(&url, "alice").await.expect("pages").left().expect("the callback");
    echo(true);
    let mut same = browser.clone().with_stop_at(app.redirect_uri());
    drop(same.get(callback.as_str()).await);
    app.revoke(live.refresh_token()).await.expect("an answer");
    sleep(Duration::from_millis(200)).await;
    echo(false);
}

/// Sessions end: by reuse, and by the client.
async fn ends(server: &Server, app: &OAuthClient, live: &Answer, others: &Answer) {
    let next = app.refresh(live.refresh_token()).await.expect("an answer");
    server.clock.advance(Duration::from_mins(5));
    let reused = app.refresh(live.refresh_token()).await.expect("an answer");
    assert_eq!(reused.error(), Some("invalid_grant"));
    assert_eq!(tool(server, next.access_token()).await, 401);
    let basic = server.client().await.with_client_id(SERVER).with_secret(SERVER_SECRET);
    assert_eq!(basic.revoke(others.refresh_token()).await.expect("an answer").status(), 200);
    let (authorization, code) = code(app).await;
    let first = app.redeem(&authorization, &code).await.expect("an answer");
    server.clock.advance(Duration::from_mins(5));
    assert_eq!(app.redeem(&authorization, &code).await.expect("an answer").error(), Some("invalid_grant"));
    assert_eq!(tool(server, first.access_token()).await, 401);
}
