//! Client authentication by signed assertions.

use std::time::Duration;

use portcullis_bridge::{Client, RedirectUri};
use portcullis_test_support::{Call, Endpoint, Fault, LogCapture};
use serde_json::{Value, json};

use crate::{
    document_host::{CLIENT, HOST, REDIRECT_URI, document},
    fixture::{Fixture, ISSUER, Outcome, metadata, nothing, with},
};

const TOKEN_ENDPOINT: &str = "https://mcp.example.test/token";

pub(crate) const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Creates a bridge with a client `server` that signs with the keys of the identity provider.
fn fixture() -> Fixture {
    let redirect_uris = vec![RedirectUri::new("https://app.example.test/callback").expect("a redirect URI")];
    let jwks_uri = Fixture::new().idp.endpoint_url(Endpoint::KeySet);
    let server = Client::public("server", "Server", redirect_uris).with_jwks_uri(&jwks_uri);
    Fixture::with(|config| config.with_client(server).expect("a client"))
}

/// Returns an assertion of the client `id`.
fn assertion(fixture: &Fixture, id: &str, claims: &Value) -> String {
    let token = fixture.idp.token(id).with_header("typ", "JWT").with_claim("iss", id).with_audience(ISSUER);
    let token = token.with_lifetime(Duration::from_mins(1));
    let claims = claims.as_object().expect("claims").clone();
    claims
        .into_iter()
        .fold(
            token,
            |token, (name, value)| {
                if value.is_null() { token.without_claim(&name) } else { token.with_claim(&name, value) }
            },
        )
        .jwt()
}

async fn signed(fixture: &Fixture, assertion: &str) -> Call {
    let call = nothing(&fixture.client("").await).without_credentials();
    call.with("client_assertion_type", JWT_BEARER).with("client_assertion", assertion)
}

#[tokio::test(start_paused = true)]
async fn as_01_a_client_signs_for_us_and_that_once() {
    let fixture = fixture();
    let good = assertion(&fixture, "server", &json!({"jti": "first"}));
    assert_eq!(Outcome::of(signed(&fixture, &good).await).await, Outcome::Known);
    assert_eq!(Outcome::of(signed(&fixture, &good).await).await, Outcome::Refused, "a second time");
    let next = assertion(&fixture, "server", &json!({"jti": "second"}));
    let named = signed(&fixture, &next).await.with("client_id", "server");
    assert_eq!(Outcome::of(named).await, Outcome::Known);
}

#[tokio::test(start_paused = true)]
async fn as_01_an_assertion_that_is_not_this_clients_for_us_and_now_is_refused() {
    for claims in [
        json!({"iss": "another"}),
        json!({"sub": "another"}),
        json!({"sub": null}),
        json!({"aud": "https://mcp.example.test/revoke"}),
        json!({"aud": [ISSUER, TOKEN_ENDPOINT]}),
        json!({"aud": [ISSUER, "https://other.example.test"]}),
        json!({"aud": "https://other.example.test"}),
        json!({"aud": null}),
        json!({"exp": 1_767_225_000}),
        json!({"exp": null}),
        json!({"exp": 1_767_999_999}),
        json!({"jti": null}),
    ] {
        let fixture = fixture();
        let wrong = assertion(&fixture, "server", &claims);
        assert_eq!(Outcome::of(signed(&fixture, &wrong).await).await, Outcome::Refused, "{claims}");
    }
}

#[tokio::test(start_paused = true)]
async fn as_01_a_signature_counts_for_those_that_sign_and_nothing_else_does() {
    let fixture = fixture();
    let forged =
        fixture.idp.token("server").with_header("typ", "JWT").with_claim("iss", "server").with_audience(ISSUER);
    let forged = forged.unsigned().jwt();
    assert_eq!(Outcome::of(signed(&fixture, &forged).await).await, Outcome::Refused);

    // RFC 8725: the type states the use of a token.
    let access_token = fixture.idp.token("server").with_claim("iss", "server").with_audience(ISSUER).jwt();
    assert_eq!(Outcome::of(signed(&fixture, &access_token).await).await, Outcome::Refused);

    let bare = nothing(&fixture.client("server").await);
    assert_eq!(Outcome::of(bare.clone()).await, Outcome::Refused, "no signature");
    assert_eq!(Outcome::of(bare.with("client_secret", "")).await, Outcome::Refused, "an empty secret");

    let registered = fixture.register(&metadata("https://app.example.test/callback")).await;
    let public = assertion(&fixture, registered.text("client_id"), &json!({}));
    assert_eq!(Outcome::of(signed(&fixture, &public).await).await, Outcome::Refused, "a client without keys");

    let good = assertion(&fixture, "server", &json!({}));
    let other_type = signed(&fixture, &good)
        .await
        .with("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer");
    assert_eq!(Outcome::of(other_type).await, Outcome::Malformed);
    let as_another = signed(&fixture, &good).await.with("client_id", "app");
    assert_eq!(Outcome::of(as_another).await, Outcome::Refused);
    assert_eq!(Outcome::of(signed(&fixture, "nonsense").await).await, Outcome::Refused);
}

#[tokio::test(start_paused = true)]
async fn as_01_keys_that_cannot_be_fetched_are_no_fault_of_the_client() {
    let fixture = fixture();
    fixture.idp.set_fault(Endpoint::KeySet, Fault::status(502));
    let good = assertion(&fixture, "server", &json!({}));
    assert_eq!(Outcome::of(signed(&fixture, &good).await).await, Outcome::Unavailable);
    fixture.idp.heal(Endpoint::KeySet);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(Outcome::of(signed(&fixture, &good).await).await, Outcome::Known, "it was not used up");
}

#[tokio::test(start_paused = true)]
async fn as_19_a_document_that_says_that_the_client_signs_is_held_to_it() {
    let fixture = Fixture::new();
    let signing = with(&document(), "token_endpoint_auth_method", &json!("private_key_jwt"));
    fixture.host.says(&with(&signing, "jwks_uri", &json!(fixture.idp.endpoint_url(Endpoint::KeySet))));
    assert_eq!(fixture.outcome(CLIENT).await, Outcome::Refused, "no signature");
    let good = assertion(&fixture, CLIENT, &json!({}));
    assert_eq!(Outcome::of(signed(&fixture, &good).await).await, Outcome::Known);
    let by_another =
        fixture.idp.token(CLIENT).with_header("typ", "JWT").with_claim("iss", CLIENT).with_audience(ISSUER);
    assert_eq!(
        Outcome::of(signed(&fixture, &by_another.signed_by_hmac(b"public").jwt()).await).await,
        Outcome::Refused
    );
}

#[tokio::test(start_paused = true)]
async fn as_01_an_untyped_assertion_may_be_for_the_token_endpoint() {
    let fixture = fixture();
    let to_endpoint = |typ: &str| {
        let token = fixture.idp.token("server").with_header("typ", typ).with_claim("iss", "server");
        token.with_audience(TOKEN_ENDPOINT).with_lifetime(Duration::from_mins(1)).jwt()
    };
    let log = LogCapture::of_this_thread();
    assert_eq!(Outcome::of(signed(&fixture, &to_endpoint("JWT")).await).await, Outcome::Known);
    let typed = to_endpoint("client-authentication+jwt");
    assert_eq!(Outcome::of(signed(&fixture, &typed).await).await, Outcome::Refused);
    let [line] = &log.lines("client request rejected").split_off(1)[..] else { panic!("one line: {}", log.text()) };
    for part in ["wrong_audience", "server", TOKEN_ENDPOINT, ISSUER] {
        assert!(line.contains(part), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_failed_client_authentication_is_one_line_of_the_log_with_its_cause() {
    let fixture = fixture();
    let good = assertion(&fixture, "server", &json!({}));
    assert_eq!(Outcome::of(signed(&fixture, &good).await).await, Outcome::Known);
    let late = assertion(&fixture, "server", &json!({"exp": 1_767_225_000}));
    fixture.host.says(&with(&document(), "redirect_uris", &json!([])));
    let of_document = nothing(&fixture.client(CLIENT).await);
    let unknown = nothing(&fixture.client("client_gone").await);
    let unsigned = nothing(&fixture.client("server").await);
    for (call, parts) in [
        (signed(&fixture, &good).await, &["client_id=\"server\"", "presented before", "`jti`"][..]),
        (signed(&fixture, &late).await, &["client_id=\"server\"", "expired"]),
        (unsigned, &["client_id=\"server\"", "no authentication", "a valid client assertion"]),
        (of_document, &[CLIENT, "client metadata document is invalid", "redirect_uris"]),
        (unknown, &["found=\"client_gone\"", "has not expired", "bridge.clients"]),
    ] {
        let log = LogCapture::of_this_thread();
        assert_eq!(Outcome::of(call).await, Outcome::Refused);
        let [line] = &log.lines("client request rejected")[..] else { panic!("one line: {}", log.text()) };
        for part in [&["invalid_client", "client authentication failed"], parts].concat() {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
    let log = LogCapture::of_this_thread();
    let restarted = fixture.restarted(|config| {
        let redirect_uris = vec![RedirectUri::new("https://app.example.test/callback").expect("a redirect URI")];
        let server = Client::public("server", "Server", redirect_uris).with_jwks_uri("https://keys.example.test/jwks");
        config.with_client(server).expect("a client")
    });
    let next = assertion(&restarted, "server", &json!({"jti": "next"}));
    assert_eq!(Outcome::of(signed(&restarted, &next).await).await, Outcome::Unavailable);
    let [line] = &log.lines("client request rejected")[..] else { panic!("one line: {}", log.text()) };
    assert!(line.contains("https://keys.example.test/jwks") && line.contains("bridge.clients"), "{line}");
}

/// The members of ChatGPT's document that matter, with its URL and keys replaced.
fn signing_or_public(fixture: &Fixture) -> Value {
    let document = with(&document(), "token_endpoint_auth_method", &json!("private_key_jwt"));
    let document = with(&document, "token_endpoint_auth_methods_supported", &json!(["none", "private_key_jwt"]));
    let document = with(&document, "token_endpoint_auth_signing_alg", &json!("RS256"));
    with(&document, "jwks_uri", &json!(fixture.idp.endpoint_url(Endpoint::KeySet)))
}

#[tokio::test(start_paused = true)]
async fn as_19_a_client_that_offers_none_too_is_served_without_an_assertion() {
    let fixture = Fixture::new();
    fixture.host.says(&signing_or_public(&fixture));
    let good = assertion(&fixture, CLIENT, &json!({"aud": TOKEN_ENDPOINT}));
    assert_eq!(Outcome::of(signed(&fixture, &good).await).await, Outcome::Known, "signed");
    assert_eq!(fixture.outcome(CLIENT).await, Outcome::Known, "public");
    let wrong = assertion(&fixture, CLIENT, &json!({"aud": "https://other.example.test"}));
    assert_eq!(Outcome::of(signed(&fixture, &wrong).await).await, Outcome::Refused, "a wrong assertion is not none");
    let secret = nothing(&fixture.client(CLIENT).await).with("client_secret", "anything");
    assert_eq!(Outcome::of(secret).await, Outcome::Refused);

    // The other way round: `none` is preferred, and an assertion is accepted.
    let public = with(&signing_or_public(&fixture), "token_endpoint_auth_method", &json!("none"));
    let fixture = Fixture::new();
    fixture.host.says(&with(&public, "jwks_uri", &json!(fixture.idp.endpoint_url(Endpoint::KeySet))));
    let good = assertion(&fixture, CLIENT, &json!({}));
    assert_eq!(Outcome::of(signed(&fixture, &good).await).await, Outcome::Known);
    assert_eq!(fixture.outcome(CLIENT).await, Outcome::Known);

    // Without keys it can only be public.
    let fixture = Fixture::new();
    fixture.host.says(&with(&public, "jwks_uri", &Value::Null));
    let log = LogCapture::of_this_thread();
    assert_eq!(fixture.outcome(CLIENT).await, Outcome::Known);
    let [line] = &log.lines("keys of a client metadata document ignored")[..] else { panic!("{}", log.text()) };
    assert!(line.contains(CLIENT) && line.contains("jwks_uri"), "{line}");
    let unverifiable = assertion(&fixture, CLIENT, &json!({}));
    assert_eq!(Outcome::of(signed(&fixture, &unverifiable).await).await, Outcome::Refused);

    // Without `none` among the methods an assertion is required.
    let fixture = Fixture::new();
    let document = signing_or_public(&fixture);
    fixture.host.says(&with(&document, "token_endpoint_auth_methods_supported", &json!(["private_key_jwt"])));
    assert_eq!(fixture.outcome(CLIENT).await, Outcome::Refused);
}

#[tokio::test(start_paused = true)]
async fn as_03_a_registered_client_signs_by_the_keys_that_it_registered() {
    let fixture = Fixture::new();
    let request = http::Request::get(fixture.idp.endpoint_url(Endpoint::KeySet)).body(bytes::Bytes::new());
    let keys = fixture.network.send(request.expect("a request")).await.expect("keys");
    let keys: Value = serde_json::from_slice(keys.body()).expect("JSON");
    let signing =
        with(&metadata("https://app.example.test/callback"), "token_endpoint_auth_method", &json!("private_key_jwt"));
    let registered = fixture.register(&with(&signing, "jwks", &keys)).await;
    let id = registered.text("client_id");
    assert_eq!(Outcome::of(signed(&fixture, &assertion(&fixture, id, &json!({}))).await).await, Outcome::Known);
    assert_eq!(fixture.outcome(id).await, Outcome::Refused);
}

#[tokio::test(start_paused = true)]
async fn as_20_fetches_of_keys_from_one_host_are_limited() {
    let fixture = Fixture::new();
    let signing =
        with(&metadata("https://app.example.test/callback"), "token_endpoint_auth_method", &json!("private_key_jwt"));
    let mut outcomes = Vec::new();
    for number in 0..40 {
        let jwks_uri = format!("{HOST}/jwks?{number}");
        let registered = fixture.register(&with(&signing, "jwks_uri", &json!(jwks_uri))).await;
        let good = assertion(&fixture, registered.text("client_id"), &json!({}));
        outcomes.push(signed(&fixture, &good).await.await.expect("a response").status().as_u16());
    }
    assert_eq!(outcomes[..30], [503; 30]);
    assert_eq!(outcomes[30..], [429; 10]);
    assert_eq!(fixture.host.calls(), 30);
}

#[tokio::test(start_paused = true)]
async fn fetches_of_unknown_key_sets_do_not_delay_configured_clients() {
    let fixture = fixture();
    let jwks_uri = fixture.idp.endpoint_url(Endpoint::KeySet);
    let metadata = with(&metadata(REDIRECT_URI), "token_endpoint_auth_method", &json!("private_key_jwt"));
    let mut last = None;
    for number in 0..40 {
        let metadata = with(&metadata, "jwks_uri", &json!(format!("{jwks_uri}?{number}")));
        let id = fixture.register(&metadata).await.text("client_id").to_owned();
        let assertion = assertion(&fixture, &id, &json!({}));
        last = Some(signed(&fixture, &assertion).await.await.expect("a response").status().as_u16());
    }
    assert_eq!(last, Some(429), "the number of fetches per host is limited");
    let good = assertion(&fixture, "server", &json!({"jti": "first"}));
    assert_eq!(Outcome::of(signed(&fixture, &good).await).await, Outcome::Known);
}
