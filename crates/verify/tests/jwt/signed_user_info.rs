//! Signed responses of the UserInfo endpoint.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use portcullis_core::{AuthError, Issuer, Reason};
use portcullis_egress::Egress;
use portcullis_verify::UserInfoEndpoint;
use serde_json::{Value, json};

use super::signing::{ATTACKER, ISSUER, RSA, bearer, jwks};

/// Returns the e-mail address of the profile in the response `body` to a request for UserInfo.
async fn email(content_type: &'static str, body: String) -> Result<Option<String>, AuthError> {
    let egress = Egress::from_service(tower::service_fn(move |request: Request<Bytes>| {
        let (content_type, body) = match request.uri().path() {
            "/userinfo" => (content_type, body.clone()),
            "/keys" => ("application/json", jwks(&[&RSA]).to_string()),
            _ => {
                let of = |name: &str| format!("https://idp.example.com/{name}");
                let metadata = json!({"issuer": ISSUER, "jwks_uri": of("keys"), "userinfo_endpoint": of("userinfo")});
                ("application/json", metadata.to_string())
            }
        };
        let response = Response::builder().header("content-type", content_type).body(Bytes::from(body));
        async { Ok::<_, Infallible>(response.expect("response")) }
    }));
    let endpoint = UserInfoEndpoint::new(Issuer::new(ISSUER).expect("issuer"), egress);
    let profile = endpoint.profile(&bearer("opaque")).await?;
    assert_eq!(profile.subject(), "alice");
    Ok(profile.text("email").map(str::to_owned))
}

fn header(change: &Value) -> String {
    let mut header = json!({"alg": "RS256", "kid": "rsa"});
    header.as_object_mut().expect("header").extend(change.as_object().cloned().expect("change"));
    header.to_string()
}

fn claims(issuer: &str) -> String {
    json!({"iss": issuer, "aud": "client", "sub": "alice", "email": "alice@example.com"}).to_string()
}

#[tokio::test(start_paused = true)]
async fn a_signed_profile_is_verified_by_the_keys_of_the_issuer() {
    for typ in [json!({}), json!({"typ": "JWT"})] {
        let signed = RSA.raw_token(header(&typ).as_bytes(), claims(ISSUER).as_bytes());
        for content_type in ["application/jwt", "Application/JWT; charset=utf-8"] {
            assert_eq!(
                email(content_type, signed.clone()).await.expect("profile").as_deref(),
                Some("alice@example.com")
            );
        }
    }
    assert_eq!(email("application/json", claims(ISSUER)).await.expect("plain").as_deref(), Some("alice@example.com"));
}

#[tokio::test(start_paused = true)]
async fn a_signed_profile_that_cannot_be_verified_is_the_providers_fault() {
    let sign = |header: String, claims: String| RSA.raw_token(header.as_bytes(), claims.as_bytes());
    for (body, problem) in [
        (ATTACKER.raw_token(header(&json!({})).as_bytes(), claims(ISSUER).as_bytes()), "bad_signature"),
        (sign(header(&json!({"alg": "HS256"})), claims(ISSUER)), "algorithm_refused"),
        (sign(header(&json!({"alg": "none"})), claims(ISSUER)), "algorithm_refused"),
        (sign(header(&json!({"typ": "at+jwt"})), claims(ISSUER)), "wrong_type"),
        (sign(header(&json!({})), claims("https://other.example")), "https://other.example"),
        (sign(header(&json!({})), json!({"iss": ISSUER}).to_string()), "sub"),
        ("a.b.c.d.e".to_owned(), "encrypted_token"),
        ("not a jwt".to_owned(), "malformed_token"),
    ] {
        let error = email("application/jwt", body).await.expect_err(problem);
        assert_eq!(error.reason(), Reason::ProviderMisbehaved, "{problem}");
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        assert!(source.contains(problem), "{source}");
    }
}
