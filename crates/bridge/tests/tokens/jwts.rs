//! Access tokens that are JWTs (RFC 9068).

use std::time::Duration;

use aws_lc_rs::{
    encoding::AsDer,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair},
};
use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use http::Request;
use portcullis_bridge::{AccessTokenKind, InvalidSigningKey, SigningKeys};
use portcullis_core::{BearerToken, Reason, ResourceUri};
use portcullis_egress::Egress;
use portcullis_oauth::jwt::JwtPolicy;
use portcullis_remote::RemoteKeySet;
use portcullis_test_support::Answer;
use portcullis_verify::JwtVerifier;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::time::sleep;
use tower::ServiceExt as _;

use crate::fixture::{APP, Fixture, ISSUER, OTHER_RESOURCE, RESOURCE};

fn pem(label: &str, der: &[u8]) -> SecretString {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64_STANDARD.encode(der)).into()
}

fn p256() -> SecretString {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
    pem("PRIVATE KEY", key.to_pkcs8v1().expect("PKCS#8").as_ref())
}

fn ed25519() -> SecretString {
    pem("PRIVATE KEY", Ed25519KeyPair::generate().expect("a key").to_pkcs8v1().expect("PKCS#8").as_ref())
}

fn rsa() -> SecretString {
    let key = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
    pem("PRIVATE KEY", AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&key).expect("PKCS#8").as_ref())
}

async fn fixture(keys: &SigningKeys) -> Fixture {
    Fixture::with(|config| config.with_access_tokens(AccessTokenKind::Jwt(keys.clone()))).await
}

/// Decodes a part of a JWT.
fn part(jwt: &str, index: usize) -> Value {
    let part = jwt.split('.').nth(index).expect("three parts");
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
}

#[tokio::test(start_paused = true)]
async fn a_jwt_has_the_claims_of_rfc_9068() {
    let keys = SigningKeys::generate();
    let fixture = fixture(&keys).await;
    let answer = fixture.log_in().await;
    let kid = keys.ids().next().expect("a key");
    assert_eq!(part(answer.access_token(), 0), json!({"alg": "ES256", "typ": "at+jwt", "kid": kid}));
    let mut claims = part(answer.access_token(), 1);
    let members = claims.as_object_mut().expect("an object");
    let (jti, sid) = (members.remove("jti").expect("jti"), members.remove("sid").expect("sid"));
    assert_eq!((jti.as_str().map(str::len), sid.as_str().map(str::len)), (Some(43), Some(32)));
    let now = fixture.now();
    let expected = json!({
        "iss": ISSUER,
        "sub": "https://idp.example.test#alice",
        "aud": RESOURCE,
        "client_id": APP,
        "iat": now,
        "exp": now + 600,
        "auth_time": now,
        "scope": "mcp:read mcp:write",
    });
    assert_eq!(claims, expected);
    assert!(answer.refresh_token().starts_with("pcrt_"), "only access tokens are JWTs");
}

#[tokio::test(start_paused = true)]
async fn a_resource_server_elsewhere_verifies_by_the_published_keys_alone() {
    for key in [p256(), ed25519(), rsa()] {
        let fixture = fixture(&SigningKeys::new(&key).expect("a key")).await;
        let answer = fixture.log_in().await;
        let issuer: portcullis_core::Issuer = ISSUER.parse().expect("issuer");
        let elsewhere = |resource: &str| {
            let keys = RemoteKeySet::discovered(issuer.clone(), Egress::from_service(fixture.network.clone()));
            let policy = JwtPolicy::new(issuer.clone(), ResourceUri::new(resource).expect("a resource"));
            JwtVerifier::new(policy, keys).with_clock(std::sync::Arc::new(fixture.clock.clone()))
        };
        let token = || BearerToken::new(answer.access_token()).expect("a token");
        let user = elsewhere(RESOURCE).oneshot(token()).await.expect("a user");
        assert_eq!((user.subject(), user.client_id()), ("https://idp.example.test#alice", Some(APP)));
        let refused = elsewhere(OTHER_RESOURCE).oneshot(token()).await.expect_err("for another resource");
        assert_eq!(refused.reason(), Reason::WrongAudience);
    }
}

#[tokio::test(start_paused = true)]
async fn the_published_keys_are_public_and_may_be_kept_for_a_while() {
    let keys =
        SigningKeys::new(&p256()).and_then(|keys| keys.with_key(&rsa())).and_then(|keys| keys.with_key(&ed25519()));
    let keys = keys.expect("keys");
    let fixture = fixture(&keys).await;
    let response = fixture.send(Request::get(format!("{ISSUER}/jwks")), "").await;
    assert_eq!(response.headers()["content-type"], "application/jwk-set+json");
    assert_eq!(response.headers()["cache-control"], "public, max-age=600");
    let found: Value = serde_json::from_slice(response.body()).expect("JSON");
    let published: Vec<_> = found["keys"].as_array().expect("keys").iter().collect();
    assert_eq!(
        published.iter().map(|key| key["kid"].as_str().expect("kid")).collect::<Vec<_>>(),
        keys.ids().collect::<Vec<_>>()
    );
    assert_eq!(
        published.iter().map(|key| key["alg"].as_str().expect("alg")).collect::<Vec<_>>(),
        ["ES256", "RS256", "EdDSA"]
    );
    for key in published {
        assert_eq!(key["use"], "sig");
        assert!(["d", "p", "q", "dp", "dq", "qi", "k"].iter().all(|private| key.get(private).is_none()), "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_jwt_is_invalid_after_the_end_of_its_session() {
    let fixture = fixture(&SigningKeys::generate()).await;
    let answer = fixture.log_in().await;
    let user = fixture.verify(answer.access_token()).await.expect("a user");
    assert_eq!(
        (user.subject(), user.issuer().as_str()),
        ("alice", "https://idp.example.test"),
        "in this process it is the provider's"
    );
    assert_eq!(fixture.app().await.revoke(answer.access_token()).await.expect("a response").status(), 200);
    assert_eq!(fixture.verify(answer.access_token()).await.expect_err("ended").reason(), Reason::Inactive);
    assert!(user.revocation().is_revoked());
}

#[tokio::test(start_paused = true)]
async fn a_jwt_that_the_bridge_did_not_sign_is_refused() {
    let fixture = fixture(&SigningKeys::generate()).await;
    let answer = fixture.log_in().await;
    let (header, payload) = (part(answer.access_token(), 0), part(answer.access_token(), 1));
    let parts: Vec<_> = answer.access_token().split('.').collect();
    let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let with = |value: &Value, name: &str, new: &str| {
        let mut value = value.clone();
        value[name] = new.into();
        value
    };
    let forged = fixture.idp.token("x").with_raw_payload(payload.to_string());
    for (what, token, reason) in [
        (
            "another scope",
            format!("{}.{}.{}", parts[0], encode(&with(&payload, "scope", "mcp:admin")), parts[2]),
            Reason::BadSignature,
        ),
        ("no signature", format!("{}.{}.", encode(&with(&header, "alg", "none")), parts[1]), Reason::AlgorithmRefused),
        (
            "another type",
            format!("{}.{}.{}", encode(&with(&header, "typ", "JWT")), parts[1], parts[2]),
            Reason::WrongType,
        ),
        ("an unknown key", forged.jwt(), Reason::UnknownKey),
        ("of the provider", fixture.idp.token("alice").with_audience(RESOURCE).jwt(), Reason::UnknownKey),
    ] {
        assert_eq!(fixture.verify(&token).await.expect_err(what).reason(), reason, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn keys_are_rotated_with_overlap() {
    let (old, new) = (p256(), p256());
    let only = |pem: &SecretString| SigningKeys::new(pem).expect("a key");
    let both = |first: &SecretString, second: &SecretString| only(first).with_key(second).expect("a key");
    let with = |keys: SigningKeys| {
        move |config: portcullis_bridge::BridgeConfig| config.with_access_tokens(AccessTokenKind::Jwt(keys))
    };
    let new_id = only(&new).ids().next().expect("a key").to_owned();

    let fixture = fixture(&only(&old)).await;
    let first = fixture.log_in().await;
    let announced = fixture.another(with(both(&old, &new)));
    let fixture = fixture.replaced_by(announced);
    let second = fixture.app().await.refresh(first.refresh_token()).await.expect("a response");
    assert_ne!(part(second.access_token(), 0)["kid"], *new_id, "the new key is only announced");
    let rotated = fixture.another(with(both(&new, &old)));
    let fixture = fixture.replaced_by(rotated);
    let third = fixture.app().await.refresh(second.refresh_token()).await.expect("a response");
    assert_eq!(part(third.access_token(), 0)["kid"], *new_id);
    for answer in [&first, &second, &third] {
        assert!(fixture.verify(answer.access_token()).await.is_ok(), "all are good");
    }
    let finished = fixture.another(with(only(&new)));
    let fixture = fixture.replaced_by(finished);
    assert_eq!(fixture.verify(first.access_token()).await.expect_err("its key is gone").reason(), Reason::UnknownKey);
    assert!(fixture.verify(third.access_token()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_repeated_refresh_gets_the_same_token_signed_again() {
    let fixture = fixture(&SigningKeys::generate()).await;
    let first = fixture.log_in().await;
    let client = fixture.app().await;
    let second = client.refresh(first.refresh_token()).await.expect("a response");
    fixture.pass(60);
    let again = client.refresh(first.refresh_token()).await.expect("a response");
    assert_eq!(part(again.access_token(), 1), part(second.access_token(), 1));
    assert_eq!(again.refresh_token(), second.refresh_token());
}

#[tokio::test(start_paused = true)]
async fn reference_tokens_work_on_when_jwts_are_chosen() {
    let fixture = Fixture::new().await;
    let answer = fixture.log_in().await;
    let bridge = fixture.another(|config| config.with_access_tokens(AccessTokenKind::Jwt(SigningKeys::generate())));
    let fixture = fixture.replaced_by(bridge);
    assert!(fixture.verify(answer.access_token()).await.is_ok());
    let next = fixture.app().await.refresh(answer.refresh_token()).await.expect("a response");
    assert_eq!(part(next.access_token(), 0)["typ"], "at+jwt");
}

/// The key of RFC 8037 appendix A, and its thumbprint.
#[test]
fn a_key_is_called_by_its_thumbprint() {
    let seed = BASE64_URL_SAFE_NO_PAD.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").expect("base64url");
    let pkcs8 = [&[0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20], &*seed].concat();
    let keys = SigningKeys::new(&pem("PRIVATE KEY", &pkcs8)).expect("a key");
    assert_eq!(keys.ids().collect::<Vec<_>>(), ["kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"]);
}

#[test]
fn an_invalid_signing_key_is_rejected_and_not_printed() {
    let public = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
    for (text, expected) in [
        ("", InvalidSigningKey::NotPem),
        ("a password", InvalidSigningKey::NotPem),
        (public, InvalidSigningKey::NotPem),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", InvalidSigningKey::NotSupported),
    ] {
        assert_eq!(SigningKeys::new(&text.into()).expect_err("no key"), expected);
    }
    let keys = SigningKeys::generate();
    let kid = keys.ids().next().expect("a key").to_owned();
    assert_eq!(format!("{keys:?}"), format!("SigningKeys([SigningKey {{ kid: \"{kid}\", .. }}])"));
}

/// Returns the `kid` of a token.
fn kid(answer: &Answer) -> String {
    let (header, _) = answer.access_token().split_once('.').expect("a JWT");
    let header: Value =
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(header).expect("base64url")).expect("JSON");
    header["kid"].as_str().expect("a kid").to_owned()
}

async fn published_ids(fixture: &Fixture) -> Vec<String> {
    let response = fixture.send(Request::get(format!("{ISSUER}/jwks")), "").await;
    let published: Value = serde_json::from_slice(response.body()).expect("JSON");
    assert!(published["keys"][0].get("d").is_none(), "no private key");
    let keys = published["keys"].as_array().expect("keys").iter();
    keys.map(|key| key["kid"].as_str().expect("a kid").to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn stored_keys_are_shared_published_before_they_sign_and_retired_after_their_last_token() {
    const HOUR: u64 = 3600;
    const DAY: u64 = 24 * HOUR;
    /// Longer than from a jump of the clock to the next sweep: the clock has to be confirmed.
    const A_SWEEP: Duration = Duration::from_secs(670);
    let fixture = Fixture::with(|config| config.with_access_tokens(AccessTokenKind::JwtWithStoredKeys)).await;
    let other = fixture.another(|config| config);
    let issued = async || fixture.log_in().await;
    let old = issued().await;
    let first = kid(&old);
    assert_eq!(published_ids(&fixture).await, [&*first]);
    let token = || BearerToken::new(old.access_token()).expect("a token");
    assert!(other.verifier().oneshot(token()).await.is_ok(), "another process, or the same one after a restart");

    // The clock of the test advances with the sleeps.
    fixture.pass(30 * DAY - HOUR - 800);
    sleep(A_SWEEP).await;
    assert_eq!(published_ids(&fixture).await, [&*first], "not yet");
    fixture.pass(130);
    sleep(A_SWEEP).await;
    let published = published_ids(&fixture).await;
    let [signing, second] = &*published else { panic!("two keys: {published:?}") };
    assert_eq!((signing, &kid(&issued().await)), (&first, &first), "an hour before it signs");
    fixture.pass(HOUR - 71);
    let last = issued().await;
    assert_eq!(kid(&last), first);
    fixture.pass(72);
    let new = issued().await;
    assert_eq!(kid(&new), *second);
    for answer in [&last, &new] {
        assert!(fixture.verify(answer.access_token()).await.is_ok());
        let token = BearerToken::new(answer.access_token()).expect("a token");
        assert!(other.verifier().oneshot(token).await.is_ok(), "both processes know both keys");
    }
    assert_eq!(published_ids(&fixture).await, [&**second, &*first]);

    fixture.pass(DAY - 200);
    sleep(A_SWEEP).await;
    assert_eq!(published_ids(&fixture).await, [&**second, &*first]);
    fixture.pass(200);
    sleep(A_SWEEP).await;
    assert_eq!(published_ids(&fixture).await, [&**second]);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_wrong_for_a_moment_neither_replaces_stored_keys_nor_stops_their_rotation() {
    const DAY: u64 = 24 * 3600;
    const YEAR: u64 = 365 * DAY;
    /// Longer than from a jump of the clock to the next sweep: the clock has to be confirmed.
    const A_SWEEP: Duration = Duration::from_secs(670);
    let fixture = Fixture::with(|config| config.with_access_tokens(AccessTokenKind::JwtWithStoredKeys)).await;
    // The first key is generated by a clock that is a year ahead.
    fixture.pass(YEAR);
    let first = kid(&fixture.log_in().await);
    fixture.clock.step_back(Duration::from_secs(YEAR));
    sleep(A_SWEEP).await;
    let old = fixture.log_in().await;
    assert_eq!(kid(&old), first);

    // A process starts while the clock is ahead.
    fixture.pass(YEAR);
    let restarted = fixture.another(|config| config);
    let fixture = fixture.replaced_by(restarted);
    assert_eq!(published_ids(&fixture).await, [&*first], "nothing is replaced");
    fixture.clock.step_back(Duration::from_secs(YEAR));
    sleep(A_SWEEP).await;
    assert_eq!(published_ids(&fixture).await, [&*first]);

    fixture.pass(30 * DAY);
    sleep(A_SWEEP).await;
    assert_eq!(published_ids(&fixture).await.len(), 2, "a key follows after thirty days");
}

#[tokio::test(start_paused = true)]
async fn no_grant_is_spent_while_stored_keys_cannot_be_read() {
    let fixture = Fixture::with(|config| config.with_access_tokens(AccessTokenKind::JwtWithStoredKeys)).await;
    let answer = fixture.log_in().await;
    let restarted = fixture.another(|config| config);
    let fixture = fixture.replaced_by(restarted);
    fixture.store.set_broken(true);
    assert_eq!(fixture.verify(answer.access_token()).await.expect_err("no keys").reason(), Reason::StoreUnavailable);
    let refused = fixture.app().await.refresh(answer.refresh_token()).await.expect("a response");
    assert_eq!(refused.error(), Some("temporarily_unavailable"));
    fixture.store.set_broken(false);
    let refreshed = fixture.app().await.refresh(answer.refresh_token()).await.expect("a response");
    assert_eq!(refreshed.status(), 200);
}
