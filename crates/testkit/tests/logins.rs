//! The login page, the way back from it, and the ID tokens that follow.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use jsonwebtoken::dangerous::insecure_decode;
use portcullis_testkit::{Endpoint, IdentityProvider, LoginPolicy, TestClock, TokenPolicy, Vendor};
use serde_json::{Value, json};
use tower::ServiceExt;
use url::Url;

const CALLBACK: &str = "https://bridge.example.test/callback";
/// The pair of RFC 7636 appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

fn url(provider: &IdentityProvider, further: &[(&str, &str)]) -> String {
    let usual = [
        ("response_type", "code"),
        ("client_id", IdentityProvider::CLIENT_ID),
        ("redirect_uri", CALLBACK),
        ("state", "s1"),
        ("nonce", "n1"),
    ];
    let usual = usual.into_iter().filter(|(name, _)| !further.iter().any(|(replaced, _)| replaced == name));
    let usual: Vec<_> = usual.collect();
    let url = Url::parse_with_params(&provider.endpoint_url(Endpoint::Authorization), usual.iter().chain(further));
    url.expect("a URL").into()
}

async fn get(provider: &IdentityProvider, url: &str, cookie: &str) -> Response<Bytes> {
    let request = Request::get(url).header("cookie", cookie).body(Bytes::new()).expect("a request");
    provider.clone().oneshot(request).await.expect("a response")
}

async fn post(provider: &IdentityProvider, url: &str, form: &'static str) -> Response<Bytes> {
    let request = Request::post(url).header("content-type", "application/x-www-form-urlencoded");
    provider.clone().oneshot(request.body(form.into()).expect("a request")).await.expect("a response")
}

/// The parameters that the browser takes back to the client.
fn callback(response: &Response<Bytes>) -> Value {
    assert_eq!(response.status(), StatusCode::SEE_OTHER, "{:?}", response.body());
    let location = Url::parse(response.headers()["location"].to_str().expect("ASCII")).expect("a URL");
    assert!(location.as_str().starts_with(CALLBACK));
    Value::Object(location.query_pairs().map(|(name, value)| (name.into_owned(), json!(value))).collect())
}

async fn redeem(provider: &IdentityProvider, code: &Value, verifier: Option<&str>) -> Value {
    let code = code.as_str().expect("a code");
    let mut fields = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("client_id", IdentityProvider::CLIENT_ID),
        ("client_secret", IdentityProvider::CLIENT_SECRET),
    ];
    fields.extend(verifier.map(|verifier| ("code_verifier", verifier)));
    let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = Request::post(provider.endpoint_url(Endpoint::Token)).header("accept", "application/json");
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(form.into());
    let response = provider.clone().oneshot(request.expect("a request")).await.expect("a response");
    serde_json::from_slice(response.body()).expect("JSON")
}

/// A login of alice without a page.
async fn login(provider: &IdentityProvider, further: &[(&str, &str)]) -> Value {
    let further = [&[("login_hint", "alice")], further].concat();
    let back = callback(&get(provider, &url(provider, &further), "").await);
    redeem(provider, &back["code"], None).await
}

fn id_token(tokens: &Value) -> (Value, Value) {
    let token = insecure_decode::<Value>(tokens["id_token"].as_str().expect("an ID token")).expect("a JWT");
    (json!(token.header), token.claims)
}

#[tokio::test]
async fn a_user_is_picked_on_a_page_and_goes_back_with_a_code() {
    let provider = IdentityProvider::new();
    provider.set_user("alice", json!({"name": "Alice <b>"}).as_object().cloned().expect("an object"));
    let url = url(&provider, &[("code_challenge", CHALLENGE), ("code_challenge_method", "S256")]);

    let page = get(&provider, &url, "").await;
    let text = String::from_utf8_lossy(page.body());
    assert_eq!(page.status(), StatusCode::OK);
    assert_eq!(page.headers()["x-frame-options"], "DENY");
    assert!(text.contains(r#"<button name="user" value="alice">"#) && text.contains("Alice &#60;b&#62;"), "{text}");

    let back = callback(&post(&provider, &url, "user=alice").await);
    assert_eq!((&back["state"], &back["iss"]), (&json!("s1"), &json!(IdentityProvider::ISSUER)));
    assert_eq!(redeem(&provider, &back["code"], None).await["error"], "invalid_grant", "without the verifier");
    assert!(redeem(&provider, &back["code"], Some(VERIFIER)).await["access_token"].is_string());
    assert_eq!(redeem(&provider, &back["code"], Some(VERIFIER)).await["error"], "invalid_grant", "a second time");

    let back = callback(&post(&provider, &url, "cancel=1").await);
    assert_eq!((&back["error"], &back["state"], back.get("code")), (&json!("access_denied"), &json!("s1"), None));
}

#[tokio::test]
async fn what_cannot_be_answered_goes_back_as_an_error_or_nowhere() {
    let provider = IdentityProvider::new();
    for (name, value, error) in [
        ("response_type", "token", "unsupported_response_type"),
        ("code_challenge", CHALLENGE, "invalid_request"),
        ("prompt", "none", "login_required"),
    ] {
        assert_eq!(callback(&get(&provider, &url(&provider, &[(name, value)]), "").await)["error"], error);
    }
    provider.set_redirect_uris(IdentityProvider::CLIENT_ID, &["https://other.example.test/"]);
    assert_eq!(get(&provider, &url(&provider, &[]), "").await.status(), StatusCode::BAD_REQUEST);
    let no_client = format!("{}?response_type=code", provider.endpoint_url(Endpoint::Authorization));
    assert_eq!(get(&provider, &no_client, "").await.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_browser_that_is_remembered_sees_no_page_unless_it_is_asked_for() {
    let provider = IdentityProvider::new();
    provider.set_login_policy(LoginPolicy::new().with_single_sign_on());
    let first = post(&provider, &url(&provider, &[]), "user=alice").await;
    let cookie = first.headers()["set-cookie"].to_str().expect("ASCII");
    assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax; Secure"), "{cookie}");
    let cookie = cookie.split(';').next().expect("a pair");

    assert!(callback(&get(&provider, &url(&provider, &[]), cookie).await)["code"].is_string());
    assert_eq!(get(&provider, &url(&provider, &[("prompt", "login")]), cookie).await.status(), StatusCode::OK);
    assert_eq!(get(&provider, &url(&provider, &[]), "idp_session=guessed").await.status(), StatusCode::OK);

    provider.set_login_policy(LoginPolicy::new().with_auto_login("bob"));
    assert!(callback(&get(&provider, &url(&provider, &[]), "").await)["code"].is_string());
    provider.set_login_policy(LoginPolicy::new().with_denial("access_denied").without_issuer_parameter());
    let back = callback(&get(&provider, &url(&provider, &[]), "").await);
    assert_eq!((&back["error"], back.get("iss")), (&json!("access_denied"), None));
}

#[tokio::test]
async fn an_id_token_is_for_this_login() {
    let clock = TestClock::new();
    let provider = IdentityProvider::new().with_clock(Arc::new(clock));
    let tokens = login(&provider, &[("scope", "openid email")]).await;
    let (header, claims) = id_token(&tokens);
    assert_eq!((&header["typ"], &header["kid"]), (&json!("JWT"), &json!(provider.signing_kid())));
    let hash = aws_lc_rs::digest::digest(
        &aws_lc_rs::digest::SHA256,
        tokens["access_token"].as_str().expect("a token").as_bytes(),
    );
    let at_hash = base64::Engine::encode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, &hash.as_ref()[..16]);
    let now = TestClock::START.as_secs();
    assert_eq!(
        claims,
        json!({
            "iss": IdentityProvider::ISSUER, "sub": "alice", "aud": IdentityProvider::CLIENT_ID,
            "azp": IdentityProvider::CLIENT_ID, "nonce": "n1", "iat": now, "exp": now + 600, "at_hash": at_hash,
        })
    );
    assert_eq!(login(&provider, &[("scope", "email")]).await.get("id_token"), None);
    provider.set_token_policy(TokenPolicy::new().without_id_tokens());
    assert_eq!(login(&provider, &[("scope", "openid")]).await.get("id_token"), None);
}

#[tokio::test]
async fn both_can_be_forged_by_a_party_that_talks_to_the_provider_meanwhile() {
    let provider = IdentityProvider::new();
    let other = provider.clone();
    provider.forge_id_tokens(move |id_token| id_token.with_claim("nonce", other.issuer()).unsigned());
    let tokens = login(&provider, &[("scope", "openid")]).await;
    let payload = tokens["id_token"].as_str().and_then(|token| token.split('.').nth(1)).expect("a JWT");
    let claims = base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, payload).expect("base64url");
    let claims: Value = serde_json::from_slice(&claims).expect("JSON");
    assert_eq!(claims["nonce"], IdentityProvider::ISSUER);
    assert!(tokens["id_token"].as_str().is_some_and(|token| token.ends_with('.')), "not signed");

    let other = provider.clone();
    provider.forge_callbacks(move |response| {
        let code = other.issue_code("mallory", "", CALLBACK, None);
        response.with("code", &code).without("state").with("iss", "https://evil.example.test")
    });
    let hint = [("login_hint", "alice")];
    let back = callback(&get(&provider, &url(&provider, &hint), "").await);
    assert_eq!((back.get("state"), &back["iss"]), (None, &json!("https://evil.example.test")));
    provider.stop_forging();
    assert_eq!(callback(&get(&provider, &url(&provider, &hint), "").await)["state"], "s1");
}

#[tokio::test]
async fn each_vendor_logs_in_at_its_own_path_and_by_its_own_habits() {
    for vendor in Vendor::ALL {
        let provider = IdentityProvider::of(vendor);
        let hint = ("login_hint", "alice");
        let required = [hint, ("audience", "api.atlassian.com"), ("prompt", "consent")];
        let back = callback(&get(&provider, &url(&provider, &required), "").await);
        assert!(back["code"].is_string(), "{vendor:?}");
        let says_issuer = matches!(vendor, Vendor::Keycloak | Vendor::Google);
        assert_eq!(back.get("iss").is_some(), says_issuer, "{vendor:?}");
    }
    let atlassian = IdentityProvider::of(Vendor::Atlassian);
    assert_eq!(callback(&get(&atlassian, &url(&atlassian, &[]), "").await)["error"], "invalid_request");

    let github = IdentityProvider::of(Vendor::GitHub);
    assert_eq!(login(&github, &[("scope", "openid")]).await.get("id_token"), None);
    let keycloak = IdentityProvider::of(Vendor::Keycloak);
    assert_eq!(id_token(&login(&keycloak, &[("scope", "openid")]).await).1["iss"], keycloak.issuer());

    let salesforce = IdentityProvider::of(Vendor::Salesforce);
    let tokens = login(&salesforce, &[("scope", "openid")]).await;
    assert_eq!((id_token(&tokens).1["sub"].clone(), tokens.get("refresh_token")), (tokens["id"].clone(), None));
    assert!(login(&salesforce, &[("scope", "refresh_token")]).await["refresh_token"].is_string());
}

#[tokio::test]
async fn google_gives_a_refresh_token_to_those_who_ask_and_once_unless_there_is_consent() {
    let google = IdentityProvider::of(Vendor::Google);
    let offline = ("access_type", "offline");
    let has_refresh_token = async |further: &[(&str, &str)]| login(&google, further).await["refresh_token"].is_string();
    assert!(!has_refresh_token(&[]).await);
    assert!(has_refresh_token(&[offline]).await);
    assert!(!has_refresh_token(&[offline]).await);
    assert!(has_refresh_token(&[offline, ("prompt", "consent")]).await);
}

#[tokio::test]
async fn an_identity_assertion_is_for_one_authorization_server_and_no_access_token() {
    let provider = IdentityProvider::new().with_clock(Arc::new(TestClock::new()));
    let assertion = provider.id_jag("alice", "https://as.example.test", "mcp-client").with_scope("mcp:read").jwt();
    let token = insecure_decode::<Value>(&assertion).expect("a JWT");
    let now = TestClock::START.as_secs();
    assert_eq!(token.header.typ.as_deref(), Some("oauth-id-jag+jwt"));
    assert_eq!(
        token.claims,
        json!({
            "iss": IdentityProvider::ISSUER, "sub": "alice", "aud": "https://as.example.test", "client_id": "mcp-client",
            "iat": now, "exp": now + 300, "jti": token.claims["jti"], "scope": "mcp:read",
        })
    );
    let id_token = login(&provider, &[("scope", "openid")]).await["id_token"].clone();
    for token in [&*assertion, id_token.as_str().expect("a token")] {
        let request = Request::get(provider.endpoint_url(Endpoint::UserInfo));
        let request = request.header("authorization", format!("Bearer {token}")).body(Bytes::new());
        let response = provider.clone().oneshot(request.expect("a request")).await.expect("a response");
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    }
}
