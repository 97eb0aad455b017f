//! What comes back through the browser.

use http::Uri;
use portcullis_core::Issuer;
use portcullis_oauth::{
    metadata,
    providers::{AuthorizationResponse, InvalidAuthorizationResponse, Provider},
};
use secrecy::ExposeSecret as _;

use crate::support::{NAMES, provider, response};

fn refusal(query: &str) -> InvalidAuthorizationResponse {
    AuthorizationResponse::parse(query).expect_err(query)
}

#[test]
fn a_code_comes_with_its_state_and_perhaps_its_issuer() {
    let response =
        AuthorizationResponse::parse("code=4%2F0A%3D%3D&state=s%26t&iss=https%3A%2F%2Fa.example").expect("code");
    assert_eq!((response.state().expose_secret(), response.issuer()), ("s&t", Some("https://a.example")));
    assert!(response.has_state("s&t"));
    for other in ["", "s", "s&t ", "S&T"] {
        assert!(!response.has_state(other), "{other:?}");
    }
    let printed = format!("{response:?}");
    assert!(!printed.contains("4/0A") && !printed.contains("s&t"), "{printed}");
    assert_eq!(response.into_code().expect("code").expose_secret(), "4/0A==");

    let silent = AuthorizationResponse::parse("state=s&code=c&scope=a&scope=b&authuser=0&iss=").expect("code");
    assert_eq!(silent.issuer(), None, "an empty parameter is an absent one; others are not looked at");
}

#[test]
fn a_refusal_is_told_in_words_that_are_fit_for_a_log() {
    let refused = |query: &str| AuthorizationResponse::parse(query).expect(query).into_code().expect_err(query);
    let denied = refused("error=access_denied&error_description=The+user+said+no&state=s");
    assert_eq!((denied.code.as_str(), denied.description.as_deref()), ("access_denied", Some("The user said no")));
    assert_eq!(refused("error=x&error_description=a%0Ab&state=s").description, None);
    for code in ["a%0Ab", "a%22b", &"x".repeat(65), "%FF"] {
        assert_eq!(refusal(&format!("error={code}&state=s")), InvalidAuthorizationResponse::UnreadableError, "{code}");
    }
}

#[test]
fn a_user_who_denies_is_told_apart_from_a_provider_that_refuses() {
    let is_by_user = |code: &str| {
        let response = AuthorizationResponse::parse(&format!("error={code}&state=s")).expect(code);
        response.into_code().expect_err(code).is_by_user()
    };
    for code in [
        "access_denied",
        "consent_required",
        "interaction_required",
        "login_required",
        "account_selection_required",
        "user_cancelled_login",
        "user_cancelled_authorize",
    ] {
        assert!(is_by_user(code), "{code}");
    }
    for code in ["server_error", "invalid_scope", "unauthorized_client", "temporarily_unavailable", "invalid_request"] {
        assert!(!is_by_user(code), "{code}");
    }
}

#[test]
fn what_is_repeated_missing_or_contradictory_is_refused() {
    use InvalidAuthorizationResponse::{Contradictory, Missing, Repeated};
    for (query, refused) in [
        ("code=a&code=b&state=s", Repeated("code")),
        ("code=a&code=a&state=s", Repeated("code")),
        ("code=&code=a&state=s", Repeated("code")),
        ("code=a&state=s&state=t", Repeated("state")),
        ("code=a&state=s&st%61te=t", Repeated("state")),
        ("code=a&state=s&iss=x&iss=y", Repeated("iss")),
        ("error=a&error=b&state=s", Repeated("error")),
        ("code=a", Missing("state")),
        ("code=a&state=", Missing("state")),
        ("error=access_denied", Missing("state")),
        ("state=s", Missing("code")),
        ("code=&state=s", Missing("code")),
        ("", Missing("code")),
        ("code=a&error=access_denied&state=s", Contradictory),
    ] {
        assert_eq!(refusal(query), refused, "{query}");
    }
}

#[test]
fn an_issuer_that_is_named_is_the_one_that_was_asked() {
    for name in NAMES {
        let provider = provider(name);
        let issuer = provider.issuer().as_str().to_owned();
        assert_eq!(provider.check_issuer(Some(&issuer)), Ok(()), "{name}");
        assert_eq!(provider.check_issuer(None), Ok(()), "{name}: it does not say that it names itself");
        for other in [format!("{issuer}/"), issuer.to_uppercase(), "https://attacker.example".to_owned(), String::new()]
        {
            let outcome = provider.check_issuer(Some(&other));
            assert_eq!(outcome, Err(InvalidAuthorizationResponse::OtherIssuer), "{name}: {other}");
        }
        let strict = provider.with_advertised_issuer();
        assert_eq!(strict.check_issuer(None), Err(InvalidAuthorizationResponse::NoIssuer), "{name}");
        assert_eq!(strict.check_issuer(Some(&issuer)), Ok(()), "{name}");
        let short = strict.check_issuer(Some("accounts.google.com"));
        assert_eq!(short.is_ok(), name == "google", "{name}: a short name is Google's");
    }
}

#[test]
fn metadata_say_whether_an_issuer_is_named_and_where_the_keys_are() {
    let issuer = Issuer::new("https://idp.example.com").expect("issuer");
    let body = r#"{"issuer":"https://idp.example.com","authorization_endpoint":"https://idp.example.com/auth",
        "token_endpoint":"https://idp.example.com/token","jwks_uri":"https://keys.example.com/jwks",
        "authorization_response_iss_parameter_supported":true}"#;
    let metadata = metadata::process(&issuer, &response(200, "application/json", body)).expect("metadata");
    let provider = Provider::oidc(&metadata).expect("endpoints");
    assert!(provider.advertises_issuer());
    assert_eq!(provider.jwks_uri(), Some(&Uri::from_static("https://keys.example.com/jwks")));
}

#[test]
fn id_tokens_come_from_those_that_speak_openid_connect() {
    let keys = |name| provider(name).jwks_uri().map(ToString::to_string);
    for (name, keys_at) in [
        ("keycloak", "https://sso.example.com/realms/staff/protocol/openid-connect/certs"),
        ("google", "https://www.googleapis.com/oauth2/v3/certs"),
        ("salesforce", "https://login.salesforce.com/id/keys"),
    ] {
        assert_eq!(keys(name).as_deref(), Some(keys_at));
        assert!(provider(name).issues_id_tokens() && provider(name).id_token_policy("app").is_some(), "{name}");
    }
    assert!(provider("oidc").issues_id_tokens());
    for name in ["github", "atlassian"] {
        assert!(!provider(name).issues_id_tokens() && provider(name).id_token_policy("app").is_none(), "{name}");
    }
    let elsewhere = provider("google").with_jwks_uri(Uri::from_static("http://127.0.0.1:7000/jwks"));
    assert_eq!(elsewhere.jwks_uri().and_then(Uri::port_u16), Some(7000));
}
