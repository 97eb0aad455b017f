//! The introspection endpoint.

use http::Request;
use serde_json::{Value, json};

use crate::fixture::{Fixture, ISSUER, RESOURCE, SERVER};

/// Introspects `token` with these credentials.
async fn introspect(fixture: &Fixture, credentials: &str, token: &str) -> (u16, Value) {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    let authorization = format!("Basic {}", BASE64_STANDARD.encode(credentials));
    let request = Request::post(format!("{ISSUER}/introspect"))
        .header("authorization", authorization)
        .header("content-type", "application/x-www-form-urlencoded");
    let response = fixture.send(request, &format!("token={token}&token_type_hint=refresh_token")).await;
    assert_eq!(response.headers()["cache-control"], "no-store");
    (response.status().as_u16(), serde_json::from_slice(response.body()).expect("JSON"))
}

#[tokio::test(start_paused = true)]
async fn introspection_describes_a_token_for_the_resource_of_the_caller() {
    let fixture = Fixture::new().await;
    let began = fixture.now();
    let answer = fixture.asserted().await;
    let (status, found) = introspect(&fixture, "here:secret of here", answer.access_token()).await;
    let expected = json!({
        "active": true,
        "iss": ISSUER,
        "sub": "https://idp.example.test#alice",
        "aud": RESOURCE,
        "client_id": SERVER,
        "scope": "mcp:read",
        "iat": began,
        "exp": began + 600,
        "token_type": "Bearer",
    });
    assert_eq!((status, found), (200, expected));
}

#[tokio::test(start_paused = true)]
async fn other_tokens_are_inactive() {
    let fixture = Fixture::new().await;
    let answer = fixture.asserted().await;
    let token = answer.access_token();
    let inactive = (200, json!({"active": false}));
    assert_eq!(introspect(&fixture, "reports:secret of reports", token).await, inactive, "for another resource");
    let of_the_provider = fixture.idp.token("alice").with_audience(RESOURCE).jwt();
    let mut damaged = token.to_owned();
    damaged.replace_range(60..61, if &token[60..61] == "A" { "B" } else { "A" });
    for other in [
        "x",
        "pcat_",
        &damaged,
        &of_the_provider,
        "%20",
        "pcrt_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    ] {
        assert_eq!(introspect(&fixture, "here:secret of here", other).await, inactive, "{other}");
    }
    fixture.pass(600);
    assert_eq!(introspect(&fixture, "here:secret of here", token).await, inactive, "expired");
}

#[tokio::test(start_paused = true)]
async fn introspection_requires_a_resource_server() {
    let fixture = Fixture::new().await;
    let answer = fixture.asserted().await;
    for credentials in [
        "here:wrong",
        "wrong:secret of here",
        "here:secret of reports",
        "reports:",
        ":",
        "server:the secret of the server",
    ] {
        let (status, found) = introspect(&fixture, credentials, answer.access_token()).await;
        assert_eq!((status, &found["error"]), (401, &json!("invalid_client")), "{credentials}");
    }
    let request =
        Request::post(format!("{ISSUER}/introspect")).header("content-type", "application/x-www-form-urlencoded");
    let response = fixture.send(request, &format!("token={}", answer.access_token())).await;
    assert_eq!(response.status(), 401);
    assert!(response.headers()["www-authenticate"].to_str().expect("text").starts_with("Basic"));
}

#[tokio::test(start_paused = true)]
async fn a_token_whose_grant_has_ended_is_inactive() {
    let fixture = Fixture::new().await;
    let answer = fixture.log_in().await;
    let user = fixture.verify(answer.access_token()).await.expect("a user");
    assert_eq!(introspect(&fixture, "here:secret of here", answer.access_token()).await.1["active"], true);
    let token = user.upstream().access_token().await.expect("a token");
    fixture.idp.revoke_grant("alice");
    user.upstream().rejected(&token).await.expect_err("revoked there");
    assert_eq!(introspect(&fixture, "here:secret of here", answer.access_token()).await.1, json!({"active": false}));
}
