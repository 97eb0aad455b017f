//! Client authentication by secrets, and public clients.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use portcullis_bridge::{Client, RedirectUri};
use portcullis_test_support::Call;

use crate::fixture::{Fixture, Outcome, nothing};

const SECRET: &str = "s3cret: with%&+=";
const BASE64_SECRET: &str = "kY2+vJ3/0aU4Zl5o8Qb1mA==";

fn fixture() -> Fixture {
    let redirect_uris = || vec![RedirectUri::new("https://app.example.test/callback").expect("a redirect URI")];
    Fixture::with(|config| {
        config
            .with_client(Client::public("app", "App", redirect_uris()))
            .and_then(|config| {
                config.with_client(Client::confidential("server", "Server", &SECRET.into(), redirect_uris()))
            })
            .and_then(|config| {
                config.with_client(Client::confidential("base64", "Server", &BASE64_SECRET.into(), redirect_uris()))
            })
            .expect("clients")
    })
}

/// Returns a request without client authentication.
async fn anonymous() -> Call {
    nothing(&fixture().client("app").await).without_credentials()
}

fn basic(call: Call, credentials: &str) -> Call {
    call.with_header("authorization", &format!("Basic {}", BASE64_STANDARD.encode(credentials)))
}

#[tokio::test(start_paused = true)]
async fn as_01_a_secret_is_shown_in_the_header_or_in_the_form() {
    let posted = anonymous().await.with("client_id", "server").with("client_secret", SECRET);
    assert_eq!(Outcome::of(posted).await, Outcome::Known);
    let encoded = "server:s3cret%3A+with%25%26%2B%3D";
    assert_eq!(Outcome::of(basic(anonymous().await, encoded)).await, Outcome::Known);
    let named = basic(anonymous().await, encoded).with("client_id", "server");
    assert_eq!(Outcome::of(named).await, Outcome::Known, "its name may be in the form as well");
    let unpadded = encoded.to_owned() + "";
    let lower = anonymous().await.with_header("authorization", &format!("basic {}", BASE64_STANDARD.encode(unpadded)));
    assert_eq!(Outcome::of(lower).await, Outcome::Known);
}

#[tokio::test(start_paused = true)]
async fn as_01_a_secret_that_a_client_does_not_encode_is_taken_as_it_is() {
    assert_eq!(Outcome::of(basic(anonymous().await, &format!("base64:{BASE64_SECRET}"))).await, Outcome::Known);
    let encoded = "base64:kY2%2BvJ3%2F0aU4Zl5o8Qb1mA%3D%3D";
    assert_eq!(Outcome::of(basic(anonymous().await, encoded)).await, Outcome::Known);
}

#[tokio::test(start_paused = true)]
async fn as_01_a_client_is_authenticated_by_its_secret_only() {
    for (id, secret) in
        [("server", None), ("server", Some("wrong")), ("server", Some("s3cret")), ("app", Some("anything"))]
    {
        let mut posted = anonymous().await.with("client_id", id);
        if let Some(secret) = secret {
            posted = posted.with("client_secret", secret);
            let header = basic(anonymous().await, &format!("{id}:{secret}"));
            assert_eq!(Outcome::of(header).await, Outcome::Refused, "{id} {secret}");
        }
        assert_eq!(Outcome::of(posted).await, Outcome::Refused, "{id} {secret:?}");
    }
    assert_eq!(Outcome::of(anonymous().await).await, Outcome::Refused, "no credentials");
    assert_eq!(Outcome::of(basic(anonymous().await, "server:")).await, Outcome::Refused, "an empty secret");
    assert_eq!(Outcome::of(basic(anonymous().await, ":")).await, Outcome::Refused);
}

#[tokio::test(start_paused = true)]
async fn as_01_a_client_authenticates_in_one_way_and_as_one_client() {
    let good = "server:s3cret%3A+with%25%26%2B%3D";
    let twice = basic(anonymous().await, good).with("client_secret", SECRET);
    assert_eq!(Outcome::of(twice).await, Outcome::Malformed);
    let and_signed = anonymous().await.with("client_id", "server").with("client_secret", SECRET);
    let and_signed = and_signed.with("client_assertion", "e30.e30.").with("client_assertion_type", "x");
    assert_eq!(Outcome::of(and_signed).await, Outcome::Malformed);
    let as_another = basic(anonymous().await, good).with("client_id", "app");
    assert_eq!(Outcome::of(as_another).await, Outcome::Refused);
}

#[tokio::test(start_paused = true)]
async fn as_01_an_unknown_client_looks_like_one_with_a_wrong_secret() {
    for in_header in [true, false] {
        let attempt = async |id: &str| {
            let call = anonymous().await;
            let call = if in_header {
                basic(call, &format!("{id}:wrong"))
            } else {
                call.with("client_id", id).with("client_secret", "wrong")
            };
            let answer = call.await.expect("a response");
            (answer.status(), answer.body().clone(), answer.headers().clone())
        };
        let (unknown, wrong) = (attempt("unknown").await, attempt("server").await);
        assert_eq!(unknown, wrong);
        // RFC 6749 section 5.2: a failure in the header gets a challenge.
        assert_eq!(wrong.2.contains_key("www-authenticate"), in_header);
    }
}

#[tokio::test(start_paused = true)]
async fn as_01_a_header_that_cannot_be_read_authenticates_no_client() {
    for value in
        ["Basic", "Basic ", "Basic !!", "Basic c2VydmVy", "Bearer c2VydmVyOng=", "Basic /////w==", "c2VydmVyOng="]
    {
        let call = anonymous().await.with("client_id", "app").with_header("authorization", value);
        let answer = call.await.expect("a response");
        assert_eq!((answer.status().as_u16(), answer.error()), (401, Some("invalid_client")), "{value}");
        assert!(answer.headers().contains_key("www-authenticate"), "{value}");
    }
}
