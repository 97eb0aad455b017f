//! A browser without a window: what it sends along, where it goes on, and what it refuses.

use axum::{
    Form, Router,
    extract::Query,
    http::HeaderMap,
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use portcullis_test_support::{
    Arrival, Browser, BrowserError, Endpoint, IdentityProvider, LoginPolicy, Network, Submission,
};
use serde_json::{Value, json};

const APP: &str = "https://app.example.test";
const CALLBACK: &str = "com.example.app:/callback";

type Fields = Query<Vec<(String, String)>>;

/// An application that consents, sends to `login`, and then to the client.
fn app(login: String) -> Router {
    let consent = async || {
        let headers = [
            ("set-cookie", "__Host-b=1; Secure; HttpOnly; SameSite=Lax; Path=/"),
            ("content-security-policy", "default-src 'none'; form-action 'self'"),
        ];
        let form = r#"<form method="post" action="/consent"><input type="hidden" name="sealed" value="&quot;x&quot;">
            <button name="decision" value="deny">No</button><button name="decision" value="approve">Yes</button></form>"#;
        (headers, Html(form))
    };
    let approved = async move |Form(fields): Form<Vec<(String, String)>>| {
        assert_eq!(json!(fields), json!([["sealed", "\"x\""], ["decision", "approve"]]));
        let login = login.replace('&', "&amp;");
        Html(format!(r#"<meta http-equiv="refresh" content="0; url={login}">"#))
    };
    let callback = async |Query(fields): Fields, headers: HeaderMap| -> Response {
        assert_eq!(headers["cookie"], "__Host-b=1", "a top-level GET from another site brings Lax cookies");
        let code = &fields.iter().find(|(name, _)| name == "code").expect("a code").1;
        Redirect::to(&format!("{CALLBACK}?code={code}")).into_response()
    };
    Router::new()
        .route("/authorize", get(consent))
        .route("/consent", post(approved))
        .route("/callback", get(callback))
        .route("/away", post(async || Redirect::to("https://elsewhere.test/")))
        .route("/loop", get(async || Redirect::to("/loop")))
        .route("/echo", get(echo).post(echo))
}

/// The headers that tell where a request comes from.
async fn echo(headers: HeaderMap) -> String {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    json!([text("sec-fetch-site"), text("origin"), text("cookie")]).to_string()
}

fn network() -> (Network, IdentityProvider) {
    let provider = IdentityProvider::new().with_issuer("https://idp.test");
    let login = format!(
        "{}?response_type=code&client_id=app&redirect_uri={APP}/callback&state=s",
        provider.endpoint_url(Endpoint::Authorization)
    );
    (Network::new().with_provider(&provider).with_service(APP, app(login)), provider)
}

fn seen(arrival: Arrival) -> Value {
    serde_json::from_str(&arrival.page().expect("a page").text()).expect("JSON")
}

#[tokio::test(start_paused = true)]
async fn a_login_goes_over_consent_and_login_page_back_to_the_client() -> Result<(), BrowserError> {
    let (network, provider) = network();
    provider.set_user("alice", Default::default());
    provider.set_login_policy(LoginPolicy::new().with_single_sign_on());
    let mut browser = Browser::new(network);
    let authorize = format!("{APP}/authorize");
    for user in ["alice", "another user"] {
        let mut browser = browser.clone();
        let left = browser.log_in(&authorize, user).await?.left()?;
        assert!(left.as_str().starts_with("com.example.app:/callback?code=c_"), "{left}");
    }

    // By hand, up to the login page.
    let consent = browser.get(&authorize).await?.page()?;
    let page = browser.press(&consent, "decision", "approve").await?.page()?;
    assert_eq!(page.url().host_str(), Some("idp.test"));
    assert_eq!(page.hops().len(), 2, "the refresh and what it led to");
    let error = page.press("decision", "approve").expect_err("no such button").to_string();
    assert_eq!(
        error,
        "https://idp.test/authorize (status 200) has no button decision=approve, but user=alice, user=another user, =, cancel=1"
    );

    let mut other = browser.clone();
    browser.press(&page, "user", "alice").await?.left()?;
    assert_eq!((browser.cookies().len(), other.cookies().len()), (2, 1), "two browsers");
    let session = browser.cookies().into_iter().find(|cookie| cookie.name() == "idp_session").expect("a session");
    assert!(!format!("{session:?}").contains(session.value()));
    let stolen = format!("{}={}; Secure; Path=/", session.name(), session.value());
    assert!(other.set_cookie("https://idp.test/", &stolen));
    let arrival = other.press(&consent, "decision", "approve").await?;
    assert!(arrival.left()?.as_str().contains("code="), "with the session of another no page is seen");
    Ok(())
}

#[tokio::test]
async fn servers_can_tell_their_own_forms_from_forged_ones() -> Result<(), BrowserError> {
    let mut browser = Browser::new(network().0);
    let echo = format!("{APP}/echo");
    assert!(browser.set_cookie(APP, "__Host-b=1; Secure; Path=/"));
    assert_eq!(seen(browser.get(&echo).await?), json!(["none", null, "__Host-b=1"]));
    for (page, site, origin, cookie) in [
        ("https://app.example.test/x", "same-origin", "https://app.example.test", json!("__Host-b=1")),
        ("https://idp.example.test/", "same-site", "https://idp.example.test", json!("__Host-b=1")),
        ("https://evil.test/", "cross-site", "https://evil.test", Value::Null),
    ] {
        let posted = browser.submit(Submission::post(page, &echo).with_field("a", "b")).await?;
        assert_eq!(seen(posted), json!([site, origin, cookie]));
    }
    let lured = browser.submit(Submission::get("https://evil.test/", &echo)).await?;
    assert_eq!(seen(lured), json!(["cross-site", null, "__Host-b=1"]));
    let without = Submission::post(APP, &echo).with_header("origin", "").with_header("sec-fetch-site", "");
    assert_eq!(seen(browser.submit(without).await?), json!([null, null, "__Host-b=1"]));
    Ok(())
}

#[tokio::test]
async fn what_a_browser_does_not_do_is_an_error() -> Result<(), BrowserError> {
    let mut browser = Browser::new(network().0).with_stop_at("https://stop.test/");
    let endless = browser.get(&format!("{APP}/loop")).await.expect_err("endless");
    assert_eq!(endless.to_string(), "redirects without end, the last one to /loop");

    let consent = browser.get(&format!("{APP}/authorize")).await?.page()?;
    let away = consent.press("decision", "approve")?.to("/away");
    let error = browser.submit(away).await.expect_err("a redirect after a form");
    assert_eq!(error.to_string(), format!("the page of {APP} lets no form go to https://elsewhere.test"));

    assert_eq!(browser.get("https://stop.test/x").await?.left()?.path(), "/x");
    let nowhere = browser.get("https://nowhere.test/").await.expect_err("nothing is there");
    assert_eq!(nowhere.to_string(), "nothing of this test is at https://nowhere.test, and sockets are for http only");
    let consent = browser.get(&format!("{APP}/authorize")).await?;
    assert_eq!(
        consent.left().expect_err("a page").to_string(),
        format!("the browser stopped at {APP}/authorize (status 200)")
    );
    Ok(())
}

#[tokio::test]
async fn on_a_socket_it_is_the_same() -> Result<(), Box<dyn std::error::Error>> {
    let provider = IdentityProvider::new();
    let running = provider.serve().await?;
    let mut browser = Browser::new(Network::new()).with_stop_at("http://127.0.0.1:1/callback");
    let login = format!(
        "{}?response_type=code&client_id=app&redirect_uri=http://127.0.0.1:1/callback",
        provider.endpoint_url(Endpoint::Authorization)
    );
    assert!(browser.log_in(&login, "alice").await?.left()?.query().is_some_and(|query| query.starts_with("code=")));
    running.shutdown().await;
    assert!(browser.get(&login).await.is_err());
    Ok(())
}
