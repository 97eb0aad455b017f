//! The fake identity provider, as a service and on a socket.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use portcullis_egress::{Egress, EgressConfig, EgressErrorKind};
use portcullis_testkit::{Disconnected, Endpoint, Fault, IdentityProvider, KeyAlgorithm, TestClock};
use serde_json::{Map, Value, json};
use tower::ServiceExt;

const BASIC: &str = "Basic cmVzb3VyY2Utc2VydmVyOnJlc291cmNlLXNlcnZlci1zZWNyZXQ=";
const SECOND: Duration = Duration::from_secs(1);

async fn send(provider: &IdentityProvider, request: http::request::Builder, body: &str) -> Response<Bytes> {
    let request = request.body(Bytes::copy_from_slice(body.as_bytes())).expect("request");
    provider.clone().oneshot(request).await.expect("a response")
}

async fn get(provider: &IdentityProvider, path: &str) -> Response<Bytes> {
    send(provider, Request::get(provider.url(path)), "").await
}

async fn with_token(provider: &IdentityProvider, path: &str, token: &str) -> Response<Bytes> {
    send(provider, Request::get(provider.url(path)).header("authorization", format!("Bearer {token}")), "").await
}

async fn introspect(provider: &IdentityProvider, token: &str) -> Value {
    let request = Request::post(provider.url("/introspect")).header("authorization", BASIC);
    json(&send(provider, request, &format!("token={token}")).await)
}

fn json(response: &Response<Bytes>) -> Value {
    assert_eq!(response.status(), StatusCode::OK, "{:?}", response.body());
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
    serde_json::from_slice(response.body()).expect("JSON")
}

/// The claims of `token` if the published keys verify it: what a resource server does.
async fn verify(provider: &IdentityProvider, token: &str) -> Option<Map<String, Value>> {
    let mut keys = json(&get(provider, "/jwks").await);
    keys["keys"].as_array_mut().expect("keys").retain(|key| key["kty"] != "unheard-of");
    let keys: JwkSet = serde_json::from_value(keys).expect("a key set");
    let header = jsonwebtoken::decode_header(token).ok()?;
    let key = DecodingKey::from_jwk(keys.find(&header.kid?)?).expect("a key");
    let mut validation = Validation::new(header.alg);
    validation.set_audience(&[IdentityProvider::AUDIENCE]);
    validation.set_issuer(&[provider.issuer()]);
    validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
    jsonwebtoken::decode(token, &key, &validation).ok().map(|token| token.claims)
}

#[tokio::test]
async fn a_token_has_every_claim_and_its_key_is_published_for_each_algorithm() {
    let provider = IdentityProvider::new();
    for algorithm in [KeyAlgorithm::Rs256, KeyAlgorithm::Es256, KeyAlgorithm::EdDsa] {
        let kid = provider.add_key(algorithm);
        let token = provider.token("alice").with_scope("mcp:read").signed_by(&kid).jwt();
        let header = jsonwebtoken::decode_header(&token).expect("a header");
        assert_eq!((header.typ.as_deref(), header.kid.as_deref()), (Some("at+jwt"), Some(kid.as_str())));
        assert_eq!(format!("{:?}", header.alg).to_uppercase(), algorithm.as_str().to_uppercase());
        let claims = verify(&provider, &token).await.expect("verified");
        for name in ["iss", "sub", "aud", "client_id", "iat", "exp", "jti", "scope"] {
            assert!(claims.contains_key(name), "{name}");
        }
    }
}

#[tokio::test]
async fn forgeries_are_what_they_say_and_do_not_verify() {
    let provider = IdentityProvider::new();
    let token = || provider.token("alice");
    let part = |token: &str, at: usize| token.split('.').nth(at).expect("three parts").to_owned();
    assert_eq!(part(&token().unsigned().jwt(), 2), "");
    let hmac = token().signed_by_hmac(provider.public_key_pem().as_bytes()).jwt();
    assert_eq!(jsonwebtoken::decode_header(&hmac).expect("a header").alg, Algorithm::HS256);
    let validation = {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.validate_aud = false;
        validation
    };
    let confused = DecodingKey::from_secret(provider.public_key_pem().as_bytes());
    assert!(
        jsonwebtoken::decode::<Value>(&hmac, &confused, &validation).is_ok(),
        "a verifier that trusts `alg` accepts it"
    );

    let elsewhere = IdentityProvider::new();
    for (what, forged) in [
        ("another audience", token().with_audience("https://other.example.test").jwt()),
        ("another issuer", token().with_claim("iss", "https://other.example.test").jwt()),
        ("expired", token().with_claim("exp", 1).jwt()),
        ("no subject", token().without_claim("sub").jwt()),
        ("swapped kid", token().with_header("kid", provider.add_key(KeyAlgorithm::Rs256)).jwt()),
        ("no kid", token().without_header("kid").jwt()),
        ("no signature", token().unsigned().jwt()),
        ("no JSON", token().with_raw_payload("{").jwt()),
        ("no header", token().with_raw_header("[]").jwt()),
        ("keys of another provider", elsewhere.token("alice").with_header("kid", provider.signing_kid()).jwt()),
    ] {
        assert!(verify(&provider, &forged).await.is_none(), "{what}");
    }
    assert!(verify(&provider, &token().jwt()).await.is_some());
}

#[tokio::test]
async fn keys_rotate_with_and_without_overlap() {
    let provider = IdentityProvider::new();
    provider.publish_foreign_key(json!({"kty": "unheard-of", "kid": "x"}));
    let (old_kid, old) = (provider.signing_kid(), provider.token("alice").jwt());
    let new_kid = provider.rotate_keys();
    let new = provider.token("alice").jwt();
    assert_ne!(old_kid, new_kid);
    assert!(verify(&provider, &old).await.is_some() && verify(&provider, &new).await.is_some());

    provider.retire_old_keys();
    assert!(verify(&provider, &old).await.is_none() && verify(&provider, &new).await.is_some());
    assert_eq!(json(&get(&provider, "/jwks").await)["keys"].as_array().map(Vec::len), Some(2), "and the foreign one");

    provider.sign_with(&old_kid);
    assert!(verify(&provider, &provider.token("alice").jwt()).await.is_none(), "signed by an unpublished key");
}

#[tokio::test]
async fn the_key_set_says_how_long_it_keeps() {
    let provider = IdentityProvider::new();
    assert!(!get(&provider, "/jwks").await.headers().contains_key(header::CACHE_CONTROL));
    provider.set_key_set_max_age(SECOND * 300);
    assert_eq!(get(&provider, "/jwks").await.headers()[header::CACHE_CONTROL], "public, max-age=300");
}

#[tokio::test]
async fn metadata_stand_where_the_issuer_says() {
    let provider = IdentityProvider::new().with_issuer("https://idp.example.test/realms/x");
    for url in [
        "https://idp.example.test/.well-known/oauth-authorization-server/realms/x",
        "https://idp.example.test/.well-known/openid-configuration/realms/x",
        "https://idp.example.test/realms/x/.well-known/openid-configuration",
    ] {
        let metadata = json(&send(&provider, Request::get(url), "").await);
        assert_eq!(metadata["issuer"], "https://idp.example.test/realms/x");
        assert_eq!(metadata["jwks_uri"], "https://idp.example.test/realms/x/jwks");
    }
    let elsewhere = Request::get("https://idp.example.test/.well-known/oauth-authorization-server");
    assert_eq!(send(&provider, elsewhere, "").await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn introspection_tells_active_from_expired_revoked_and_unknown() {
    let clock = TestClock::new();
    let provider = IdentityProvider::new().with_clock(Arc::new(clock.clone()));
    let opaque = provider.token("alice").with_scope("mcp:read").with_lifetime(SECOND * 60).opaque();
    let jwt = provider.token("alice").jwt();
    assert_eq!(opaque.len(), 45);
    let answer = introspect(&provider, &opaque).await;
    assert_eq!(
        (&answer["active"], &answer["sub"], &answer["scope"]),
        (&json!(true), &json!("alice"), &json!("mcp:read"))
    );
    assert_eq!(introspect(&provider, &jwt).await["active"], true);

    clock.advance(SECOND * 60);
    provider.revoke(&jwt);
    for token in [opaque.as_str(), &jwt, "unknown"] {
        assert_eq!(introspect(&provider, token).await, json!({"active": false}));
    }
}

#[tokio::test]
async fn introspection_is_for_clients() {
    let provider = IdentityProvider::new();
    let token = provider.token("alice").opaque();
    let url = provider.url("/introspect");
    let form = format!("token={token}");
    let posted = format!("{form}&client_id=resource-server&client_secret=resource-server-secret");
    assert_eq!(json(&send(&provider, Request::post(&url), &posted).await)["active"], true);
    for request in [Request::post(&url), Request::post(&url).header("authorization", "Basic eDp5")] {
        assert_eq!(send(&provider, request, &form).await.status(), StatusCode::UNAUTHORIZED);
    }
    provider.set_client(IdentityProvider::CLIENT_ID, "changed");
    let stale = Request::post(&url).header("authorization", BASIC);
    assert_eq!(send(&provider, stale, &form).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(send(&provider, Request::get(&url), &form).await.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn users_have_profiles_in_both_dialects() {
    let provider = IdentityProvider::new();
    let token = provider.token("alice").with_scope("repo user").opaque();
    let profile = json!({"name": "Alice Liddell", "login": "alice-gh"});
    provider.set_user("alice", profile.as_object().cloned().expect("an object"));

    let oidc = json(&with_token(&provider, "/userinfo", &token).await);
    assert_eq!((&oidc["sub"], &oidc["name"]), (&json!("alice"), &json!("Alice Liddell")));
    let github = with_token(&provider, "/user", &token).await;
    assert_eq!(github.headers()["x-oauth-scopes"], "repo, user");
    let github = json(&github);
    assert!(github["id"].is_u64() && github["login"] == "alice-gh", "{github}");

    provider.revoke(&token);
    for path in ["/userinfo", "/user"] {
        let refused = with_token(&provider, path, &token).await;
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
        assert!(refused.headers().contains_key(header::WWW_AUTHENTICATE));
    }
}

#[tokio::test]
async fn the_token_check_knows_for_whom() {
    let provider = IdentityProvider::new();
    let check = async |client_id: &str, token: &str| {
        let request = Request::post(provider.url(&format!("/applications/{client_id}/token")));
        send(&provider, request.header("authorization", BASIC), &json!({"access_token": token}).to_string()).await
    };
    let ours = provider.token("alice").with_claim("client_id", IdentityProvider::CLIENT_ID).with_scope("repo").opaque();
    let theirs = provider.token("alice").with_claim("client_id", "another").opaque();
    let answer = json(&check("resource-server", &ours).await);
    assert_eq!((&answer["app"]["client_id"], &answer["scopes"]), (&json!("resource-server"), &json!(["repo"])));
    assert_eq!(answer["user"]["login"], "alice");
    for (client_id, token) in [("resource-server", &theirs), ("another", &theirs), ("resource-server", &"x".into())] {
        assert_eq!(check(client_id, token).await.status(), StatusCode::NOT_FOUND);
    }
}

#[tokio::test(start_paused = true)]
async fn faults_and_latency_come_and_go_and_calls_are_counted() {
    let provider = IdentityProvider::new();
    let egress = Egress::from_service(provider.clone());
    let fetch =
        async || egress.clone().oneshot(Request::get(provider.url("/jwks")).body(Bytes::new()).expect("request")).await;
    let set = |fault| provider.set_fault(Endpoint::KeySet, fault);

    set(Fault::status(429).with_retry_after("60"));
    let response = fetch().await.expect("a response");
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (429, &"60".parse().expect("value")));
    set(Fault::body("text/html", "<h1>"));
    assert_eq!(fetch().await.expect("a response").headers()[header::CONTENT_TYPE], "text/html");
    set(Fault::disconnect());
    assert_eq!(fetch().await.expect_err("broken off").kind(), EgressErrorKind::Transport);
    set(Fault::hang());
    assert_eq!(fetch().await.expect_err("hangs").kind(), EgressErrorKind::Timeout);

    provider.heal(Endpoint::KeySet);
    provider.set_latency(Endpoint::KeySet, SECOND * 3);
    let start = tokio::time::Instant::now();
    assert_eq!(fetch().await.expect("slow").status(), StatusCode::OK);
    assert_eq!(start.elapsed(), SECOND * 3);
    assert_eq!(provider.calls(Endpoint::KeySet), 5);
    assert_eq!(provider.calls(Endpoint::UserInfo), 0);
}

#[tokio::test]
async fn a_request_is_seen_and_its_secrets_do_not_print() {
    let provider = IdentityProvider::new();
    introspect(&provider, "s3cret").await;
    let seen = provider.last_request(Endpoint::Introspection).expect("seen");
    assert_eq!((seen.method(), seen.uri().path()), (&Method::POST, "/introspect"));
    assert_eq!(seen.body().as_ref(), b"token=s3cret");
    assert_eq!(seen.headers()["authorization"], BASIC);
    let text = format!("{seen:?} {:?} {provider:?}", seen.headers());
    assert!(!text.contains("s3cret") && !text.contains("cmVzb3V"), "{text}");
}

#[tokio::test]
async fn on_a_socket_it_does_the_same_and_can_break_off() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let egress = Egress::new(EgressConfig::new().with_loopback_allowed()).expect("TLS");
    let fetch = async |path: &str| {
        egress.clone().oneshot(Request::get(provider.url(path)).body(Bytes::new()).expect("request")).await
    };
    let metadata = json(&fetch("/.well-known/oauth-authorization-server").await.expect("a response"));
    assert_eq!(metadata["issuer"], running.url());
    let token = provider.token("alice").jwt();
    assert!(verify(&provider, &token).await.expect("verified")["iss"] == running.url());

    provider.set_fault(Endpoint::KeySet, Fault::disconnect());
    assert_eq!(fetch("/jwks").await.expect_err("broken off").kind(), EgressErrorKind::Transport);

    provider.set_fault(Endpoint::KeySet, Fault::hang());
    let (hanging, ()) = tokio::join!(fetch("/jwks"), async {
        while provider.calls(Endpoint::KeySet) < 3 {
            tokio::task::yield_now().await;
        }
        running.shutdown().await;
    });
    assert_eq!(hanging.expect_err("broken off").kind(), EgressErrorKind::Transport);
    assert_eq!(fetch("/jwks").await.expect_err("gone").kind(), EgressErrorKind::Connect);
}

#[tokio::test]
async fn as_a_service_it_breaks_off_with_its_own_error() {
    let provider = IdentityProvider::new();
    provider.set_fault(Endpoint::KeySet, Fault::disconnect());
    let request = Request::get(provider.url("/jwks")).body(Bytes::new()).expect("request");
    assert!(matches!(provider.oneshot(request).await, Err(Disconnected { .. })));
}
