//! The token endpoint: codes, refresh tokens and their families, as `oidc-provider` treats them.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use portcullis_testkit::{Endpoint, IdentityProvider, TestClock, TokenPolicy};
use serde_json::{Value, json};
use tower::ServiceExt;

const BASIC: &str = "Basic cmVzb3VyY2Utc2VydmVyOnJlc291cmNlLXNlcnZlci1zZWNyZXQ=";
const FORM: &str = "application/x-www-form-urlencoded";
const SECOND: Duration = Duration::from_secs(1);
const CALLBACK: &str = "https://mcp.example.test/callback";
/// The example of RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

async fn post(provider: &IdentityProvider, path: &str, form: &str) -> Response<Bytes> {
    let request = Request::post(provider.url(path)).header("authorization", BASIC).header("content-type", FORM);
    let request = request.body(Bytes::copy_from_slice(form.as_bytes())).expect("request");
    provider.clone().oneshot(request).await.expect("a response")
}

fn answer(response: &Response<Bytes>) -> (u16, Value) {
    assert_eq!(response.headers()["cache-control"], "no-store");
    (response.status().as_u16(), serde_json::from_slice(response.body()).expect("JSON"))
}

async fn refresh(provider: &IdentityProvider, refresh_token: &str) -> Result<Value, Value> {
    match answer(&post(provider, "/token", &format!("grant_type=refresh_token&refresh_token={refresh_token}")).await) {
        (200, tokens) => Ok(tokens),
        (_, error) => Err(error["error"].clone()),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

async fn user_info(provider: &IdentityProvider, access_token: &Value) -> u16 {
    let request = Request::get(provider.url("/userinfo"));
    let request = request.header("authorization", format!("Bearer {}", text(access_token)));
    provider.clone().oneshot(request.body(Bytes::new()).expect("request")).await.expect("a response").status().as_u16()
}

#[tokio::test]
async fn a_code_brings_tokens_once_and_the_second_time_the_end_of_the_grant() {
    let provider = IdentityProvider::new();
    let code = provider.issue_code("alice", "openid mcp:read", CALLBACK, Some(CHALLENGE));
    let form = format!(
        "grant_type=authorization_code&code={code}&redirect_uri={CALLBACK}&code_verifier={VERIFIER}&\
         client_id=resource-server&client_secret=resource-server-secret"
    );
    let posted = Request::post(provider.url("/token")).header("content-type", FORM);
    let posted = posted.body(Bytes::from(form)).expect("request");
    let (status, tokens) = answer(&provider.clone().oneshot(posted).await.expect("a response"));
    assert_eq!(status, 200);
    assert_eq!((&tokens["token_type"], &tokens["expires_in"]), (&json!("Bearer"), &json!(600)));
    assert_eq!(tokens["scope"], "openid mcp:read");
    assert_eq!(user_info(&provider, &tokens["access_token"]).await, 200);

    let form = format!("grant_type=authorization_code&code={code}&redirect_uri={CALLBACK}&code_verifier={VERIFIER}");
    assert_eq!(answer(&post(&provider, "/token", &form).await).1["error"], "invalid_grant");
    assert_eq!(user_info(&provider, &tokens["access_token"]).await, 401);
    assert_eq!(provider.families_killed(), 1);
}

#[tokio::test]
async fn a_code_needs_its_verifier_its_redirect_uri_and_its_minute() {
    let clock = TestClock::new();
    let provider = IdentityProvider::new().with_clock(Arc::new(clock.clone()));
    let redeem = async |challenge: Option<&str>, rest: &str| {
        let code = provider.issue_code("alice", "openid", CALLBACK, challenge);
        clock.advance(if rest.ends_with("late=1") { SECOND * 60 } else { SECOND * 59 });
        answer(&post(&provider, "/token", &format!("grant_type=authorization_code&code={code}&{rest}")).await).0
    };
    let good = format!("redirect_uri={CALLBACK}&code_verifier={VERIFIER}");
    assert_eq!(redeem(Some(CHALLENGE), &good).await, 200);
    assert_eq!(redeem(None, &format!("redirect_uri={CALLBACK}")).await, 200);
    assert_eq!(redeem(None, &good).await, 400, "a verifier for nothing");
    for bad in [
        format!("redirect_uri={CALLBACK}"),
        format!("redirect_uri={CALLBACK}&code_verifier={CHALLENGE}"),
        format!("redirect_uri={CALLBACK}/&code_verifier={VERIFIER}"),
        format!("code_verifier={VERIFIER}"),
        format!("{good}&late=1"),
    ] {
        assert_eq!(redeem(Some(CHALLENGE), &bad).await, 400, "{bad}");
    }
}

#[tokio::test]
async fn a_refresh_token_rotates_and_its_reuse_ends_the_family() {
    let provider = IdentityProvider::new();
    let first = provider.issue_grant("alice", "openid");
    let other = provider.issue_grant("alice", "openid");
    let second = refresh(&provider, &first.refresh_token).await.expect("tokens");
    assert_ne!(second["refresh_token"], first.refresh_token.as_str());
    assert_eq!(user_info(&provider, &json!(first.access_token)).await, 200, "the old access token lives on");
    assert!(provider.is_refreshable(text(&second["refresh_token"])) && !provider.is_refreshable(&first.refresh_token));

    assert_eq!(refresh(&provider, &first.refresh_token).await, Err(json!("invalid_grant")));
    assert_eq!(refresh(&provider, text(&second["refresh_token"])).await, Err(json!("invalid_grant")));
    for dead in [&json!(first.access_token), &second["access_token"]] {
        assert_eq!(user_info(&provider, dead).await, 401);
    }
    assert_eq!(user_info(&provider, &json!(other.access_token)).await, 200, "another grant of the same user");
    assert_eq!((provider.rotations(), provider.families_killed(), provider.dead_calls()), (1, 1, 2));
    assert_eq!((provider.times_presented(&first.refresh_token), provider.most_times_presented()), (2, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_refreshes_at_once_one_rotates_and_the_other_is_reuse() {
    for _ in 0..50 {
        let provider = IdentityProvider::new();
        let token = provider.issue_grant("alice", "openid").refresh_token;
        let race = || {
            let (provider, token) = (provider.clone(), token.clone());
            tokio::spawn(async move { refresh(&provider, &token).await })
        };
        let (left, right) = (race(), race());
        let outcomes = [left.await.expect("no panic"), right.await.expect("no panic")];
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        assert_eq!((provider.rotations(), provider.families_killed()), (1, 1));
        let winner = outcomes.iter().flatten().next().expect("one");
        assert!(!provider.is_refreshable(text(&winner["refresh_token"])));
    }
}

#[tokio::test]
async fn a_policy_may_forgive_reuse_for_a_while_or_for_ever() {
    let clock = TestClock::new();
    let provider = IdentityProvider::new().with_clock(Arc::new(clock.clone()));
    provider.set_token_policy(TokenPolicy::new().with_reuse_leeway(SECOND * 600));
    let token = provider.issue_grant("alice", "openid").refresh_token;
    let second = refresh(&provider, &token).await.expect("tokens");
    clock.advance(SECOND * 599);
    let again = refresh(&provider, &token).await.expect("within the leeway");
    assert_ne!(again["refresh_token"], second["refresh_token"]);
    clock.advance(SECOND);
    assert_eq!(refresh(&provider, &token).await, Err(json!("invalid_grant")));
    assert_eq!(
        refresh(&provider, text(&again["refresh_token"])).await,
        Err(json!("invalid_grant")),
        "the family is dead"
    );

    provider.set_token_policy(TokenPolicy::new().without_reuse_detection());
    let token = provider.issue_grant("alice", "openid").refresh_token;
    let second = refresh(&provider, &token).await.expect("tokens");
    assert_eq!(refresh(&provider, &token).await, Err(json!("invalid_grant")));
    assert!(provider.is_refreshable(text(&second["refresh_token"])));
}

#[tokio::test]
async fn a_policy_says_what_a_response_tells() {
    let provider = IdentityProvider::new();
    let refreshed = async |policy: TokenPolicy| {
        let token = provider.issue_grant("alice", "openid mcp:read").refresh_token;
        provider.set_token_policy(policy);
        let first = refresh(&provider, &token).await.expect("tokens");
        (token, first)
    };
    let (token, tokens) = refreshed(TokenPolicy::new().without_rotation()).await;
    assert_eq!(tokens["refresh_token"], token.as_str());
    assert!(provider.is_refreshable(&token));

    let (token, tokens) = refreshed(TokenPolicy::new().with_refresh_token_omitted().without_expires_in()).await;
    assert!(tokens.get("refresh_token").is_none() && tokens.get("expires_in").is_none(), "{tokens}");
    assert!(refresh(&provider, &token).await.is_ok(), "it is still good");

    let policy = TokenPolicy::new().with_access_token_lifetime(SECOND * 20).with_refresh_token_lifetime(SECOND * 1800);
    let (_, tokens) = refreshed(policy).await;
    assert_eq!((&tokens["expires_in"], &tokens["refresh_expires_in"]), (&json!(20), &json!(1800)));

    let (_, tokens) = refreshed(TokenPolicy::new().with_refreshed_scope("openid").without_access_token_expiry()).await;
    assert_eq!((&tokens["scope"], tokens.get("expires_in")), (&json!("openid"), None));

    let (_, tokens) = refreshed(TokenPolicy::new().with_jwt_access_tokens()).await;
    let token = text(&tokens["access_token"]);
    assert_eq!(jsonwebtoken::decode_header(token).expect("a JWT").kid, Some(provider.signing_kid()));
    assert_eq!(user_info(&provider, &tokens["access_token"]).await, 200);
}

#[tokio::test]
async fn a_policy_may_leave_only_the_newest_access_token() {
    let provider = IdentityProvider::new();
    provider.set_token_policy(TokenPolicy::new().with_only_newest_access_token());
    let grant = provider.issue_grant("alice", "openid");
    let tokens = refresh(&provider, &grant.refresh_token).await.expect("tokens");
    assert_eq!(user_info(&provider, &json!(grant.access_token)).await, 401);
    assert_eq!(user_info(&provider, &tokens["access_token"]).await, 200);
}

#[tokio::test]
async fn tokens_expire_by_the_clock_of_the_provider() {
    let clock = TestClock::new();
    let provider = IdentityProvider::new().with_clock(Arc::new(clock.clone()));
    provider.set_token_policy(TokenPolicy::new().with_refresh_token_lifetime(SECOND * 1800).without_expires_in());
    let grant = provider.issue_grant("alice", "openid");
    clock.advance(SECOND * 600);
    assert_eq!(user_info(&provider, &json!(grant.access_token)).await, 401);
    clock.advance(SECOND * 1200);
    assert_eq!(refresh(&provider, &grant.refresh_token).await, Err(json!("invalid_grant")));
}

#[tokio::test]
async fn a_user_and_a_client_can_end_a_grant() {
    let provider = IdentityProvider::new();
    let (alice, bob) = (provider.issue_grant("alice", "openid"), provider.issue_grant("bob", "openid"));
    provider.revoke_grant("alice");
    assert_eq!(refresh(&provider, &alice.refresh_token).await, Err(json!("invalid_grant")));
    assert_eq!(user_info(&provider, &json!(alice.access_token)).await, 401);

    assert_eq!(post(&provider, "/revoke", &format!("token={}", bob.access_token)).await.status(), 200);
    assert_eq!(user_info(&provider, &json!(bob.access_token)).await, 401);
    assert_eq!(refresh(&provider, &bob.refresh_token).await, Err(json!("invalid_grant")), "the whole grant");
    let carol = provider.issue_grant("carol", "openid");
    assert_eq!(post(&provider, "/revoke", &format!("token={}", carol.refresh_token)).await.status(), 200);
    assert_eq!(user_info(&provider, &json!(carol.access_token)).await, 401);
    assert_eq!(post(&provider, "/revoke", "token=unknown").await.status(), 200);
    assert_eq!((provider.families_killed(), provider.calls(Endpoint::Revocation)), (0, 3));
}

#[tokio::test]
async fn requests_that_are_wrong_are_told_what_is_wrong() {
    let provider = IdentityProvider::new();
    let token = provider.issue_grant("alice", "openid").refresh_token;
    for (form, error) in [
        (format!("grant_type=refresh_token&refresh_token={token}&scope=openid+more"), "invalid_scope"),
        (format!("refresh_token={token}"), "invalid_request"),
        ("grant_type=refresh_token".to_owned(), "invalid_request"),
        (format!("grant_type=refresh_token&refresh_token={token}&refresh_token={token}"), "invalid_request"),
        (format!("grant_type=refresh_token&refresh_token={token}&client_id=x&client_secret=y"), "invalid_request"),
        ("grant_type=password".to_owned(), "unsupported_grant_type"),
    ] {
        let (status, body) = answer(&post(&provider, "/token", &form).await);
        assert_eq!((status, &body["error"]), (400, &json!(error)), "{form}");
    }
    provider.set_client("another", "another-secret");
    let form = format!("grant_type=refresh_token&refresh_token={token}&client_id=another&client_secret=");
    let posted = async |secret: &str, content_type: &str| {
        let request = Request::post(provider.url("/token")).header("content-type", content_type);
        let request = request.body(Bytes::from(format!("{form}{secret}"))).expect("request");
        let (status, body) = answer(&provider.clone().oneshot(request).await.expect("a response"));
        (status, body["error"].clone())
    };
    assert_eq!(posted("another-secret", FORM).await, (400, json!("invalid_grant")));
    assert_eq!(posted("wrong", FORM).await, (401, json!("invalid_client")));
    assert_eq!(posted("another-secret", "application/json").await, (400, json!("invalid_request")));
    let request = Request::post(provider.url("/token")).header("content-type", FORM).body(Bytes::from("grant_type=x"));
    let (status, body) = answer(&provider.clone().oneshot(request.expect("request")).await.expect("a response"));
    assert_eq!((status, &body["error"]), (400, &json!("invalid_request")));
    assert!(provider.is_refreshable(&token), "nothing of all that has used it up");
}
