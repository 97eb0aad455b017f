//! The requirements on challenges.

use std::{convert::Infallible, future::ready, sync::Arc};

use super::support::{Body, METADATA, Verifier, challenge, config, metadata, request, text, whoami};
use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use portcullis_core::{AuthError, AuthErrorKind, BearerToken, Reason, ScopeSet, UserContext};
use portcullis_layer::{Auth, AuthConfig, ResponseBody};
use tower::ServiceExt as _;

fn scopes(text: &str) -> ScopeSet {
    ScopeSet::parse(text).expect(text)
}

async fn send(request: Request<Body>) -> Response<ResponseBody<Body>> {
    let config = config(&Verifier::new())
        .with_required_scopes(scopes("mcp:use"))
        .with_challenge_scopes(scopes("mcp:use mcp:read offline_access"));
    Auth::new(tower::service_fn(whoami::<Body>), config).oneshot(request).await.expect("response")
}

fn with_credentials(values: &[&str]) -> Request<Body> {
    let request = values.iter().fold(Request::builder().uri("/mcp"), |r, value| r.header(AUTHORIZATION, *value));
    request.body(Body::default()).expect("request")
}

#[tokio::test]
async fn rs_03_every_challenge_has_the_url_of_the_metadata() {
    for request in
        [request("POST", ""), request("POST", "junk"), request("POST", "alice"), with_credentials(&["Bearer"])]
    {
        assert_eq!(challenge(&send(request).await).param("resource_metadata"), Some(METADATA));
    }
}

#[tokio::test]
async fn rs_04_the_first_challenge_names_the_scopes_to_ask_for() {
    assert_eq!(challenge(&send(request("POST", "")).await).param("scope"), Some("mcp:use mcp:read"));
    assert_eq!(challenge(&send(request("POST", "junk")).await).param("scope"), Some("mcp:use mcp:read"));
}

#[tokio::test]
async fn rs_05_a_challenge_may_name_other_scopes_than_the_metadata() {
    let supported = metadata().with_scopes_supported(&scopes("mcp:read"));
    let config = AuthConfig::new(supported, Verifier::new()).with_challenge_scopes(scopes("mcp:write"));
    let auth = Auth::new(tower::service_fn(whoami::<Body>), config);
    let rejected = auth.clone().oneshot(request("POST", "")).await.expect("response");
    assert_eq!(challenge(&rejected).param("scope"), Some("mcp:write"));
    let path = METADATA.strip_prefix("https://mcp.example.com").expect("same origin");
    let document = Request::builder().uri(path).body(Body::default()).expect("request");
    let (_, document) = text(auth.oneshot(document).await.expect("response")).await;
    let document: serde_json::Value = serde_json::from_str(&document).expect("json");
    assert_eq!(document["scopes_supported"], serde_json::json!(["mcp:read"]));
}

#[tokio::test]
async fn rs_06_a_challenge_is_the_same_each_time_and_has_the_order_of_the_configuration() {
    for _ in 0..3 {
        for request in [request("POST", ""), request("GET", "junk"), with_credentials(&["Bearer"])] {
            assert_eq!(challenge(&send(request).await).param("scope"), Some("mcp:use mcp:read"));
        }
    }
}

#[tokio::test]
async fn rs_11_a_failed_validation_is_answered_with_a_bearer_challenge() {
    let response = send(request("POST", "junk")).await;
    let challenge = challenge(&response);
    assert!(challenge.is_bearer());
    assert!(challenge.params().count() >= 1);
}

#[tokio::test]
async fn rs_12_an_invalid_token_gets_401() {
    assert_eq!(send(request("POST", "junk")).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn rs_16_offline_access_is_never_in_a_challenge() {
    for token in ["", "junk", "alice"] {
        let response = send(request("POST", token)).await;
        let header = response.headers()["www-authenticate"].to_str().expect("text").to_owned();
        assert!(!header.contains("offline_access"), "{header}");
    }
}

#[tokio::test]
async fn rs_17_the_status_depends_on_the_error() {
    assert_eq!(send(request("POST", "")).await.status(), 401);
    assert_eq!(send(request("POST", "junk")).await.status(), 401);
    assert_eq!(send(request("POST", "alice")).await.status(), 403);
    assert_eq!(send(with_credentials(&["Bearer a b"])).await.status(), 400);
    assert_eq!(send(request("POST", "alice.c.mcp-use")).await.status(), 200);
}

#[tokio::test]
async fn rs_18_the_challenge_for_a_missing_scope_has_all_needed_scopes() {
    let response = send(request("POST", "alice.c.other")).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    let challenge = challenge(&response);
    assert_eq!(challenge.param("error"), Some("insufficient_scope"));
    assert_eq!(challenge.param("scope"), Some("mcp:use"));
    assert_eq!(challenge.param("resource_metadata"), Some(METADATA));
}

#[tokio::test]
async fn rs_21_the_scopes_of_a_challenge_depend_on_the_operation_and_not_on_the_token() {
    let config = config(&Verifier::new()).with_required_scopes(scopes("mcp:use mcp:read"));
    let auth = Auth::new(tower::service_fn(whoami::<Body>), config);
    for token in ["alice", "alice.c.other", "alice.c.mcp-use", "bob.c.mcp-read~other"] {
        let response = auth.clone().oneshot(request("POST", token)).await.expect("response");
        assert_eq!(challenge(&response).param("scope"), Some("mcp:use mcp:read"), "{token}");
    }
}

#[tokio::test]
async fn rs_22_the_first_challenge_asks_for_what_is_configured_and_not_for_all_there_is() {
    let everything = metadata().with_scopes_supported(&scopes("mcp:use mcp:read mcp:write mcp:admin"));
    let config = AuthConfig::new(everything, Verifier::new()).with_required_scopes(scopes("mcp:use"));
    let auth = Auth::new(tower::service_fn(whoami::<Body>), config);
    let rejected = auth.oneshot(request("POST", "")).await.expect("response");
    assert_eq!(challenge(&rejected).param("scope"), Some("mcp:use"));
}

#[tokio::test]
async fn rs_40_the_scheme_is_never_bare() {
    let bare = Auth::new(tower::service_fn(whoami::<Body>), config(&Verifier::new()));
    for token in ["", "junk"] {
        let response = bare.clone().oneshot(request("GET", token)).await.expect("response");
        let header = response.headers()["www-authenticate"].to_str().expect("text").to_owned();
        assert!(header.starts_with("Bearer ") && header.contains('='), "{header}");
    }
}

#[tokio::test]
async fn rs_41_no_error_is_named_when_there_was_no_bearer_token() {
    for request in [request("POST", ""), with_credentials(&["Basic dXNlcjpwYXNz"]), with_credentials(&["DPoP abc"])] {
        let response = send(request).await;
        let challenge = challenge(&response);
        assert_eq!((challenge.param("error"), challenge.param("error_description")), (None, None));
        assert_eq!(text(response).await, (StatusCode::UNAUTHORIZED, String::new()));
    }
}

#[tokio::test]
async fn rs_42_an_error_is_named_when_a_token_failed() {
    assert_eq!(challenge(&send(request("POST", "junk")).await).param("error"), Some("invalid_token"));
}

#[tokio::test]
async fn rs_43_each_parameter_once_and_in_its_characters() {
    for token in ["", "junk", "alice"] {
        let challenge = challenge(&send(request("POST", token)).await);
        let names: std::collections::HashSet<_> = challenge.params().map(|(name, _)| name).collect();
        assert_eq!(names.len(), challenge.params().count());
        for (_, value) in challenge.params() {
            assert!(value.bytes().all(|b| matches!(b, b' '..=b'!' | b'#'..=b'[' | b']'..=b'~')), "{value}");
        }
    }
}

#[tokio::test]
async fn rs_45_a_token_in_the_query_is_not_looked_for() {
    let request = Request::builder().uri("/mcp?access_token=alice").body(Body::default()).expect("request");
    let response = send(request).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(challenge(&response).param("error"), None);
}

#[tokio::test]
async fn rs_46_what_cannot_be_read_is_400_with_a_json_body() {
    for values in [vec!["Bearer a", "Bearer a"], vec!["Bearer"], vec!["Bearer a,b"], vec!["Bearer a", "Basic b"]] {
        let response = send(with_credentials(&values)).await;
        assert_eq!(challenge(&response).param("error"), Some("invalid_request"), "{values:?}");
        let (status, body) = text(response).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        let body: serde_json::Value = serde_json::from_str(&body).expect("json");
        assert_eq!(body["error"], "invalid_request");
    }
}

#[tokio::test]
async fn an_outage_is_503_with_retry_after_and_never_a_challenge() {
    for (token, seconds) in [("down", "7"), ("mute", "5")] {
        let response = send(request("POST", token)).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()["retry-after"], seconds);
        assert!(!response.headers().contains_key("www-authenticate"));
        let (_, body) = text(response).await;
        assert!(!body.contains("10.0.0.7") && !body.contains("timeout"), "internals stay inside: {body}");
    }
}

#[tokio::test]
async fn rejections_are_not_stored_and_answers_to_one_user_are_private() {
    for token in ["", "junk", "alice", "down"] {
        assert_eq!(send(request("GET", token)).await.headers()["cache-control"], "no-store");
    }
    let granted = send(request("GET", "alice.c.mcp-use")).await;
    assert_eq!(granted.headers()["cache-control"], "private");
    assert!(!send(request("POST", "alice.c.mcp-use")).await.headers().contains_key("cache-control"));
}

#[tokio::test]
async fn tr_10_the_body_is_an_oauth_error_and_invents_no_json_rpc_code() {
    let (_, body) = text(send(request("POST", "junk")).await).await;
    let body: serde_json::Value = serde_json::from_str(&body).expect("json");
    assert_eq!(body["error"], "invalid_token");
    assert!(body.get("jsonrpc").is_none() && body.get("code").is_none());
}

#[tokio::test]
async fn tr_09_no_refusal_looks_like_an_old_transport() {
    // A client interprets 404, 405, and a 400 with an unknown body as an older server, and falls back.
    for reason in Reason::ALL {
        let refusing =
            tower::service_fn(move |_: BearerToken| ready(Err::<Arc<UserContext>, _>(AuthError::new(*reason))));
        let auth = Auth::new(tower::service_fn(whoami::<Body>), AuthConfig::new(metadata(), refusing));
        let (status, body) = text(auth.oneshot(request("POST", "alice")).await.expect("response")).await;
        let status = status.as_u16();
        assert!([400, 401, 403, 503].contains(&status), "{reason}: {status}");
        assert_eq!(status == 400, reason.kind() == AuthErrorKind::InvalidRequest, "{reason}");
        assert!(status != 400 || serde_json::from_str::<serde_json::Value>(&body).is_ok(), "{reason}: {body}");
    }
}

#[tokio::test]
async fn tr_16_404_is_the_servers_word_and_passes_as_it_is() {
    const UNKNOWN: &str = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found"}}"#;
    let inner = tower::service_fn(async |_: Request<Body>| {
        let mut response = Response::new(Body::from(UNKNOWN));
        *response.status_mut() = StatusCode::NOT_FOUND;
        Ok::<_, Infallible>(response)
    });
    let auth = Auth::new(inner, config(&Verifier::new()));
    let found = text(auth.clone().oneshot(request("POST", "alice")).await.expect("response")).await;
    assert_eq!(found, (StatusCode::NOT_FOUND, UNKNOWN.to_owned()));
    for token in ["", "junk", "down"] {
        let refused = auth.clone().oneshot(request("POST", token)).await.expect("response");
        assert_ne!(refused.status(), StatusCode::NOT_FOUND, "{token}");
    }
}
