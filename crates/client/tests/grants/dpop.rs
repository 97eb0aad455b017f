//! Proofs of possession, by a verifier of RFC 9449 section 4.3.

use std::{collections::BTreeSet, sync::Arc};

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::ThumbprintHash};
use portcullis_client::{DpopKey, GrantErrorKind};
use portcullis_core::{BearerToken, Clock as _};
use portcullis_oauth::{ClientAuthentication, TokenRequest, jwt::SigningKey};
use portcullis_store::{KeyRing, MemoryStore, SealedStore};
use portcullis_testkit::TestClock;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::server::{Server, URL, answer, tokens};

/// Verifies signature, header and key. Returns the claims and the thumbprint.
fn verified(proof: &HeaderValue) -> (Value, String) {
    assert!(proof.is_sensitive());
    let proof = proof.to_str().unwrap();
    let header = jsonwebtoken::decode_header(proof).unwrap();
    assert_eq!((header.typ.as_deref(), header.alg), (Some("dpop+jwt"), Algorithm::ES256));
    let jwk = header.jwk.unwrap();
    let written = BASE64_URL_SAFE_NO_PAD.decode(proof.split('.').next().unwrap()).unwrap();
    let written: Value = serde_json::from_slice(&written).unwrap();
    let members: Vec<_> = written["jwk"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["crv", "kty", "x", "y"], "no private part");
    let mut validation = Validation::new(Algorithm::ES256);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    let key = DecodingKey::from_jwk(&jwk).unwrap();
    let claims = jsonwebtoken::decode::<Value>(proof, &key, &validation).unwrap().claims;
    (claims, jwk.thumbprint(ThumbprintHash::SHA256).unwrap())
}

fn use_nonce(nonce: &'static str) -> http::Response<bytes::Bytes> {
    let mut response = answer(400, &json!({"error": "use_dpop_nonce"}));
    response.headers_mut().insert("dpop-nonce", HeaderValue::from_static(nonce));
    response
}

#[test]
fn a_proof_is_for_one_request_and_one_token() {
    let clock = TestClock::new();
    let key = DpopKey::generate().with_clock(Arc::new(clock.clone()));
    let (url, token) = (Uri::from_static("https://MCP.example.test:8443/mcp/a?b=c"), BearerToken::new("at").unwrap());
    let (claims, thumbprint) = verified(&key.proof(&Method::POST, &url, Some(&token)));
    assert_eq!(thumbprint, key.thumbprint());
    let expected = json!({
        "htm": "POST",
        "htu": "https://MCP.example.test:8443/mcp/a",
        "iat": clock.now().as_secs(),
        "ath": BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest("at")),
        "jti": claims["jti"],
    });
    assert_eq!(claims, expected);
    let ids: BTreeSet<_> =
        (0..100).map(|_| verified(&key.proof(&Method::GET, &url, None)).0["jti"].to_string()).collect();
    assert_eq!(ids.len(), 100);
    assert!(verified(&key.proof(&Method::GET, &url, None)).0.get("ath").is_none());
}

#[test]
fn a_request_to_a_resource_has_the_scheme_dpop_and_one_proof() {
    let key = DpopKey::generate();
    let url = Uri::from_static("https://mcp.example.test/mcp");
    let mut headers = HeaderMap::new();
    for token in ["first", "second"] {
        key.authorize(&mut headers, &Method::POST, &url, &BearerToken::new(token).unwrap());
    }
    assert_eq!((headers.len(), &headers["authorization"]), (2, &HeaderValue::from_static("DPoP second")));
    assert!(headers["authorization"].is_sensitive());
    let (claims, _) = verified(&headers["dpop"]);
    assert_eq!(claims["ath"], BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest("second")));
    assert!(!format!("{headers:?}").contains("second"));
}

#[test]
fn the_nonce_of_an_origin_is_for_that_origin_and_the_newest_counts() {
    let key = DpopKey::generate();
    let (mcp, other) =
        (Uri::from_static("https://mcp.example.test/a"), Uri::from_static("https://mcp.example.test:1/a"));
    let headers =
        |nonce: &'static str| HeaderMap::from_iter([("dpop-nonce".parse().unwrap(), HeaderValue::from_static(nonce))]);
    let nonce = |url: &Uri| verified(&key.proof(&Method::GET, url, None)).0.get("nonce").cloned();
    key.note_nonce(&mcp, &headers("n1"));
    assert_eq!((nonce(&mcp), nonce(&other)), (Some(json!("n1")), None));
    key.note_nonce(&mcp, &headers("n2"));
    key.note_nonce(&mcp, &HeaderMap::new());
    assert_eq!(nonce(&Uri::from_static("https://MCP.example.test/b?c")), Some(json!("n2")), "of every path there");
}

#[test]
fn a_resource_that_asks_for_a_nonce_has_not_refused_the_token() {
    let headers = |challenge: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert("www-authenticate", HeaderValue::from_static(challenge));
        headers.insert("dpop-nonce", HeaderValue::from_static("n1"));
        headers
    };
    let asked = headers(r#"Bearer error="x", DPoP algs="ES256", error="use_dpop_nonce""#);
    assert!(DpopKey::asks_for_nonce(StatusCode::UNAUTHORIZED, &asked));
    assert!(!DpopKey::asks_for_nonce(StatusCode::FORBIDDEN, &asked));
    for other in [r#"DPoP error="invalid_token""#, r#"Bearer error="use_dpop_nonce""#] {
        assert!(!DpopKey::asks_for_nonce(StatusCode::UNAUTHORIZED, &headers(other)), "{other}");
    }
    let mut without_nonce = asked;
    without_nonce.remove("dpop-nonce");
    assert!(!DpopKey::asks_for_nonce(StatusCode::UNAUTHORIZED, &without_nonce));
}

#[tokio::test]
async fn the_token_endpoint_gets_a_proof_and_once_more_with_its_nonce() {
    let bound = || tokens(json!({"token_type": "DPoP"}));
    let server = Server::answering([use_nonce("n1"), bound(), bound()]);
    let key = DpopKey::generate();
    let endpoint = server.endpoint(ClientAuthentication::public("app")).with_dpop(key.clone());
    for _ in 0..2 {
        endpoint.request(&TokenRequest::refresh_token(&"rt".into())).await.unwrap();
    }
    let seen = server.seen();
    let proofs: Vec<_> = seen.iter().map(|seen| verified(&seen.headers["dpop"])).collect();
    let nonces: Vec<_> = proofs.iter().map(|(claims, _)| claims["nonce"].clone()).collect();
    assert_eq!(nonces, [json!(null), json!("n1"), json!("n1")], "the nonce is remembered");
    assert!(
        proofs.iter().all(|(claims, jkt)| (&claims["htm"], &claims["htu"]) == (&json!("POST"), &json!(URL))
            && jkt == key.thumbprint())
    );
    let ids: BTreeSet<_> = proofs.iter().map(|(claims, _)| claims["jti"].to_string()).collect();
    assert_eq!(ids.len(), 3);
    assert!(seen.iter().all(|seen| seen.field("refresh_token") == "rt"), "the nonce is asked for before it is spent");
}

#[tokio::test]
async fn a_server_that_never_has_enough_nonces_gets_no_third_request() {
    let server = Server::answering([use_nonce("n1"), use_nonce("n2"), use_nonce("n3")]);
    let endpoint = server.endpoint(ClientAuthentication::public("app")).with_dpop(DpopKey::generate());
    let error = endpoint.request(&TokenRequest::refresh_token(&"rt".into())).await.unwrap_err();
    assert_eq!((error.kind(), server.seen().len()), (GrantErrorKind::Misconfigured, 2));
}

#[tokio::test]
async fn a_refused_proof_says_nothing_about_the_grant() {
    let server = Server::answering([answer(400, &json!({"error": "invalid_dpop_proof"}))]);
    let endpoint = server.endpoint(ClientAuthentication::public("app")).with_dpop(DpopKey::generate());
    let error = endpoint.request(&TokenRequest::refresh_token(&"rt".into())).await.expect_err("a wrong clock");
    assert_eq!(error.kind(), GrantErrorKind::Misconfigured);
}

#[tokio::test]
async fn a_token_that_is_not_bound_is_not_taken_for_one_that_is() {
    for (has_key, token_type, is_accepted) in
        [(true, "DPoP", true), (true, "dpop", true), (true, "Bearer", false), (false, "DPoP", false)]
    {
        let server = Server::answering([tokens(json!({"token_type": token_type}))]);
        let endpoint = server.endpoint(ClientAuthentication::public("app"));
        let endpoint = if has_key { endpoint.with_dpop(DpopKey::generate()) } else { endpoint };
        let outcome = endpoint.request(&TokenRequest::client_credentials()).await;
        assert_eq!(outcome.is_ok(), is_accepted, "{has_key} {token_type}");
        assert_eq!(server.last().headers.contains_key("dpop"), has_key);
    }
}

#[tokio::test]
async fn a_stored_key_is_one_key_for_all_processes() {
    let store = Arc::new(MemoryStore::new());
    let records = SealedStore::new(store, KeyRing::ephemeral()).unwrap();
    let (first, second) = tokio::join!(DpopKey::stored(&records, "app"), DpopKey::stored(&records, "app"));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first.thumbprint(), second.thumbprint(), "one key for all processes");
    assert_ne!(first.thumbprint(), DpopKey::stored(&records, "other").await.unwrap().thumbprint());
    assert_eq!(format!("{first:?}"), format!("DpopKey {{ thumbprint: {:?}, .. }}", first.thumbprint()));
}

#[test]
fn a_key_is_imported() {
    let der = BASE64_STANDARD.encode(&*SigningKey::generate_pkcs8());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n");
    let [first, second] = [(); 2].map(|()| DpopKey::from_pem(&pem.as_str().into()).unwrap());
    assert_eq!(first.thumbprint(), second.thumbprint());
    assert!(DpopKey::from_pem(&"not a key".into()).is_err());
}
