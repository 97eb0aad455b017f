//! Generated invalid requests: each is rejected, its response is not stored, and no browser is redirected to an unregistered URI.

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response, header};
use proptest::{collection::vec, prelude::*, sample::select};
use url::form_urlencoded;

use crate::{
    fixture::{APP, Fixture, REDIRECT_URI, SERVER, SERVER_SECRET},
    oversized::FORM,
};

/// Permitted redirect targets: the client and the provider.
const PLACES: [&str; 2] = [REDIRECT_URI, "https://idp.example.test/"];

const NAMES: [&str; 26] = [
    "grant_type",
    "code",
    "code_verifier",
    "redirect_uri",
    "client_id",
    "client_secret",
    "refresh_token",
    "scope",
    "resource",
    "assertion",
    "client_assertion",
    "client_assertion_type",
    "token",
    "token_type_hint",
    "response_type",
    "response_mode",
    "state",
    "code_challenge",
    "code_challenge_method",
    "prompt",
    "request",
    "request_uri",
    "iss",
    "error",
    "form",
    "decision",
];

/// Values with a special meaning to some parser.
const VALUES: [&str; 36] = [
    "authorization_code",
    "refresh_token",
    "urn:ietf:params:oauth:grant-type:jwt-bearer",
    APP,
    SERVER,
    SERVER_SECRET,
    REDIRECT_URI,
    "https://evil.example/",
    "https://app.example.test/callback/../evil",
    "https://app.example.test@evil.example/",
    "javascript:alert(1)",
    "data:text/html,x",
    "//evil.example",
    "code",
    "token",
    "query",
    "fragment",
    "form_post",
    "S256",
    "plain",
    "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
    "none",
    "consent",
    "approve",
    "deny",
    "mcp:read",
    "openid offline_access",
    "https://bridge.example.test/mcp",
    "https://bridge.example.test",
    "pcat_AAAA",
    "pcrt_AAAA",
    "eyJhbGciOiJub25lIn0.e30.",
    "https://evil.example/client.json",
    "https://127.0.0.1/client",
    "\u{0}\r\nSet-Cookie: a=b",
    "access_denied",
];

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => select(&VALUES[..]).prop_map(str::to_owned),
        2 => ".{0,40}",
        1 => "[a-zA-Z0-9_-]{43}",
    ]
}

/// Valid requests, before they are mutated.
const RIGHT: [&[(&str, &str)]; 4] = [
    &[
        ("response_type", "code"),
        ("client_id", APP),
        ("redirect_uri", REDIRECT_URI),
        ("state", "s"),
        ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
        ("code_challenge_method", "S256"),
    ],
    &[("grant_type", "refresh_token"), ("client_id", APP), ("refresh_token", "pcrt_AAAA")],
    &[
        ("grant_type", "authorization_code"),
        ("client_id", SERVER),
        ("client_secret", SERVER_SECRET),
        ("code", "pcac_AAAA"),
        ("code_verifier", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
    ],
    &[("client_id", APP), ("token", "pcat_AAAA")],
];

fn parameters() -> impl Strategy<Value = Vec<(String, String)>> {
    let name = || prop_oneof![12 => select(&NAMES[..]).prop_map(str::to_owned), 1 => "\\PC{0,12}"];
    let nearly_right = (select(&RIGHT[..]), vec((name(), value()), 0..4)).prop_map(|(right, changes)| {
        let mut parameters: Vec<_> = right.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        for (name, value) in changes {
            match parameters.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) => *known = value,
                None => parameters.push((name, value)),
            }
        }
        parameters
    });
    prop_oneof![2 => nearly_right, 1 => vec((name(), value()), 0..12)]
}

/// Asserts what holds for every response.
fn check(what: &str, answer: &Response<Bytes>) -> Result<(), TestCaseError> {
    let status = answer.status();
    prop_assert!(!status.is_server_error() || status.as_u16() == 503, "{what}: {status}");
    prop_assert_eq!(
        answer.headers().get(header::CACHE_CONTROL).map(|value| value.as_bytes()),
        Some(&b"no-store"[..]),
        "{}",
        what
    );
    if let Some(location) = answer.headers().get(header::LOCATION) {
        let location = location.to_str().map_err(|_| TestCaseError::fail("a location that is no text"))?;
        prop_assert!(PLACES.iter().any(|place| location.starts_with(place)), "{what}: sent to {location}");
    }
    // The bridge creates pages and redirects itself: nothing is injected into headers.
    prop_assert!(
        answer.headers().get_all(header::SET_COOKIE).iter().all(|cookie| !cookie.as_bytes().starts_with(b"a=b"))
    );
    Ok(())
}

/// Generates the parameters and headers of a request.
fn try_everything(parameters: &[(String, String)], raw: &[u8], header: &str) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let fixture = Fixture::new();
        let encoded = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        for path in ["/token", "/revoke", "/introspect", "/consent"] {
            for body in [encoded.as_bytes(), raw] {
                let request = Request::post(path).header("content-type", FORM).header("authorization", header);
                let request = request.body(Body::from(body.to_vec())).expect("a request");
                check(path, &fixture.send(request).await)?;
            }
        }
        for path in ["/authorize", "/callback"] {
            let request = Request::get(format!("{path}?{encoded}")).header("cookie", header);
            check(path, &fixture.send(request.body(Body::empty()).expect("a request")).await)?;
        }
        check("/register", &fixture.post("/register", "application/json", raw.to_vec()).await)
    })
}

/// Generates headers that `http` accepts.
fn header_value() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{0,60}", "Basic [A-Za-z0-9+/=]{0,60}", "__Host-browser=[ -~]{0,40}"]
}

/// Generates registrations that are almost valid.
fn registration() -> impl Strategy<Value = Vec<u8>> {
    let uris = vec(value(), 0..4);
    let member = prop_oneof![
        value().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        Just(serde_json::Value::Null),
        vec(value(), 0..3).prop_map(serde_json::Value::from),
    ];
    let name = select(
        &[
            "client_name",
            "client_uri",
            "grant_types",
            "response_types",
            "token_endpoint_auth_method",
            "scope",
            "jwks",
            "jwks_uri",
            "application_type",
            "contacts",
        ][..],
    );
    (uris, vec((name, member), 0..6)).prop_map(|(uris, members)| {
        let mut registration = serde_json::Map::new();
        registration.insert("redirect_uris".to_owned(), uris.into());
        registration.extend(members.into_iter().map(|(name, member)| (name.to_owned(), member)));
        serde_json::Value::from(registration).to_string().into_bytes()
    })
}

#[tokio::test(start_paused = true)]
async fn a_valid_request_shows_the_consent_page() {
    let fixture = Fixture::new();
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(RIGHT[0]).finish();
    let request = Request::get(format!("/authorize?{query}")).body(Body::empty());
    assert_eq!(fixture.send(request.expect("a request")).await.status(), 200, "nonsense begins near it");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn invalid_requests_are_rejected_without_a_redirect(
        parameters in parameters(),
        raw in prop_oneof![vec(any::<u8>(), 0..200), registration()],
        header in header_value(),
    ) {
        try_everything(&parameters, &raw, &header)?;
    }
}
