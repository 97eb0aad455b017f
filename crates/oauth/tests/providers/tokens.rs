//! Tokens as each provider hands them out.

use std::time::Duration;

use portcullis_core::UnixTime;
use portcullis_oauth::{TokenResponse, providers::Rotation};
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::support::{NAMES, NOW, provider, response, tokens};

fn refresh_token(tokens: &TokenResponse) -> Option<&str> {
    tokens.refresh_token.as_ref().map(|token| token.expose_secret())
}

fn scopes(tokens: &TokenResponse) -> Option<String> {
    tokens.scopes.as_ref().map(ToString::to_string)
}

const fn secs(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

#[test]
fn a_login_brings_tokens_lifetimes_and_scopes() {
    for (name, answer, refresh, lifetime, refresh_lifetime, granted) in [
        ("oidc", "login", Some("rt-1"), secs(3600), None, "openid profile offline_access"),
        ("keycloak", "login", Some("eyJrt1"), secs(300), secs(1800), "openid profile email"),
        ("keycloak", "login_offline", Some("eyJrt1"), secs(300), None, "openid profile email offline_access"),
        (
            "google",
            "login",
            Some("1//0g-rt1"),
            secs(3599),
            None,
            "openid https://www.googleapis.com/auth/calendar.readonly https://www.googleapis.com/auth/userinfo.email",
        ),
        ("google", "login_for_a_time", Some("1//0g-rt1"), secs(3599), secs(604_799), "openid"),
        ("github", "login_oauth_app", None, None, None, "repo user:email"),
        ("github", "login", Some("ghr_1B4a2e77838347a7E420ce178F2E7c6912E1"), secs(28_800), secs(15_811_200), ""),
        ("atlassian", "login", Some("eyJrt1"), secs(3600), None, "offline_access read:me read:jira-work"),
        (
            "salesforce",
            "login",
            Some("5Aep861TSESvWeug_xvFHRBTTbf_YrTWgEyjBJrr"),
            None,
            None,
            "refresh_token openid api",
        ),
    ] {
        let tokens = tokens(name, answer);
        assert_eq!(refresh_token(&tokens), refresh, "{name} {answer}");
        assert_eq!((tokens.expires_in, tokens.refresh_expires_in), (lifetime, refresh_lifetime), "{name} {answer}");
        assert_eq!(scopes(&tokens).unwrap_or_default(), granted, "{name} {answer}");
    }
}

#[test]
fn a_refresh_brings_a_new_refresh_token_or_leaves_the_old_one() {
    for (name, answer, refresh) in [
        ("oidc", "refresh", Some("rt-2")),
        ("oidc", "refresh_without_refresh_token", None),
        ("keycloak", "refresh", Some("eyJrt2")),
        ("google", "refresh", None),
        ("github", "refresh", Some("ghr_2")),
        ("atlassian", "refresh", Some("eyJrt2")),
        ("salesforce", "refresh", None),
        ("salesforce", "refresh_with_rotation", Some("5Aep-rt3")),
    ] {
        assert_eq!(refresh_token(&tokens(name, answer)), refresh, "{name} {answer}");
    }
}

#[test]
fn presenting_a_refresh_token_twice_is_assumed_to_be_harmless_only_where_that_is_known() {
    for name in NAMES {
        let expected = match name {
            "google" => Rotation::Reusable,
            "atlassian" => Rotation::Leeway(Duration::from_mins(10)),
            _ => Rotation::SingleUse,
        };
        assert_eq!(provider(name).rotation(), expected, "{name}");
    }
    assert_eq!(provider("keycloak").with_rotation(Rotation::Reusable).rotation(), Rotation::Reusable);
}

#[test]
fn what_a_vendor_says_beside_the_tokens_is_kept_if_it_is_of_use_and_never_a_secret() {
    let salesforce = tokens("salesforce", "login").further;
    assert_eq!(salesforce["instance_url"], "https://mydomain.my.salesforce.com");
    assert_eq!(salesforce.keys().collect::<Vec<_>>(), ["id", "instance_url"]);
    for name in NAMES {
        let further = serde_json::to_string(&tokens(name, "login").further).expect("JSON");
        assert!(!further.contains("token") && !further.contains("e30."), "{further}");
    }
    assert!(tokens("oidc", "login").id_token.is_some());
}

#[test]
fn the_expiry_is_taken_from_the_response_or_else_from_the_token() {
    // {"exp":1800000300}
    let jwt = "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjE4MDAwMDAzMDB9.c2ln";
    let read = |expires_in: serde_json::Value, token: &str, now| {
        let body = json!({"access_token": token, "token_type": "Bearer", "expires_in": expires_in}).to_string();
        let tokens = provider("oidc").process_token(&response(200, "application/json", &body), now).expect("tokens");
        (tokens.expires_in, tokens.expires_at)
    };
    let exp = UnixTime::from_secs(1_800_000_300);
    assert_eq!(read(json!(60), jwt, NOW), (secs(60), None), "the response goes first: it does not depend on clocks");
    assert_eq!(read(json!("60"), "opaque", NOW), (secs(60), None), "as a string");
    assert_eq!(read(json!(0.5), "opaque", NOW), (Some(Duration::from_millis(500)), None));
    assert_eq!(read(json!(null), jwt, NOW), (None, Some(exp)));
    assert_eq!(read(json!(null), "opaque", NOW), (None, None));
    for nonsense in [json!(0), json!(-1), json!(1e300), json!("soon"), json!([60])] {
        assert_eq!(read(nonsense, "opaque", NOW), (None, None), "better unknown than wrong");
    }
    assert_eq!(
        read(json!(null), jwt, exp),
        (None, None),
        "a token that has just come has not expired: a clock is wrong"
    );
}

#[test]
fn what_is_no_scope_is_no_right_and_spoils_nothing() {
    let read = |scope: serde_json::Value| {
        let body = json!({"access_token": "x", "token_type": "bearer", "scope": scope}).to_string();
        let tokens = provider("oidc").process_token(&response(200, "application/json", &body), NOW).expect("tokens");
        scopes(&tokens)
    };
    assert_eq!(read(json!("a \"b\" c a")).as_deref(), Some("a c"));
    assert_eq!(read(json!("a,b")).as_deref(), Some("a b"), "by commas");
    assert_eq!(read(json!(["a", "b c", 7])).as_deref(), Some("a b c"), "as a list");
    assert_eq!(read(json!(null)), None, "what was asked for");
    for other in [json!(7), json!(true), json!({"a": true}), json!([])] {
        assert_eq!(read(other).as_deref(), Some(""), "a scope of another type is not an absent scope");
    }
}

#[test]
fn harmless_deviations_of_a_token_response_are_accepted() {
    const TOKENS: &str = r#"{"access_token":"x","token_type":"jwt-bearer","expires_in":"3600"}"#;
    for (status, content_type, prefix) in [
        (200, "application/json", ""),
        (201, "application/json", ""),
        (200, "text/plain; charset=utf-8", ""),
        (200, "text/javascript", ""),
        (200, "application/json", "\u{feff}"),
    ] {
        let response = response(status, content_type, &format!("{prefix}{TOKENS}"));
        let tokens = provider("oidc").process_token(&response, NOW);
        assert_eq!(tokens.expect(content_type).expires_in, secs(3600), "{status} {content_type}");
        assert!(provider("oidc").process_refresh(&response, NOW).is_ok(), "{status} {content_type}");
    }
    for (status, content_type, body) in [
        (200, "text/html", TOKENS),
        (202, "application/json", TOKENS),
        (204, "application/json", ""),
        (200, "application/json", r#"{"access_token":"x","access_token":"y"}"#),
        (200, "application/json", r#"{"access_token":"x","token_type":"mac"}"#),
    ] {
        assert!(provider("oidc").process_token(&response(status, content_type, body), NOW).is_err(), "{content_type}");
    }
    let dead = response(400, "text/plain", "\u{feff}{\"error\":\"invalid_grant\"}");
    let error = provider("oidc").process_token(&dead, NOW).expect_err("dead");
    assert!(matches!(error, portcullis_oauth::ProtocolError::GrantRefused { .. }), "{error}");
}

#[test]
fn an_empty_scope_says_that_nothing_was_granted_but_at_a_github_app_which_has_none() {
    let read = |name, access_token: &str, scope: &str| {
        let body = json!({"access_token": access_token, "token_type": "bearer", "scope": scope}).to_string();
        let tokens = provider(name).process_token(&response(200, "application/json", &body), NOW).expect("tokens");
        scopes(&tokens)
    };
    for name in NAMES {
        assert_eq!(read(name, "gho_of-an-oauth-app", "").as_deref(), Some(""), "{name}");
        assert_eq!(read(name, "opaque", " ").as_deref(), Some(""), "{name}");
        let app = read(name, "ghu_of-an-app", "");
        assert_eq!(app.as_deref(), if name == "github" { None } else { Some("") }, "{name}");
        assert_eq!(read(name, "ghu_of-an-app", "repo").as_deref(), Some("repo"), "{name}: what is said counts");
    }
}

#[test]
fn a_token_response_prints_no_token() {
    for name in NAMES {
        let tokens = tokens(name, "login");
        let printed = format!("{tokens:?}");
        assert!(!printed.contains(tokens.access_token.expose_secret()), "{name}");
        assert!(refresh_token(&tokens).is_none_or(|token| !printed.contains(token)), "{name}");
    }
}
