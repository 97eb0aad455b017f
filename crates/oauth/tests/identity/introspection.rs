//! The rules of [`IntrospectionPolicy`], one by one.

use bytes::Bytes;
use http::Response;
use portcullis_core::{Issuer, PrincipalKind, Reason, ResourceUri, UnixTime};
use portcullis_oauth::introspection::{IntrospectionPolicy, IntrospectionResponse, process};
use serde_json::{Value, json};

const RESOURCE: &str = "https://mcp.example/mcp";
const NOW: u64 = 1_800_000_000;

fn policy() -> IntrospectionPolicy {
    let issuer = Issuer::new("https://idp.example").expect("issuer");
    IntrospectionPolicy::new(issuer, ResourceUri::new(RESOURCE).expect("resource"))
}

/// Returns a valid response with the members of `changes`; null removes a member.
fn response(changes: &Value) -> IntrospectionResponse {
    let mut body = json!({
        "active": true, "sub": "alice", "client_id": "app", "aud": RESOURCE, "iss": "https://idp.example",
        "exp": NOW + 300, "iat": NOW - 10, "token_type": "Bearer", "scope": "mcp:read mcp:write",
    });
    for (name, value) in changes.as_object().expect("changes") {
        body[name] = value.clone();
    }
    let members = body.as_object_mut().expect("members");
    members.retain(|_, value| !value.is_null());
    let response = Response::builder().header("content-type", "application/json");
    process(&response.body(Bytes::from(body.to_string())).expect("response")).expect("processed")
}

fn refusal(changes: &Value) -> Reason {
    refusal_by(&policy(), changes)
}

fn refusal_by(policy: &IntrospectionPolicy, changes: &Value) -> Reason {
    let label = changes.to_string();
    policy.check(response(changes), UnixTime::from_secs(NOW)).expect_err(&label).reason()
}

fn accepted(policy: &IntrospectionPolicy, changes: &Value) -> portcullis_core::UserContext {
    let label = changes.to_string();
    let verified = policy.check(response(changes), UnixTime::from_secs(NOW)).expect(&label);
    verified.into_user_context().expect(&label).build()
}

#[test]
fn an_active_token_for_this_resource_is_evidence_of_a_user() {
    let user = accepted(&policy(), &json!({}));
    assert_eq!((user.issuer().as_str(), user.subject()), ("https://idp.example", "alice"));
    assert_eq!((user.client_id(), user.principal().kind()), (Some("app"), PrincipalKind::User));
    assert_eq!(user.scopes().to_string(), "mcp:read mcp:write");
    assert_eq!(user.expires_at(), Some(UnixTime::from_secs(NOW + 300)));
}

#[test]
fn rs_08_an_active_token_for_another_resource_is_rejected() {
    assert_eq!(refusal(&json!({"aud": "https://other.example"})), Reason::WrongAudience);
    assert_eq!(refusal(&json!({"aud": ["https://other.example", "https://mcp.example/mcp/"]})), Reason::WrongAudience);
    assert_eq!(refusal(&json!({"aud": null})), Reason::MissingClaim);
    assert_eq!(refusal(&json!({"aud": []})), Reason::MissingClaim);
    assert_eq!(refusal(&json!({"aud": 7})), Reason::MissingClaim);
    accepted(&policy(), &json!({"aud": ["x", RESOURCE]}));
    accepted(&policy().with_audiences(["api"]), &json!({"aud": "api"}));
    accepted(&policy().with_audiences(["api", RESOURCE]), &json!({"aud": RESOURCE}));
    let renamed = policy().with_audiences(["api"]);
    assert_eq!(refusal_by(&renamed, &json!({"aud": RESOURCE})), Reason::WrongAudience, "in place of the URI");
}

#[test]
fn rs_10_an_absent_audience_is_accepted_only_if_the_endpoint_restricts_tokens() {
    let restricted = policy().with_audience_restricted_by_endpoint();
    accepted(&restricted, &json!({"aud": null}));
    let foreign = restricted.check(response(&json!({"aud": "api"})), UnixTime::from_secs(NOW));
    assert_eq!(foreign.expect_err("foreign").reason(), Reason::WrongAudience);
}

#[test]
fn rs_07_the_lifetime_is_checked_although_the_endpoint_says_active() {
    assert_eq!(refusal(&json!({"active": false})), Reason::Inactive);
    assert_eq!(refusal(&json!({"exp": NOW - 60})), Reason::Expired);
    assert_eq!(refusal(&json!({"nbf": NOW + 61})), Reason::NotYetValid);
    assert_eq!(refusal(&json!({"iat": NOW + 61})), Reason::IssuedInFuture);
    assert_eq!(refusal(&json!({"exp": "soon"})), Reason::MissingClaim);
    accepted(&policy(), &json!({"exp": NOW - 59, "nbf": NOW + 60, "iat": NOW + 60}));
    accepted(&policy(), &json!({"exp": null, "iat": null}));
}

#[test]
fn only_bearer_access_tokens_of_this_issuer_are_accepted() {
    assert_eq!(refusal(&json!({"iss": "https://idp.example/"})), Reason::WrongIssuer);
    assert_eq!(refusal(&json!({"cnf": {"jkt": "x"}})), Reason::KeyBound);
    for changes in [
        json!({"token_type": "refresh_token"}),
        json!({"token_type": "DPoP"}),
        json!({"token_type": 7}),
        json!({"token_use": "refresh_token"}),
        json!({"token_use": "id"}),
        json!({"typ": "Refresh"}),
        json!({"typ": "ID"}),
    ] {
        assert_eq!(refusal(&changes), Reason::WrongType, "{changes}");
    }
    for changes in [
        json!({"token_type": "bearer"}),
        json!({"token_type": "access_token", "token_use": "access_token"}),
        json!({"iss": null, "token_type": null}),
        json!({"typ": "Bearer", "token_use": "access"}),
    ] {
        accepted(&policy(), &changes);
    }
}

#[test]
fn a_response_without_a_subject_is_rejected_whatever_else_it_names() {
    for changes in [
        json!({"sub": null}),
        json!({"sub": null, "username": "alice"}),
        json!({"sub": null, "client_id": null}),
        json!({"sub": ""}),
        json!({"sub": 7}),
    ] {
        assert_eq!(refusal(&changes), Reason::NoSubject, "{changes}");
    }
    let named = policy().with_subject_claim("username");
    let user = accepted(&named, &json!({"sub": null, "username": "alice"}));
    assert_eq!((user.subject(), user.principal().kind()), ("alice", PrincipalKind::User));
    assert_eq!(refusal_by(&named, &json!({})), Reason::NoSubject, "it has a `sub`, but another claim is configured");
    assert_eq!(refusal_by(&named, &json!({"username": ""})), Reason::NoSubject);
}

#[test]
fn a_client_without_a_subject_is_a_principal_only_if_configured_and_no_member_describes_a_user() {
    let policy = policy().with_clients_without_subject();
    let user = accepted(&policy, &json!({"sub": null}));
    assert_eq!((user.subject(), user.principal().kind()), ("app", PrincipalKind::Client));
    assert_eq!(refusal_by(&policy, &json!({"sub": null, "username": "alice"})), Reason::NoSubject);
    assert_eq!(refusal_by(&policy, &json!({"sub": null, "client_id": null})), Reason::NoSubject);
}

#[test]
fn a_token_without_an_audience_is_accepted_by_a_named_member_or_by_its_client() {
    let by_member = policy().with_audiences(["app"]).with_audience_claim("client_id");
    accepted(&by_member, &json!({"aud": null}));
    accepted(&by_member, &json!({"aud": []}));
    assert_eq!(refusal_by(&by_member, &json!({"aud": null, "client_id": "other"})), Reason::WrongAudience);
    assert_eq!(refusal_by(&by_member, &json!({"aud": "https://other.example"})), Reason::WrongAudience);
    let by_client = policy().with_allowed_clients(["app", "cli"]);
    accepted(&by_client, &json!({"aud": null}));
    assert_eq!(refusal_by(&by_client, &json!({"aud": null, "client_id": "other"})), Reason::WrongAudience);
    assert_eq!(refusal_by(&by_client, &json!({"client_id": "other"})), Reason::WrongAudience, "for this resource");
}

#[test]
fn scopes_are_a_string_or_a_list_and_roles_may_be_scopes() {
    let user = accepted(&policy(), &json!({"scope": ["mcp:read", "mcp:write"]}));
    assert_eq!(user.scopes().to_string(), "mcp:read mcp:write");
    let admin = portcullis_core::ScopeSet::parse("mcp:admin").expect("scope");
    let mapped = policy().with_scope_claim("permissions").with_scopes_for("realm_access.roles", ["Admin"], admin);
    let claims = json!({"scope": null, "permissions": ["mcp:read"], "realm_access": {"roles": ["Admin"]}});
    assert_eq!(accepted(&mapped, &claims).scopes().to_string(), "mcp:read mcp:admin");
}
