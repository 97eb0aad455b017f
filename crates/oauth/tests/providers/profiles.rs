//! Users as each provider describes them.

use portcullis_core::UnixTime;
use portcullis_oauth::{
    ProtocolError,
    providers::{Profile, ProfileSource, SubjectMember},
};
use serde_json::{Value, json};

use crate::support::{answer, fixture, provider, response, text, token};

fn profile(name: &str) -> Profile {
    let login: Value = serde_json::from_str(&fixture(name, "login")).expect("JSON");
    let token = token(login["access_token"].as_str().expect("token"));
    provider(name).process_profile(&answer(name, "profile"), &token).expect(name)
}

#[test]
fn every_profile_has_a_subject_and_the_usual_names() {
    for (name, subject, username, full_name, email) in [
        ("oidc", "248289761001", Some("j.doe"), "Jane Doe", Some("janedoe@example.com")),
        ("keycloak", "f3b8a1d2-7c55-4c0e-9f50-0d5ef1f2a6aa", Some("mary"), "Mary Major", Some("mary@example.com")),
        ("google", "110169484474386276334", None, "Jo Bloggs", Some("jo@gmail.com")),
        ("github", "583231", Some("octocat"), "The Octocat", None),
        ("atlassian", "557058:7c5d", Some("emma"), "Emma Paris", Some("emma@example.com")),
        (
            "salesforce",
            "https://login.salesforce.com/id/00Dx0000000BV7z/005x00000012Q9P",
            Some("user1@example.org"),
            "First Last",
            Some("user1@example.com"),
        ),
    ] {
        let profile = profile(name);
        let text = |member: &str| profile.members().get(member).and_then(Value::as_str);
        assert_eq!(profile.subject(), subject, "{name}");
        assert_eq!(
            (text("preferred_username"), text("name"), text("email")),
            (username, Some(full_name), email),
            "{name}"
        );
        assert!(!format!("{profile:?}").contains(full_name), "{name}");
    }
}

#[test]
fn what_else_a_provider_says_is_kept() {
    assert_eq!(profile("oidc").members()["groups"], json!(["staff"]));
    assert_eq!(profile("salesforce").members()["user_id"], "005x00000012Q9P");
    assert_eq!(profile("github").members()["picture"], "https://avatars.githubusercontent.com/u/583231?v=4");
}

#[test]
fn the_roles_of_keycloak_come_from_the_token_that_it_has_just_accepted() {
    let (_, claims) = profile("keycloak").into_parts();
    assert_eq!(claims.claim("realm_access"), Some(&json!({"roles": ["offline_access", "analyst"]})));
    let opaque =
        provider("keycloak").process_profile(&answer("keycloak", "profile"), &token("opaque")).expect("opaque");
    assert!(opaque.claims().claim("realm_access").is_none());
    // {"alg":"none"}.{"sub":"mallory","realm_access":{"roles":["admin"]}}
    let foreign = token("eyJhbGciOiJub25lIn0.eyJzdWIiOiJtYWxsb3J5IiwicmVhbG1fYWNjZXNzIjp7InJvbGVzIjpbImFkbWluIl19fQ.");
    let error = provider("keycloak").process_profile(&answer("keycloak", "profile"), &foreign).expect_err("foreign");
    assert_eq!(error, ProtocolError::InvalidMember("sub"));
    let elsewhere = provider("oidc").process_profile(&answer("oidc", "profile"), &foreign).expect("profile");
    assert!(elsewhere.claims().claim("realm_access").is_none(), "only Keycloak's access tokens are read");
}

#[test]
fn github_is_asked_for_the_address_only_if_the_profile_lacks_it() {
    let (github, token) = (provider("github"), token("ghu_1"));
    let mut profile = profile("github");
    let request = github.supplement_request(&profile, &token).expect("no address");
    assert_eq!(text(request.uri()), "https://api.github.com/user/emails");
    assert_eq!(request.headers()["authorization"], "Bearer ghu_1");
    github.process_supplement(&mut profile, &answer("github", "emails")).expect("emails");
    assert_eq!(profile.members()["email"], "octocat@example.com");
    assert!(github.supplement_request(&profile, &token).is_none(), "it has one now");
}

#[test]
fn an_address_that_is_not_verified_is_not_taken() {
    let body = r#"[{"email":"mallory@example.com","primary":true,"verified":false}]"#;
    let emails = response(200, "application/json", body);
    let mut profile = profile("github");
    provider("github").process_supplement(&mut profile, &emails).expect("emails");
    assert!(profile.members()["email"].is_null());
}

#[test]
fn the_sites_of_atlassian_are_kept() {
    let atlassian = provider("atlassian");
    let mut profile = profile("atlassian");
    let request = atlassian.supplement_request(&profile, &token("eyJat1")).expect("sites");
    assert_eq!(text(request.uri()), "https://api.atlassian.com/oauth/token/accessible-resources");
    atlassian.process_supplement(&mut profile, &answer("atlassian", "accessible_resources")).expect("sites");
    assert_eq!(profile.members()["accessible_resources"][0]["url"], "https://your-domain.atlassian.net");
}

#[test]
fn who_the_user_is_does_not_depend_on_the_supplement_but_a_dead_token_is_dead() {
    let supplemented = |status, body: &str| {
        let answer = response(status, "application/json", body);
        let mut profile = profile("github");
        provider("github").process_supplement(&mut profile, &answer).map(|()| profile)
    };
    for status in [403, 404] {
        assert!(supplemented(status, r#"{"message":"Resource not accessible by integration"}"#).is_ok(), "{status}");
    }
    assert_eq!(supplemented(401, "{}").expect_err("dead"), ProtocolError::TokenRefused);
    assert!(matches!(supplemented(500, "{}"), Err(ProtocolError::ServerError { .. })));
    assert!(supplemented(200, r#"{"not":"a list"}"#).is_ok_and(|profile| profile.members()["email"].is_null()));
}

#[test]
fn a_profile_repeats_no_token_at_any_depth_whatever_its_name() {
    let body = json!({
        "data": {"key": "planted-1", "user": {"id": 7, "keys": ["planted-1", "kept"]}}, "refresh_token": "planted-2",
        "again": "planted-2", "client_secret": "planted-3", "id": "kept",
    });
    let response = response(200, "application/json", &body.to_string());
    let provider = provider("oidc").with_vendor(|vendor| {
        vendor.profile = ProfileSource::TokenResponse;
        vendor.token_path = Some("data.key".into());
        vendor.subject = SubjectMember::Any("data.user.id".into());
    });
    let login = provider.process_token(&response, UnixTime::default()).expect("tokens").profile.expect("a profile");
    let refreshed =
        provider.process_refresh(&response, UnixTime::default()).expect("tokens").profile.expect("a profile");
    let requested = provider.with_vendor(|vendor| vendor.profile = ProfileSource::UserInfo);
    let requested = requested.process_profile(&response, &token("planted-1")).expect("a profile");
    for profile in [login.expect("a subject"), refreshed.expect("a subject"), requested] {
        let members = serde_json::to_string(profile.members()).expect("JSON");
        assert!(profile.subject() == "7" && members.contains(r#""keys":["kept"]"#), "{members}");
        assert!(!members.contains("planted-1"), "{members}");
    }
}
