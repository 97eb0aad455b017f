//! What is sent, to each in its own format.

use bytes::Bytes;
use http::{Request, Uri};
use portcullis_core::ScopeSet;
use portcullis_oauth::{
    ClientAuthentication, CodeVerifier,
    providers::{AuthorizationRequest, Provider},
    revocation::RevokedTokens,
};
use serde_json::{Value, json};

use crate::support::{NAMES, body, client, provider, response, text, token};

const REDIRECT: &str = "https://mcp.example.com/callback";

fn verifier() -> CodeVerifier {
    CodeVerifier::new([7; 32])
}

fn parameters(url: &str) -> Vec<(String, String)> {
    let url = url::Url::parse(url).expect("URL");
    url.query_pairs().into_owned().collect()
}

fn all<'a>(parameters: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    parameters.iter().filter(|(own, _)| own == name).map(|(_, value)| &**value).collect()
}

#[test]
fn a_user_is_sent_with_state_challenge_and_the_vendors_parameters() {
    let verifier = verifier();
    let scopes = ScopeSet::parse("openid offline_access").expect("scopes");
    let request = AuthorizationRequest::new("app", REDIRECT, "st&te", &verifier).with_scopes(&scopes).with_nonce("n1");
    for name in NAMES {
        let sent = parameters(&provider(name).authorization_url(&request));
        for (parameter, value) in [
            ("response_type", "code"),
            ("client_id", "app"),
            ("redirect_uri", REDIRECT),
            ("scope", "openid offline_access"),
            ("state", "st&te"),
            ("code_challenge", &*verifier.challenge()),
            ("code_challenge_method", "S256"),
            ("nonce", "n1"),
        ] {
            assert_eq!(all(&sent, parameter), [value], "{name}");
        }
    }
    let google = parameters(&provider("google").authorization_url(&request));
    assert_eq!((all(&google, "access_type"), all(&google, "prompt")), (vec!["offline"], vec!["consent"]));
    let atlassian = parameters(&provider("atlassian").authorization_url(&request));
    assert_eq!((all(&atlassian, "audience"), all(&atlassian, "prompt")), (vec!["api.atlassian.com"], vec!["consent"]));
    let oidc = provider("oidc").authorization_url(&request);
    assert!(oidc.starts_with("https://idp.example.com/auth?p=1&response_type=code&"), "{oidc}");
    assert!(!format!("{request:?}").contains("st&te"));
}

#[test]
fn what_is_not_asked_for_is_not_sent_and_the_caller_has_the_last_word() {
    let verifier = verifier();
    let none = ScopeSet::default();
    let request = AuthorizationRequest::new("app", REDIRECT, "s", &verifier).with_scopes(&none);
    let sent = parameters(&provider("google").authorization_url(&request.with_parameter("prompt", "select_account")));
    assert_eq!((all(&sent, "scope"), all(&sent, "nonce")), (vec![], vec![]));
    assert_eq!(all(&sent, "prompt"), ["select_account"]);
    assert_eq!(all(&sent, "access_type"), ["offline"]);
}

fn members(request: &Request<Bytes>) -> Value {
    match request.headers()["content-type"].to_str().expect("text") {
        "application/json" => serde_json::from_slice(request.body()).expect("JSON"),
        "application/x-www-form-urlencoded" => {
            let pairs = url::form_urlencoded::parse(request.body());
            Value::Object(pairs.map(|(name, value)| (name.into_owned(), Value::from(value.into_owned()))).collect())
        }
        other => unreachable!("{other}"),
    }
}

/// Whether the secret goes into the body, and in which format.
fn formats() -> [(&'static str, bool, &'static str); 6] {
    let form = "application/x-www-form-urlencoded";
    [
        ("oidc", false, form),
        ("keycloak", false, form),
        ("google", false, form),
        ("github", true, form),
        ("atlassian", true, "application/json"),
        ("salesforce", true, form),
    ]
}

#[test]
fn a_code_is_redeemed_with_verifier_and_secret() {
    for (name, secret_in_body, content_type) in formats() {
        let provider = provider(name);
        let request = provider.code_request(&client(), &"c0de".into(), REDIRECT, &verifier());
        assert_eq!((request.method().as_str(), request.uri()), ("POST", provider.token_endpoint()), "{name}");
        assert_eq!(request.headers()["content-type"], content_type, "{name}");
        assert_eq!(request.headers()["accept"], "application/json", "{name}");
        let mut expected = json!({
            "grant_type": "authorization_code", "code": "c0de", "redirect_uri": REDIRECT,
            "code_verifier": "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc",
        });
        if secret_in_body {
            (expected["client_id"], expected["client_secret"]) = ("app".into(), "s&cret".into());
        }
        assert_eq!(members(&request), expected, "{name}");
        assert_eq!(request.headers().contains_key("authorization"), !secret_in_body, "{name}");
    }
}

#[test]
fn a_refresh_never_names_scopes() {
    for (name, secret_in_body, content_type) in formats() {
        let request = provider(name).refresh_request(&client(), &"rt/1".into());
        let mut expected = json!({"grant_type": "refresh_token", "refresh_token": "rt/1"});
        if secret_in_body {
            (expected["client_id"], expected["client_secret"]) = ("app".into(), "s&cret".into());
        }
        assert_eq!(members(&request), expected, "{name}");
        assert_eq!(request.headers()["content-type"], content_type, "{name}");
    }
    let post = ClientAuthentication::post("app", "s".into());
    assert_eq!(members(&provider("keycloak").refresh_request(&post, &"r".into()))["client_secret"], "s");
}

#[test]
fn a_grant_is_revoked_in_each_ones_way() {
    let (access, refresh) = (token("at"), "rt".into());
    let revoke = |name| provider(name).revocation_request(&client(), RevokedTokens::new(&access, Some(&refresh)));
    for (name, endpoint) in [
        ("oidc", "https://idp.example.com/revoke"),
        ("keycloak", "https://sso.example.com/realms/staff/protocol/openid-connect/revoke"),
    ] {
        let request = revoke(name).expect(name);
        assert_eq!(text(request.uri()), endpoint);
        assert_eq!(body(&request), "token=rt&token_type_hint=refresh_token", "{name}");
        assert!(request.headers().contains_key("authorization"), "{name}");
    }
    let salesforce = revoke("salesforce").expect("salesforce");
    assert_eq!(text(salesforce.uri()), "https://login.salesforce.com/services/oauth2/revoke");
    let fields = "token=rt&token_type_hint=refresh_token&client_id=app&client_secret=s%26cret";
    assert_eq!(body(&salesforce), fields, "credentials in the form, as in its token requests");
    assert!(!salesforce.headers().contains_key("authorization"));
    let google = revoke("google").expect("google");
    assert_eq!((text(google.uri()).as_str(), body(&google)), ("https://oauth2.googleapis.com/revoke", "token=rt"));
    let github = revoke("github").expect("github");
    assert_eq!(github.method(), "DELETE");
    assert_eq!(text(github.uri()), "https://api.github.com/applications/app/token");
    assert_eq!(members(&github), json!({"access_token": "at"}));
    assert!(github.headers()["authorization"].to_str().is_ok_and(|text| text.starts_with("Basic ")));
    assert!(revoke("atlassian").is_none());
}

#[test]
fn a_token_that_a_vendor_does_not_know_is_revoked_already_and_nothing_else_is() {
    for name in NAMES {
        let processed = |status, body| provider(name).process_revocation(&response(status, "application/json", body));
        for status in [404, 422] {
            assert_eq!(processed(status, "{}").is_ok(), name == "github", "{name}: {status}");
        }
        for status in [200, 204] {
            assert!(processed(status, "").is_ok(), "{name}: {status}");
        }
        for status in [301, 400, 401, 403, 429, 500] {
            assert!(processed(status, "{}").is_err(), "{name}: {status}");
        }
    }
}

#[test]
fn endpoints_can_be_others() {
    let uri = |path: &str| format!("http://127.0.0.1:7000{path}").parse::<Uri>().expect("URI");
    let elsewhere = Provider::github()
        .with_authorization_endpoint(uri("/a"))
        .with_token_endpoint(uri("/t"))
        .with_userinfo_endpoint(uri("/user"))
        .with_introspection_endpoint(uri("/i"))
        .with_revocation_endpoint(uri("/applications/"));
    let access = token("at");
    assert_eq!(elsewhere.token_endpoint(), &uri("/t"));
    let request = AuthorizationRequest::new("app", REDIRECT, "s", &verifier());
    assert!(elsewhere.authorization_url(&request).starts_with("http://127.0.0.1:7000/a?"));
    let sent_to = |request: Option<Request<Bytes>>| text(request.expect("request").uri());
    assert_eq!(sent_to(elsewhere.profile_request(&access)), "http://127.0.0.1:7000/user");
    assert_eq!(sent_to(elsewhere.introspection_request(&client(), &access)), "http://127.0.0.1:7000/i");
    let revoked = RevokedTokens::new(&access, None);
    assert_eq!(
        sent_to(elsewhere.revocation_request(&client(), revoked)),
        "http://127.0.0.1:7000/applications/app/token"
    );
}

#[test]
fn vendors_with_servers_of_ones_own_are_where_they_are_said_to_be() {
    let old = Provider::keycloak("https://sso.example.com/auth/", "staff").expect("keycloak");
    assert_eq!(old.issuer().as_str(), "https://sso.example.com/auth/realms/staff");
    assert_eq!(text(old.token_endpoint()), "https://sso.example.com/auth/realms/staff/protocol/openid-connect/token");
    let enterprise = Provider::github_enterprise("git.example.com").expect("github");
    assert_eq!(text(enterprise.token_endpoint()), "https://git.example.com/login/oauth/access_token");
    assert_eq!(
        text(enterprise.profile_request(&token("t")).expect("request").uri()),
        "https://git.example.com/api/v3/user"
    );
    let sandbox = Provider::salesforce("test.salesforce.com").expect("salesforce");
    assert_eq!(text(sandbox.token_endpoint()), "https://test.salesforce.com/services/oauth2/token");
    for wrong in ["", "a b", "host?x", "u@host"] {
        assert!(Provider::salesforce(wrong).is_err(), "{wrong:?}");
        assert!(Provider::github_enterprise(wrong).is_err(), "{wrong:?}");
    }
    assert!(Provider::keycloak("http://sso.example.com", "staff").is_err(), "plain http");
    assert!(Provider::keycloak("https://sso.example.com", "my staff").is_err());
}
