//! Each vendor in its own shapes: what others rely on when they test against one.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, header::CONTENT_TYPE, request::Builder};
use portcullis_egress::{Egress, EgressConfig};
use portcullis_testkit::{Endpoint, ErrorClass, IdentityProvider, TestClock, TokenPolicy, Vendor};
use serde_json::{Value, json};
use tower::ServiceExt;

const BASIC: &str = "Basic cmVzb3VyY2Utc2VydmVyOnJlc291cmNlLXNlcnZlci1zZWNyZXQ=";
const SECRET: &str = "resource-server-secret";
const CALLBACK: &str = "https://mcp.example.test/callback";
const SECOND: Duration = Duration::from_secs(1);

async fn send(provider: &IdentityProvider, request: Builder, body: impl Into<Bytes>) -> Response<Bytes> {
    provider.clone().oneshot(request.body(body.into()).expect("request")).await.expect("a response")
}

fn form(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// To the token endpoint as most take it, with the secret in the body.
async fn token(provider: &IdentityProvider, secret: &str, fields: &[(&str, &str)]) -> Response<Bytes> {
    let credentials = [("client_id", IdentityProvider::CLIENT_ID), ("client_secret", secret)];
    let request = Request::post(provider.endpoint_url(Endpoint::Token));
    let request =
        request.header("content-type", "application/x-www-form-urlencoded").header("accept", "application/json");
    send(provider, request, form(&[fields, &credentials].concat())).await
}

async fn refresh(provider: &IdentityProvider, refresh_token: &str) -> Response<Bytes> {
    token(provider, SECRET, &[("grant_type", "refresh_token"), ("refresh_token", refresh_token)]).await
}

async fn login(provider: &IdentityProvider, scope: &str) -> Value {
    let code = provider.issue_code("alice", scope, CALLBACK, None);
    let fields = [("grant_type", "authorization_code"), ("code", code.as_str()), ("redirect_uri", CALLBACK)];
    json(&token(provider, SECRET, &fields).await)
}

async fn get(provider: &IdentityProvider, endpoint: Endpoint, access_token: &Value) -> Response<Bytes> {
    let bearer = format!("Bearer {}", text(access_token));
    let request = Request::get(provider.endpoint_url(endpoint)).header("user-agent", "test");
    send(provider, request.header("authorization", bearer), "").await
}

fn json(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).expect("JSON")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

/// The status and the members `error` and `error_description`.
fn error(response: &Response<Bytes>) -> (u16, String, String) {
    let body = json(response);
    (response.status().as_u16(), text(&body["error"]).to_owned(), text(&body["error_description"]).to_owned())
}

fn expected(status: u16, error: &str, description: &str) -> (u16, String, String) {
    (status, error.to_owned(), description.to_owned())
}

#[tokio::test]
async fn keycloak_says_why_and_keeps_roles_in_the_access_token() {
    let clock = TestClock::new();
    let provider = IdentityProvider::of(Vendor::Keycloak).with_clock(Arc::new(clock.clone()));
    assert!(provider.endpoint_url(Endpoint::Token).ends_with("/realms/test/protocol/openid-connect/token"));
    let profile = json!({"realm_access": {"roles": ["admin"]}});
    provider.set_user("alice", profile.as_object().cloned().expect("an object"));

    let tokens = login(&provider, "openid email").await;
    assert_eq!((&tokens["expires_in"], &tokens["refresh_expires_in"]), (&json!(300), &json!(1800)));
    assert_eq!(login(&provider, "openid offline_access").await["refresh_expires_in"], 0);
    let claims =
        jsonwebtoken::dangerous::insecure_decode::<Value>(text(&tokens["access_token"])).expect("a JWT").claims;
    assert_eq!(claims["realm_access"]["roles"], json!(["admin"]));
    let user = get(&provider, Endpoint::UserInfo, &tokens["access_token"]).await;
    assert_eq!((user.status().as_u16(), json(&user).get("realm_access")), (200, None));

    let without_openid = login(&provider, "email").await;
    let refused = get(&provider, Endpoint::UserInfo, &without_openid["access_token"]).await;
    assert_eq!(error(&refused), expected(403, "insufficient_scope", "Missing openid scope"));
    let missing = send(&provider, Request::get(provider.endpoint_url(Endpoint::UserInfo)), "").await;
    assert_eq!(missing.status(), 400);

    let request = Request::post(provider.endpoint_url(Endpoint::Revocation)).header("authorization", BASIC);
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let revoked = form(&[("token", text(&without_openid["access_token"]))]);
    assert_eq!(send(&provider, request, revoked).await.status(), 200);
    let dead = get(&provider, Endpoint::UserInfo, &without_openid["access_token"]).await;
    assert_eq!(dead.status(), 401);
    assert!(provider.is_refreshable(text(&without_openid["refresh_token"])), "an access token ends alone");

    let first = text(&tokens["refresh_token"]);
    assert_ne!(json(&refresh(&provider, first).await)["refresh_token"], first);
    assert_eq!(refresh(&provider, first).await.status(), 200, "refresh tokens may be used again");
    provider.set_token_policy(Vendor::Keycloak.token_policy().with_reuse_leeway(Duration::ZERO));
    let reused = refresh(&provider, first).await;
    assert_eq!(error(&reused), expected(400, "invalid_grant", "Maximum allowed refresh token reuse exceeded"));
    assert_eq!(error(&refresh(&provider, first).await), expected(400, "invalid_grant", "Session not active"));
    let dead = get(&provider, Endpoint::UserInfo, &tokens["access_token"]).await;
    assert!(dead.headers()["www-authenticate"].to_str().expect("ASCII").contains("error=\"invalid_token\""));
    clock.advance(SECOND * 1800);
    let expired = refresh(&provider, text(&without_openid["refresh_token"])).await;
    assert_eq!(error(&expired), expected(400, "invalid_grant", "Token is not active"));
}

#[tokio::test]
async fn google_does_not_name_the_refresh_token_again() {
    let provider = IdentityProvider::of(Vendor::Google);
    let tokens = login(&provider, "openid").await;
    let refresh_token = text(&tokens["refresh_token"]);
    for _ in 0..2 {
        let refreshed = json(&refresh(&provider, refresh_token).await);
        assert_eq!((&refreshed["expires_in"], refreshed.get("refresh_token")), (&json!(3599), None));
    }
    assert_eq!(json(&get(&provider, Endpoint::UserInfo, &tokens["access_token"]).await)["email_verified"], true);
    let revoke = format!("{}?token={}", provider.endpoint_url(Endpoint::Revocation), text(&tokens["access_token"]));
    assert_eq!(send(&provider, Request::post(&revoke), "").await.status(), 200);
    assert_eq!(send(&provider, Request::post(&revoke), "").await.status(), 400);
    let dead = refresh(&provider, refresh_token).await;
    assert_eq!(error(&dead), expected(400, "invalid_grant", "Token has been expired or revoked."));
    let dead = get(&provider, Endpoint::UserInfo, &tokens["access_token"]).await;
    assert_eq!(error(&dead), expected(401, "invalid_request", "Invalid Credentials"));
}

#[tokio::test]
async fn github_answers_errors_with_200_and_forms_unless_asked_for_json() {
    let provider = IdentityProvider::of(Vendor::GitHub);
    let tokens = login(&provider, "repo").await;
    assert_eq!((&tokens["token_type"], &tokens["scope"]), (&json!("bearer"), &json!("")));
    assert_eq!((&tokens["expires_in"], &tokens["refresh_token_expires_in"]), (&json!(28800), &json!(15_811_200)));
    let first = text(&tokens["refresh_token"]);
    assert!(text(&tokens["access_token"]).starts_with("ghu_") && first.starts_with("ghr_"));

    let newer = json(&refresh(&provider, first).await);
    assert_eq!(get(&provider, Endpoint::GitHubUser, &tokens["access_token"]).await.status(), 401, "killed");
    let dead = refresh(&provider, first).await;
    let description = "The refresh token passed is incorrect or expired.";
    assert_eq!(error(&dead), expected(200, "bad_refresh_token", description));
    assert!(provider.is_refreshable(text(&newer["refresh_token"])), "its reuse ends nothing");

    let request = Request::post(provider.endpoint_url(Endpoint::Token));
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let credentials = [("client_id", IdentityProvider::CLIENT_ID), ("client_secret", "wrong")];
    let refused =
        send(&provider, request, form(&[&credentials[..], &[("grant_type", "refresh_token")]].concat())).await;
    assert!(refused.body().starts_with(b"error=incorrect_client_credentials&"), "{:?}", refused.body());

    let user = json(&get(&provider, Endpoint::GitHubUser, &newer["access_token"]).await);
    assert_eq!((user["id"].is_u64(), &user["email"]), (true, &Value::Null));
    let emails = json(&get(&provider, Endpoint::GitHubEmails, &newer["access_token"]).await);
    assert_eq!((&emails[1]["primary"], &emails[1]["email"]), (&json!(true), &json!("alice@example.test")));
    let nameless = Request::get(provider.endpoint_url(Endpoint::GitHubUser));
    assert_eq!(send(&provider, nameless, "").await.status(), 403, "without a User-Agent");

    let revoke = || {
        let request = Request::delete(provider.endpoint_url(Endpoint::Revocation)).header("authorization", BASIC);
        send(
            &provider,
            request.header("user-agent", "test"),
            json!({"access_token": newer["access_token"]}).to_string(),
        )
    };
    assert_eq!((revoke().await.status().as_u16(), revoke().await.status().as_u16()), (204, 404));
    assert!(!provider.is_refreshable(text(&newer["refresh_token"])));

    provider.set_token_policy(TokenPolicy::new().without_refresh_tokens().without_access_token_expiry());
    let app = login(&provider, "repo user:email").await;
    assert_eq!((&app["scope"], app.get("refresh_token")), (&json!("repo,user:email"), None));
    assert!(text(&app["access_token"]).starts_with("gho_") && app.get("expires_in").is_none());
}

#[tokio::test]
async fn atlassian_takes_json_refuses_with_403_and_forgives_for_ten_minutes() {
    let clock = TestClock::new();
    let provider = IdentityProvider::of(Vendor::Atlassian).with_clock(Arc::new(clock.clone()));
    let refresh_by_json = async |refresh_token: &str, secret: &str| {
        let body = json!({
            "grant_type": "refresh_token", "client_id": IdentityProvider::CLIENT_ID, "client_secret": secret,
            "refresh_token": refresh_token,
        });
        let request = Request::post(provider.endpoint_url(Endpoint::Token)).header("content-type", "application/json");
        send(&provider, request, body.to_string()).await
    };
    assert_eq!(provider.issue_grant("alice", "read:me").refresh_token, "", "not without offline_access");
    let grant = provider.issue_grant("alice", "read:me offline_access");
    assert_eq!(refresh(&provider, &grant.refresh_token).await.status(), 400, "a form");
    let refused = refresh_by_json(&grant.refresh_token, "wrong").await;
    assert_eq!(error(&refused), expected(401, "access_denied", "Unauthorized"));

    let tokens = json(&refresh_by_json(&grant.refresh_token, SECRET).await);
    assert_eq!((&tokens["expires_in"], tokens.get("refresh_expires_in")), (&json!(3600), None));
    assert!(jsonwebtoken::decode_header(text(&tokens["access_token"])).is_ok());
    clock.advance(SECOND * 599);
    assert_eq!(refresh_by_json(&grant.refresh_token, SECRET).await.status(), 200);
    let me = json(&get(&provider, Endpoint::UserInfo, &tokens["access_token"]).await);
    assert_eq!((&me["account_id"], me.get("sub")), (&json!("alice"), None));
    let sites = json(&get(&provider, Endpoint::AtlassianSites, &tokens["access_token"]).await);
    assert_eq!(sites[0]["scopes"], json!(["read:me", "offline_access"]));
    let without = provider.issue_grant("alice", "offline_access");
    assert_eq!(get(&provider, Endpoint::UserInfo, &json!(without.access_token)).await.status(), 403);

    clock.advance(SECOND);
    for refresh_token in [grant.refresh_token.as_str(), text(&tokens["refresh_token"])] {
        let dead = refresh_by_json(refresh_token, SECRET).await;
        assert_eq!(error(&dead), expected(403, "invalid_grant", "Unknown or invalid refresh token."));
    }
    assert_eq!(get(&provider, Endpoint::UserInfo, &tokens["access_token"]).await.status(), 401);
}

#[tokio::test]
async fn salesforce_tells_the_expiry_by_introspection_only() {
    let provider = IdentityProvider::of(Vendor::Salesforce);
    let tokens = login(&provider, "api refresh_token openid").await;
    assert!(tokens.get("expires_in").is_none() && text(&tokens["access_token"]).contains('!'));
    assert_eq!(tokens["instance_url"], IdentityProvider::ISSUER);
    assert!(text(&tokens["issued_at"]).parse::<u64>().expect("milliseconds") > 1_700_000_000_000);
    let user = json(&get(&provider, Endpoint::UserInfo, &tokens["access_token"]).await);
    assert_eq!(user["sub"], tokens["id"]);
    assert!(user.get("username").is_none() && text(&tokens["id"]).ends_with(text(&user["user_id"])));

    let introspect = Request::post(provider.endpoint_url(Endpoint::Introspection)).header("authorization", BASIC);
    let answer = json(&send(&provider, introspect, form(&[("token", text(&tokens["access_token"]))])).await);
    assert_eq!(answer["exp"].as_u64().expect("exp") - answer["iat"].as_u64().expect("iat"), 7200);

    let wrong = token(&provider, "wrong", &[("grant_type", "refresh_token")]).await;
    assert_eq!(error(&wrong), expected(400, "invalid_client", "invalid client credentials"));
    let dead = refresh(&provider, "unknown").await;
    assert_eq!(error(&dead), expected(400, "invalid_grant", "expired access/refresh token"));

    let revoke = async |token: &Value| {
        let request = Request::post(provider.endpoint_url(Endpoint::Revocation));
        send(&provider, request, form(&[("token", text(token))])).await.status().as_u16()
    };
    assert_eq!(revoke(&tokens["access_token"]).await, 200);
    let dead = get(&provider, Endpoint::UserInfo, &tokens["access_token"]).await;
    assert_eq!((dead.status().as_u16(), dead.body().as_ref()), (403, &b"Bad_OAuth_Token"[..]));
    assert!(provider.is_refreshable(text(&tokens["refresh_token"])));
    assert_eq!((revoke(&tokens["refresh_token"]).await, revoke(&tokens["refresh_token"]).await), (200, 400));
}

#[tokio::test]
async fn every_class_of_error_can_be_switched_on() {
    use ErrorClass::{AccessTokenDead, ClientRefused, Forbidden, RateLimited, RefreshTokenDead};
    for (vendor, statuses) in [
        (Vendor::Keycloak, [401, 403, 400, 401, 429]),
        (Vendor::Google, [401, 403, 400, 401, 429]),
        (Vendor::GitHub, [401, 403, 200, 200, 403]),
        (Vendor::Atlassian, [401, 403, 403, 401, 429]),
        (Vendor::Salesforce, [403, 403, 400, 400, 429]),
    ] {
        let provider = IdentityProvider::of(vendor);
        for (class, status) in
            [AccessTokenDead, Forbidden, RefreshTokenDead, ClientRefused, RateLimited].into_iter().zip(statuses)
        {
            provider.set_fault(Endpoint::Token, vendor.fault(class).times(1));
            let response = refresh(&provider, "any").await;
            assert_eq!(response.status(), status, "{vendor:?} {class:?}");
            assert_eq!(response.headers().contains_key("retry-after"), class == RateLimited, "{vendor:?} {class:?}");
            assert!(response.headers().contains_key(CONTENT_TYPE));
        }
    }
}

#[tokio::test]
async fn on_a_socket_a_vendor_is_where_its_metadata_says() {
    let egress = Egress::new(EgressConfig::new().with_loopback_allowed()).expect("TLS");
    for (vendor, path) in [(Vendor::Keycloak, "/realms/test"), (Vendor::Google, ""), (Vendor::Salesforce, "")] {
        let provider = IdentityProvider::of(vendor);
        let running = provider.serve().await.expect("a port");
        assert_eq!(provider.issuer(), format!("{}{path}", running.url()));
        let request = Request::get(provider.endpoint_url(Endpoint::OpenIdConfiguration)).body(Bytes::new());
        let metadata = json(&egress.clone().oneshot(request.expect("request")).await.expect("a response"));
        assert_eq!(metadata["issuer"], provider.issuer());
        assert_eq!(metadata["token_endpoint"], provider.endpoint_url(Endpoint::Token));
        let grant = provider.issue_grant("alice", "openid");
        let bearer = format!("Bearer {}", grant.access_token);
        let request = Request::get(text(&metadata["userinfo_endpoint"])).header("authorization", bearer);
        let user = egress.clone().oneshot(request.body(Bytes::new()).expect("request")).await.expect("a response");
        assert_eq!(user.status(), 200, "{vendor:?}");
    }
}
