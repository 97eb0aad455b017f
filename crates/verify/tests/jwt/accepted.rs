//! Accepted tokens: every algorithm with a real key, and every form of claims that issuers use.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use portcullis_core::{AuthError, Issuer, PrincipalKind, Reason, ResourceUri, UserContext};
use portcullis_oauth::jwt::{Algorithm, InvalidKeySet, JwtPolicy, KeySet, UnverifiedJwt};
use portcullis_testkit::TestClock;
use portcullis_verify::JwtVerifier;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::signing::{ED25519, ISSUER, Key, NOW, OTHER_RSA, P256, P384, RESOURCE, RSA, bearer, claims, encode, jwks};

pub(crate) fn policy() -> JwtPolicy {
    JwtPolicy::new(Issuer::new(ISSUER).expect("issuer"), ResourceUri::new(RESOURCE).expect("resource"))
}

/// Creates a verifier with `policy` and `keys` at the instant [`NOW`].
pub(crate) fn verifier(policy: JwtPolicy, keys: &Value) -> JwtVerifier {
    let keys = KeySet::parse(keys.to_string().as_bytes()).expect("key set");
    JwtVerifier::new(policy, keys).with_clock(Arc::new(TestClock::starting_at(NOW)))
}

/// Verifies `token`: the future is ready at once, because `verifier` has its keys.
pub(crate) fn ask(verifier: &JwtVerifier, token: &str) -> Result<Arc<UserContext>, AuthError> {
    verifier.clone().oneshot(bearer(token)).now_or_never().expect("ready at the first poll")
}

fn verify(policy: JwtPolicy, keys: &Value, token: &str) -> Result<Arc<UserContext>, AuthError> {
    ask(&verifier(policy, keys), token)
}

fn reason(policy: JwtPolicy, keys: &Value, token: &str) -> Reason {
    verify(policy, keys, token).expect_err("refused").reason()
}

#[test]
fn every_algorithm_with_a_real_key() {
    let keys = jwks(&[&RSA, &P256, &P384, &ED25519]);
    for algorithm in Algorithm::ALL {
        let key: &Key = match algorithm {
            Algorithm::Es256 => &P256,
            Algorithm::Es384 => &P384,
            Algorithm::EdDsa => &ED25519,
            _ => &RSA,
        };
        let name = algorithm.as_str();
        let header = json!({"alg": name, "typ": "at+jwt", "kid": key.id}).to_string();
        let token = key.signed_token(name, header.as_bytes(), claims().to_string().as_bytes());
        assert_eq!(verify(policy(), &keys, &token).expect(name).subject(), "alice");
        let others = Algorithm::ALL.iter().copied().filter(|other| other != algorithm);
        assert_eq!(reason(policy().with_algorithms(others), &keys, &token), Reason::AlgorithmRefused, "{name}");
    }
}

#[test]
fn the_context_contains_the_claims_of_the_token() {
    let user = verify(policy(), &jwks(&[&RSA]), &RSA.token(|_, _| {})).expect("accepted");
    assert_eq!((user.issuer().as_str(), user.subject(), user.client_id()), (ISSUER, "alice", Some("client")));
    assert_eq!(user.principal().kind(), PrincipalKind::User);
    assert_eq!(user.scopes().to_string(), "mcp:read mcp:write");
    assert_eq!(user.expires_at(), Some(NOW + Duration::from_secs(600)));
    assert_eq!(user.claims().get("jti"), Some(&json!("1")));

    let machine = RSA.token(|_, claims| claims["sub"] = json!("client"));
    let user = verify(policy(), &jwks(&[&RSA]), &machine).expect("accepted");
    assert_eq!(user.principal().kind(), PrincipalKind::Client);
}

#[test]
fn a_jwt_without_subject_is_a_user_or_a_client_only_as_configured() {
    let keys = jwks(&[&RSA]);
    let token = |further: Value| {
        RSA.token(|_, claims| {
            claims.as_object_mut().expect("claims").remove("sub");
            for (name, value) in further.as_object().expect("claims") {
                claims[name] = value.clone();
            }
        })
    };
    // Tokens of Keycloak 25 without the client scope `basic`.
    let (alice, bare) = (token(json!({"preferred_username": "alice", "azp": "client"})), token(json!({})));
    let named = || policy().with_subject_claim("preferred_username");
    let user = verify(named(), &keys, &alice).expect("accepted");
    assert_eq!((user.subject(), user.principal().kind()), ("alice", PrincipalKind::User));
    let clients = || policy().with_clients_without_subject();
    let user = verify(clients(), &keys, &bare).expect("accepted");
    assert_eq!((user.subject(), user.principal().kind()), ("client", PrincipalKind::Client));
    for (policy, token) in [
        (policy(), &alice),
        (policy(), &bare),
        (named(), &bare),
        (named(), &RSA.token(|_, _| {})),
        (clients(), &alice),
        (named().with_clients_without_subject(), &RSA.token(|_, _| {})),
    ] {
        assert_eq!(reason(policy, &keys, token), Reason::NoSubject);
    }
}

#[test]
fn a_key_is_found_with_and_without_kid() {
    let without_kid = P256.token(|header, _| *header = json!({"alg": "ES256", "typ": "at+jwt"}));
    assert!(verify(policy(), &jwks(&[&RSA, &P256, &P384]), &without_kid).is_ok());
    let newer_name = ED25519.token(|header, _| header["alg"] = json!("Ed25519"));
    assert!(verify(policy(), &jwks(&[&ED25519]), &newer_name).is_ok());
}

#[test]
fn audience_and_type_in_every_allowed_spelling() {
    let keys = jwks(&[&RSA]);
    for audience in [json!([RESOURCE]), json!(["x", RESOURCE]), json!("HTTPS://MCP.example.com/mcp")] {
        assert!(
            verify(policy(), &keys, &RSA.token(|_, claims| claims["aud"] = audience.clone())).is_ok(),
            "{audience}"
        );
    }
    for typ in ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"] {
        assert!(verify(policy(), &keys, &RSA.token(|header, _| header["typ"] = json!(typ))).is_ok(), "{typ}");
    }
    let by_name = RSA.token(|_, claims| claims["aud"] = json!("mcp-server"));
    assert!(verify(policy().with_audiences(["mcp-server"]), &keys, &by_name).is_ok());
    assert_eq!(reason(policy().with_audiences(["mcp-server"]), &keys, &RSA.token(|_, _| {})), Reason::WrongAudience);
    let custom = RSA.token(|header, _| header["typ"] = json!("mcp+jwt"));
    assert!(verify(policy().with_token_types(["application/mcp+jwt"]), &keys, &custom).is_ok());
    assert_eq!(reason(policy().with_token_types(["mcp+jwt"]), &keys, &RSA.token(|_, _| {})), Reason::WrongType);
}

#[test]
fn untyped_tokens_are_an_option_and_id_tokens_are_never_accepted() {
    let keys = jwks(&[&RSA]);
    for header in [json!({"alg": "RS256", "kid": "rsa"}), json!({"alg": "RS256", "kid": "rsa", "typ": "JWT"})] {
        let token = RSA.token(|h, _| *h = header.clone());
        assert_eq!(reason(policy(), &keys, &token), Reason::WrongType, "{header}");
        assert!(verify(policy().with_untyped_tokens(), &keys, &token).is_ok(), "{header}");
        for hash in ["at_hash", "c_hash"] {
            let id_token = RSA.token(|h, claims| (*h = header.clone(), claims[hash] = json!("x")).0);
            assert_eq!(reason(policy().with_untyped_tokens(), &keys, &id_token), Reason::WrongType, "{hash}");
        }
    }
    let logout = RSA.token(|header, _| header["typ"] = json!("logout+jwt"));
    assert_eq!(reason(policy().with_untyped_tokens(), &keys, &logout), Reason::WrongType);
}

#[test]
fn leeway_is_exact_to_the_second_and_bounded() {
    let keys = jwks(&[&RSA]);
    let now = NOW.as_secs();
    let token = |claim: &str, at: f64| RSA.token(|_, claims| claims[claim] = json!(at));
    let second = |offset: i64| now.saturating_add_signed(offset) as f64;
    assert!(verify(policy(), &keys, &token("exp", second(-59))).is_ok());
    assert!(verify(policy(), &keys, &token("exp", second(-60) + 0.5)).is_ok());
    assert_eq!(reason(policy(), &keys, &token("exp", second(-60))), Reason::Expired);
    assert!(verify(policy(), &keys, &token("nbf", second(60))).is_ok());
    assert_eq!(reason(policy(), &keys, &token("nbf", second(61))), Reason::NotYetValid);
    assert!(verify(policy(), &keys, &token("iat", second(60))).is_ok());
    assert_eq!(reason(policy(), &keys, &token("iat", second(61))), Reason::IssuedInFuture);

    let strict = || policy().with_leeway(Duration::ZERO);
    assert_eq!(reason(strict(), &keys, &token("exp", second(0))), Reason::Expired);
    assert!(verify(strict(), &keys, &token("exp", second(0) + 0.5)).is_ok());
    let lax = || policy().with_leeway(Duration::from_secs(86_400));
    assert_eq!(reason(lax(), &keys, &token("exp", second(-300))), Reason::Expired);
}

#[test]
fn a_bad_key_is_skipped_and_reported_and_a_set_without_keys_is_an_error() {
    let short = json!({"kty": "RSA", "kid": "short", "n": encode([0x80; 128]), "e": "AQAB"});
    let mut odd = vec![
        json!(7),
        json!({}),
        json!({"kty": "oct", "k": encode("secret")}),
        short,
        json!({"kty": "RSA", "n": encode([0x80; 256]), "e": "AA"}),
        json!({"kty": "EC", "crv": "secp256k1", "x": encode([1; 32]), "y": encode([1; 32])}),
        json!({"kty": "EC", "crv": "P-256", "x": encode([1; 31]), "y": encode([1; 32])}),
        json!({"kty": "OKP", "crv": "Ed448", "x": encode([1; 57])}),
        json!({"kty": "EC", "crv": "P-256", "x": "not base64!", "y": encode([1; 32])}),
    ];
    for (member, value) in [("alg", json!("ES256")), ("alg", json!("HS256")), ("kid", json!(1)), ("d", json!("AQ"))] {
        let mut jwk = RSA.jwk();
        jwk[member] = value;
        odd.push(jwk);
    }
    let count = odd.len();
    let for_encryption = json!({"kty": "RSA", "use": "enc", "n": RSA.jwk()["n"], "e": "AQAB"});
    let for_signing = json!({"kty": "RSA", "key_ops": ["sign"], "n": RSA.jwk()["n"], "e": "AQAB"});
    odd.extend([for_encryption, for_signing]);
    let parse = |keys: &[Value]| KeySet::parse(json!({"keys": keys}).to_string().as_bytes());
    assert!(matches!(parse(&odd), Err(InvalidKeySet::NoneUsable(skipped)) if skipped.len() == count));
    odd.push(RSA.jwk());
    let keys = parse(&odd).expect("one is good");
    assert_eq!((keys.len(), keys.skipped().len()), (1, count));

    for text in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[]}"#, r#"{"keys":[],"keys":[]}"#] {
        assert!(KeySet::parse(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn the_size_of_a_key_set_is_bounded() {
    let many: Vec<_> = (0..100).map(|_| P256.jwk()).collect();
    let keys = KeySet::parse(json!({"keys": many}).to_string().as_bytes()).expect("key set");
    assert_eq!((keys.len(), keys.skipped().len()), (KeySet::MAX_KEYS, 100 - KeySet::MAX_KEYS));
}

#[test]
fn a_key_with_a_sign_byte_or_with_its_own_algorithm_is_usable() {
    let mut jwk = OTHER_RSA.jwk();
    let modulus = [
        vec![0],
        base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, jwk["n"].as_str().expect("n"))
            .expect("base64"),
    ]
    .concat();
    jwk["n"] = json!(encode(modulus));
    jwk["alg"] = json!("RS256");
    jwk["use"] = json!("sig");
    jwk["key_ops"] = json!(["verify"]);
    let keys = json!({"keys": [jwk]});
    assert!(verify(policy(), &keys, &OTHER_RSA.token(|_, _| {})).is_ok());
    let header = json!({"alg": "PS256", "typ": "at+jwt", "kid": "other-rsa"}).to_string();
    let pss = OTHER_RSA.signed_token("PS256", header.as_bytes(), claims().to_string().as_bytes());
    assert_eq!(reason(policy(), &keys, &pss), Reason::UnknownKey);
}

#[test]
fn a_key_verifies_only_by_its_own_algorithm() {
    let mut jwk = RSA.jwk();
    jwk["alg"] = json!("RS256");
    let keys = KeySet::parse(json!({"keys": [jwk]}).to_string().as_bytes()).expect("key set");
    let screen = |token: &str| {
        let jwt = UnverifiedJwt::parse(&bearer(token), 16 * 1024).expect("JWT");
        policy().check_header(jwt).expect("header")
    };
    let by_rs256 = screen(&RSA.token(|_, _| {}));
    let header = json!({"alg": "PS256", "typ": "at+jwt"}).to_string();
    let by_ps256 = screen(&RSA.signed_token("PS256", header.as_bytes(), claims().to_string().as_bytes()));
    let key = keys.select(&by_rs256).expect("key");
    assert_eq!(by_ps256.verify(key).expect_err("not for that").reason(), Reason::BadSignature);
    assert!(by_rs256.verify(key).is_ok());
}

#[test]
fn rs_13_of_a_users_valid_tokens_only_those_for_this_resource_are_accepted() {
    let keys = jwks(&[&RSA]);
    let addressed = |aud: Value| RSA.token(|_, claims| claims["aud"] = aud);
    for ours in [json!(RESOURCE), json!([RESOURCE]), json!(["https://other.example.com/mcp", RESOURCE])] {
        assert!(verify(policy(), &keys, &addressed(ours.clone())).is_ok(), "{ours}");
    }
    for theirs in [json!("https://other.example.com/mcp"), json!(["https://other.example.com/mcp", "client"])] {
        assert_eq!(reason(policy(), &keys, &addressed(theirs.clone())), Reason::WrongAudience, "{theirs}");
    }
}
