//! Warnings about tokens that can never be accepted.

use std::{sync::Arc, time::Duration};

use portcullis_core::{BearerToken, Issuer, Reason, ResourceUri, UserContext};
use portcullis_oauth::jwt::{Algorithm, JwtPolicy, KeySet};
use portcullis_test_support::LogCapture;
use portcullis_verify::{IssuerRouter, JwtVerifier};
use serde_json::json;
use tokio::time::advance;
use tower::ServiceExt as _;

use super::{
    issuer::StandingClock,
    signing::{ATTACKER, ISSUER, NOW, P256, RESOURCE, RSA, encode, jwks},
};

fn router() -> IssuerRouter {
    let issuer = Issuer::new(ISSUER).expect("issuer");
    let policy = JwtPolicy::new(issuer.clone(), ResourceUri::new(RESOURCE).expect("resource"))
        .with_algorithms([Algorithm::Rs256]);
    let keys = KeySet::parse(jwks(&[&RSA]).to_string().as_bytes()).expect("keys");
    let verifier = JwtVerifier::new(policy, keys).with_clock(Arc::new(StandingClock));
    IssuerRouter::builder().with_issuer(issuer, verifier).build().expect("router")
}

async fn verify(router: &IssuerRouter, token: &str) -> Result<Arc<UserContext>, Reason> {
    router.clone().oneshot(BearerToken::new(token).expect("token")).await.map_err(|error| error.reason())
}

#[tokio::test(start_paused = true)]
async fn the_first_token_of_each_kind_is_a_warning_with_both_values_and_the_key_to_set() {
    let with = |name: &'static str, value: serde_json::Value| RSA.token(|_, claims| claims[name] = value);
    let without =
        |name: &'static str| RSA.token(|_, claims| drop(claims.as_object_mut().expect("claims").remove(name)));
    for (token, reason, parts) in [
        (
            RSA.token(|header, _| header["typ"] = "JWT".into()),
            Reason::WrongType,
            ["\"JWT\"", "at+jwt", "`token_types`"],
        ),
        (with("aud", json!(["api://x"])), Reason::WrongAudience, ["api://x", RESOURCE, "`audience`"]),
        (without("aud"), Reason::MissingClaim, ["its client is \"client\"", "`audience_claim`", "`allowed_clients`"]),
        (
            with("iss", json!("https://other.example")),
            Reason::UnknownIssuer,
            ["https://other.example", ISSUER, "`issuer`"],
        ),
        (without("sub"), Reason::NoSubject, ["`sub` is absent", "\"client_id\"", "`subject_claim`"]),
        (with("cnf", json!({"jkt": "x"})), Reason::KeyBound, ["`cnf`", "DPoP", "bearer tokens"]),
        (P256.token(|_, _| ()), Reason::AlgorithmRefused, ["\"ES256\"", "RS256", "`algorithms`"]),
        (
            RSA.token(|header, _| header["alg"] = "HS256".into()),
            Reason::AlgorithmRefused,
            ["\"HS256\"", "RS256", "asymmetric"],
        ),
        (RSA.token(|header, _| header["jku"] = "x".into()), Reason::EmbeddedKey, ["`jwk`", "`jku`", "not trusted"]),
        (
            RSA.token(|header, _| header["crit"] = json!(["x"])),
            Reason::CriticalHeader,
            ["`crit`", "extension", "none is supported"],
        ),
        (
            format!("{}.a.b.c.d", encode("{\"alg\":\"dir\"}")),
            Reason::EncryptedToken,
            ["five parts", "JWE", "sign it only"],
        ),
        ("gho_planted".to_owned(), Reason::MalformedToken, ["not a JWT", "no issuer of opaque tokens", "`verify ="]),
    ] {
        let log = LogCapture::of_this_thread();
        let router = router();
        for _ in 0..3 {
            assert_eq!(verify(&router, &token).await.expect_err("refused"), reason);
        }
        let lines = log.lines("WARN");
        assert_eq!(lines.len(), 1, "{reason}: {}", log.text());
        let is_told = |part: &&str| lines[0].contains(*part);
        assert!(
            lines[0].contains(&format!("reason=\"{reason}\"")) && parts.iter().all(is_told),
            "{parts:?}: {}",
            lines[0]
        );
        let secret = token.split('.').next_back().expect("a part");
        assert!(!lines[0].contains(&token) && (secret.len() < 3 || !lines[0].contains(secret)), "{}", lines[0]);
    }
}

#[tokio::test(start_paused = true)]
async fn one_warning_in_ten_minutes_for_each_issuer_and_reason() {
    let log = LogCapture::of_this_thread();
    let router = router();
    let foreign = RSA.token(|_, claims| claims["aud"] = "https://other.example".into());
    let untyped = RSA.token(|header, _| header["typ"] = "JWT".into());
    for _ in 0..100 {
        assert!(verify(&router, &foreign).await.is_err() && verify(&router, &untyped).await.is_err());
    }
    assert_eq!(log.lines("WARN").len(), 2, "{}", log.text());
    advance(Duration::from_secs(599)).await;
    assert!(verify(&router, &foreign).await.is_err());
    assert_eq!(log.lines("WARN").len(), 2);
    advance(Duration::from_secs(2)).await;
    assert!(verify(&router, &foreign).await.is_err());
    assert_eq!(log.lines("WARN").len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_one_token_alone_is_no_warning() {
    let log = LogCapture::of_this_thread();
    let router = router();
    for token in [
        RSA.token(|_, claims| claims["exp"] = (NOW.as_secs() - 3600).into()),
        ATTACKER.token(|_, _| ()),
        RSA.token(|header, _| header["kid"] = "unknown".into()),
    ] {
        assert!(verify(&router, &token).await.is_err());
    }
    verify(&router, &RSA.token(|_, _| ())).await.expect("accepted");
    assert!(log.lines("WARN").is_empty(), "{}", log.text());
}

#[tokio::test(start_paused = true)]
async fn invented_issuers_do_not_flood_the_log_and_cannot_break_a_line() {
    let log = LogCapture::of_this_thread();
    let router = router();
    for n in 0..1000 {
        let issuer = format!("https://{n}.example/\nERROR forged {}", "x".repeat(1000));
        let token = RSA.token(|_, claims| claims["iss"] = issuer.into());
        assert_eq!(verify(&router, &token).await.expect_err("unknown"), Reason::UnknownIssuer);
    }
    let lines = log.lines("WARN");
    assert_eq!(lines.len(), 10, "{}", log.text());
    assert!(lines.iter().all(|line| line.len() < 1000) && log.errors() == 0, "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn claims_that_the_issuer_omits_are_one_warning() {
    let log = LogCapture::of_this_thread();
    let router = router();
    let token = RSA.token(|_, claims| {
        claims["_claim_names"] = json!({"groups": "src1"});
        claims["_claim_sources"] = json!({"src1": {"endpoint": "https://graph.example/getMemberObjects"}});
    });
    for _ in 0..3 {
        verify(&router, &token).await.expect("accepted");
    }
    let lines = log.lines("groups overage");
    assert!(lines.len() == 1 && lines[0].contains("claims=[\"groups\"]"), "{}", log.text());
}
