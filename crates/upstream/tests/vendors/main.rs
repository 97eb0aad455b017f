//! Every provider that `docs/compatibility.md` lists: a login, a refresh, a dead grant and a revocation, with messages of its own shape.
//!
//! With `UPDATE_DOCS=1` the test rewrites the rows of the document, else it compares them.

mod stub;

use std::{env, fs, sync::Arc};

use portcullis_core::{Issuer, ScopeSet};
use portcullis_oauth::{
    ClientAuthentication, CodeVerifier,
    providers::{AuthorizationRequest, Pkce, ProfileSource, Provider, ReadyMade, RevocationFormat, Rotation},
};
use portcullis_refresh::RefreshErrorKind;
use portcullis_testkit::TestClock;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use tower::ServiceExt as _;

use crate::stub::{NONCE, Stub};

const REDIRECT: &str = "https://mcp.example.com/callback";

fn rows() -> Vec<Value> {
    serde_json::from_str(include_str!("shapes.json")).expect("JSON")
}

fn text<'a>(row: &'a Value, name: &str) -> &'a str {
    row[name].as_str().unwrap_or_default()
}

fn provider(row: &Value) -> Provider {
    let uri = |path: &str| format!("https://idp.example.com{path}").parse::<http::Uri>().expect("URI");
    match text(row, "provider") {
        "oidc" => {
            let issuer = Issuer::new("https://idp.example.com").expect("issuer");
            Provider::oidc_at(issuer, uri("/authorize"), uri("/token"))
                .with_userinfo_endpoint(uri("/userinfo"))
                .with_revocation_endpoint(uri("/revoke"))
                .with_jwks_uri(uri("/keys"))
        }
        "keycloak" => Provider::keycloak("https://sso.example.com", "staff").expect("keycloak"),
        "google" => Provider::google(),
        "github" => Provider::github(),
        "atlassian" => Provider::atlassian(),
        "salesforce" => Provider::salesforce("login.salesforce.com").expect("salesforce"),
        name => ReadyMade::named(name).expect(name).provider(row["place"].as_str()).expect(name),
    }
}

fn app() -> ClientAuthentication {
    ClientAuthentication::basic("app", "s3cret".into())
}

/// Runs the four steps of one provider, and returns its row of the document.
async fn row_of(row: &Value) -> String {
    let (name, provider, clock) = (text(row, "provider"), provider(row), TestClock::new());
    let stub = Stub::new(row.clone(), provider.clone(), &clock).await;
    let client = stub.client(provider.clone(), app(), clock.clone());
    let asked = ScopeSet::parse(text(row, "scopes")).expect(name);
    let verifier = CodeVerifier::new([7; 32]);

    let request = AuthorizationRequest::new("app", REDIRECT, "st4te", &verifier).with_scopes(&asked).with_nonce(NONCE);
    let url = provider.authorization_url(&request);
    assert_eq!(url.contains("code_challenge="), provider.vendor().pkce == Pkce::S256, "{name}: {url}");

    let login = client.login(&"c0de".into(), REDIRECT, &verifier, NONCE, &asked).await;
    let login = login.expect(name);
    let user = &row["user"];
    assert_eq!(login.profile.subject(), text(user, "subject"), "{name}");
    assert_eq!(login.profile.text("email"), user["email"].as_str(), "{name}");
    for (member, expected) in [("name", &user["name"]), ("preferred_username", &user["username"])] {
        assert!(expected.is_null() || login.profile.text(member) == expected.as_str(), "{name}: {member}");
    }
    let stored = serde_json::to_string(login.profile.members()).expect("JSON");
    let first = login.tokens.access_token().token().clone();
    assert!(!stored.contains(stub.access_token()), "{name}: the profile repeats the token: {stored}");
    assert_eq!(login.id_token_claims.is_some(), row.get("id_token").is_some(), "{name}");
    assert_eq!(stub.sends_verifier(), provider.vendor().pkce == Pkce::S256, "{name}");

    let before = Arc::new(login.tokens.clone());
    let tokens = client.clone().oneshot(Arc::clone(&before)).await;
    let tokens = tokens.expect(name);
    assert_ne!(tokens.access_token.fingerprint(), first.fingerprint(), "{name}: a refresh has a new token");
    let exposed = |token: Option<&SecretString>| token.map(|token| token.expose_secret().to_owned());
    let issued = exposed(tokens.refresh_token.as_ref());
    let is_new = issued.is_some() && issued != exposed(before.refresh_token());
    if provider.vendor().rotation == Rotation::SingleUse {
        assert!(is_new || name == "salesforce", "{name}: its refresh tokens rotate");
    }

    stub.kill();
    let error = client.clone().oneshot(Arc::clone(&before)).await.expect_err("dead");
    assert_eq!(error.kind(), RefreshErrorKind::Refused, "{name}: {error:?}");

    let revoked = client.revoke(&login.tokens).await.expect(name);
    assert_eq!(revoked, !row["revoke"].is_null(), "{name}");
    if let Some(body) = row["revoke"][2].as_str() {
        assert_eq!(stub.last_body(), body, "{name}");
    }
    cells(row, &provider, is_new, stub.refresh_is_elsewhere())
}

/// Returns the row of the document, of what has just been shown.
fn cells(row: &Value, provider: &Provider, is_new: bool, is_elsewhere: bool) -> String {
    let name = text(row, "provider");
    let source = match provider.vendor().profile {
        ProfileSource::UserInfo if row.get("id_token").is_some() => "ID token, and the profile endpoint",
        ProfileSource::UserInfo => "profile endpoint",
        ProfileSource::IdToken => "ID token",
        _ => "token response",
    };
    let token = if is_new { "a new refresh token" } else { "the refresh token remains" };
    let elsewhere = if is_elsewhere { ", at a URL of its own" } else { "" };
    let (status, body) = (&row["dead"][0], &row["dead"][1]);
    let word = ["error", "status"].into_iter().find_map(|name| body[name].as_str()).unwrap_or_default();
    let revoke = match (&row["revoke"], provider.vendor().revocation) {
        (Value::Null, _) => "not possible",
        (_, RevocationFormat::Form | RevocationFormat::TokenAlone) => "the refresh token",
        _ => "the access token",
    };
    format!("| `{name}` | {source} | {token}{elsewhere} | {status} `{word}`: log in again | {revoke} |")
}

#[tokio::test(start_paused = true)]
async fn each_provider_logs_in_refreshes_ends_and_revokes() {
    let mut found = Vec::new();
    for row in rows() {
        found.push(row_of(&row).await);
    }
    assert!(found.len() >= 18);
    let names: Vec<String> = rows().iter().map(|row| text(row, "provider").to_owned()).collect();
    for row in ReadyMade::all() {
        assert!(names.iter().any(|name| name == row.name()), "no row for {}", row.name());
    }
    compare("## Providers", &found);
}

/// Compares the rows of the table below `heading` with `rows`, or writes them.
fn compare(heading: &str, rows: &[String]) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/compatibility.md");
    let page = fs::read_to_string(path).expect(path);
    let (before, rest) = page.split_once(&format!("\n{heading}\n")).expect(heading);
    let (section, after) = rest.split_once("\n## ").map_or((rest, None), |(section, after)| (section, Some(after)));
    let is_row = |line: &&str| line.starts_with("| `");
    if env::var_os("UPDATE_DOCS").is_none() {
        let written: Vec<&str> = section.lines().filter(is_row).collect();
        assert_eq!(written, rows, "run this test with UPDATE_DOCS=1");
        return;
    }
    let mut lines: Vec<String> = section.lines().filter(|line| !is_row(line)).map(str::to_owned).collect();
    let ruler = lines.iter().position(|line| line.starts_with("|---")).expect("a table");
    lines.splice(ruler + 1..ruler + 1, rows.iter().cloned());
    let after = after.map(|after| format!("\n## {after}")).unwrap_or_default();
    let end = if after.is_empty() { "\n" } else { "" };
    fs::write(path, format!("{before}\n{heading}\n{}{end}{after}", lines.join("\n"))).expect(path);
}

#[tokio::test(start_paused = true)]
async fn a_signed_profile_is_verified_by_the_keys_of_the_provider() {
    let row = |name: &str| rows().into_iter().find(|row| text(row, "provider") == name).expect("a row");
    for name in ["oidc", "keycloak"] {
        let mut row = row(name);
        let subject = row["user"]["subject"].clone();
        row["profile"] = "(signed)".into();
        row["signed_profile"] = serde_json::json!({"sub": subject, "email": "signed@example.com"});
        let log_in = |row: Value| async move {
            let (provider, clock) = (provider(&row), TestClock::new());
            let client = Stub::new(row.clone(), provider.clone(), &clock).await.client(provider, app(), clock);
            let scopes = ScopeSet::parse(text(&row, "scopes")).expect("scopes");
            client.login(&"c0de".into(), REDIRECT, &CodeVerifier::new([7; 32]), NONCE, &scopes).await
        };
        let login = log_in(row.clone()).await.expect(name);
        assert_eq!(login.profile.text("email"), Some("signed@example.com"), "{name}");
        assert!(login.profile.members().get("exp").is_none(), "{name}: claims about the JWT are not of the user");
        for (claim, value) in [("iss", "https://other.example"), ("sub", "mallory")] {
            let mut forged = row.clone();
            forged["signed_profile"][claim] = value.into();
            assert!(log_in(forged).await.is_err(), "{name}: {claim}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_profile_in_an_id_token_or_a_token_response_is_checked_as_any_other() {
    let row = |name: &str| rows().into_iter().find(|row| text(row, "provider") == name).expect("a row");
    let log_in = |row: Value| async move {
        let (provider, clock) = (provider(&row), TestClock::new());
        let stub = Stub::new(row.clone(), provider.clone(), &clock).await;
        let client = stub.client(provider, app(), clock);
        let scopes = ScopeSet::parse(text(&row, "scopes")).expect("scopes");
        client.login(&"c0de".into(), REDIRECT, &CodeVerifier::new([7; 32]), NONCE, &scopes).await
    };
    assert!(log_in(row("entra")).await.is_ok());
    for (claim, value) in [
        ("nonce", Value::from("of another login")),
        ("iss", "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0".into()),
        ("aud", "api://another-app".into()),
        ("exp", 1.into()),
        ("at_hash", "AAAAAAAAAAAAAAAAAAAAAA".into()),
        ("sub", Value::Null),
    ] {
        let mut forged = row("entra");
        forged["id_token"][claim] = value;
        assert!(log_in(forged).await.is_err(), "{claim}");
    }
    let mut without = row("entra");
    without["login"].as_object_mut().expect("an object").remove("id_token");
    assert!(log_in(without).await.is_err());
    let mut without_scope = row("entra");
    without_scope["scopes"] = "api://app/mcp.use".into();
    assert!(log_in(without_scope).await.is_err(), "there is no ID token without the scope `openid`");
    let mut bot = row("notion");
    bot["login"]["owner"] = serde_json::json!({"type": "workspace", "workspace": true});
    let error = format!("{:?}", log_in(bot).await.expect_err("no user"));
    assert!(error.contains("owner.user.id") && !error.contains("ntn_1"), "{error}");
}

#[test]
fn the_scopes_of_slack_are_those_of_the_user_and_a_token_of_the_bot_is_not_taken() {
    let slack = ReadyMade::named("slack").expect("slack").provider(None).expect("slack");
    let (verifier, scopes) = (CodeVerifier::new([7; 32]), ScopeSet::parse("chat:write users:read").expect("scopes"));
    let request = AuthorizationRequest::new("app", REDIRECT, "s", &verifier).with_scopes(&scopes);
    let url = slack.authorization_url(&request);
    assert!(url.contains("&user_scope=chat%3Awrite%2Cusers%3Aread&") && !url.contains("&scope="), "{url}");

    let body = serde_json::json!({
        "ok": true, "access_token": "xoxb-1", "token_type": "bot", "bot_user_id": "U0KRQLJ9H", "authed_user": {"id": "U1234"},
    });
    let response = stub::json(200, &body);
    assert!(slack.process_token(&response, TestClock::START).is_err());
    assert!(slack.process_refresh(&response, TestClock::START).is_err(), "its type is not that of a user's token");
}

#[test]
fn urls_that_depend_on_a_customer_need_the_host_or_the_tenant() {
    for (name, place) in [
        ("entra", None),
        ("entra", Some("common")),
        ("entra", Some("organizations")),
        ("entra", Some("72f988bf-86f1-41af-91ab-2d7cd011db4/")),
        ("okta", None),
        ("auth0", Some("https://example.eu.auth0.com")),
        ("gitlab", Some("git.example.com?x=")),
        ("gitlab", Some("user@git.example.com")),
    ] {
        assert!(ReadyMade::named(name).expect(name).provider(place).is_err(), "{name} {place:?}");
    }
    let endpoint = |name: &str, place| {
        let provider = ReadyMade::named(name).expect(name).provider(Some(place)).expect(name);
        (provider.issuer().as_str().to_owned(), provider.token_endpoint().to_string())
    };
    let organization = ("https://dev-1.okta.com".to_owned(), "https://dev-1.okta.com/oauth2/v1/token".to_owned());
    assert_eq!(endpoint("okta", "dev-1.okta.com"), organization);
    let (issuer, token) = endpoint("okta", "dev-1.okta.com/oauth2/default");
    assert_eq!(issuer, "https://dev-1.okta.com/oauth2/default");
    assert_eq!(token, "https://dev-1.okta.com/oauth2/default/v1/token");
    assert_eq!(endpoint("gitlab", "git.example.com").1, "https://git.example.com/oauth/token");
}

#[test]
fn a_subject_that_several_users_share_is_recognized() {
    let subject = |name: &str, path: &'static str| {
        let provider = ReadyMade::named(name).expect(name).provider(None).expect(name);
        let any = portcullis_oauth::providers::SubjectMember::Any(path.into());
        provider.with_vendor(|vendor| vendor.subject = any).vendor().has_shared_subject()
    };
    assert!(subject("zoom", "account_id") && subject("slack", "team.id") && subject("notion", "workspace_id"));
    assert!(!subject("zoom", "id") && !subject("dropbox", "account_id") && !subject("slack", "user_id"));
    for row in ReadyMade::all() {
        assert!(!row.vendor().has_shared_subject(), "{}", row.name());
    }
}
