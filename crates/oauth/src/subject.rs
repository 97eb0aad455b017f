//! [`SubjectRule`]: the claim that names the subject of a token.

use std::fmt::Write as _;

use portcullis_core::{AuthError, Issuer, PrincipalKind, Reason};
use serde_json::Value;

use crate::Claims;

/// Claims that describe a user, or a user's login. A token with one of them has a resource owner and does not belong to a client alone.
const USER_CLAIMS: [&str; 17] = [
    "username",
    "user_name",
    "preferred_username",
    "user_id",
    "uid",
    "upn",
    "unique_name",
    "email",
    "name",
    "given_name",
    "family_name",
    "auth_time",
    "amr",
    "nonce",
    "sid",
    "session_state",
    "act",
];

/// Claims that a login leaves in a token.
const LOGIN_MARKS: [&str; 5] = ["sid", "session_state", "auth_time", "amr", "nonce"];

/// The maximum number of claim names in an error message.
const MAX_LISTED: usize = 40;

/// The claim that names the subject: exactly one, without a fallback.
#[derive(Clone, Debug)]
pub(crate) struct SubjectRule {
    /// The configured claim, instead of `sub`.
    claim: Option<Box<str>>,
    /// Whether a token without that claim may belong to a client that acts for itself.
    allows_clients: bool,
}

/// The subject of a token.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) name: Box<str>,
    pub(crate) kind: PrincipalKind,
}

impl Subject {
    /// Creates a user.
    pub(crate) const fn user(name: Box<str>) -> Self {
        Self { name, kind: PrincipalKind::User }
    }
}

impl SubjectRule {
    /// Creates the rule `sub`, which rejects clients without a subject.
    pub(crate) const fn new() -> Self {
        Self { claim: None, allows_clients: false }
    }

    pub(crate) fn with_claim(mut self, claim: &str) -> Self {
        self.claim = (claim != "sub").then(|| claim.into());
        self
    }

    pub(crate) const fn with_clients(mut self) -> Self {
        self.allows_clients = true;
        self
    }

    /// Returns the subject of `claims` of `issuer`.
    ///
    /// Without a configured claim, a token whose `sub` equals its `client_id` belongs to the client itself
    /// ([RFC 9068 section 2.2](https://www.rfc-editor.org/rfc/rfc9068#section-2.2)), unless it names a resource owner (`username`,
    /// [RFC 7662 section 2.2](https://www.rfc-editor.org/rfc/rfc7662#section-2.2)): a user may have the same name as the client.
    /// So does a token that [its issuer marks](is_marked_as_client), by whatever claim its subject is named.
    ///
    /// # Errors
    /// [`Reason::NoSubject`]; [`Reason::MissingClaim`] if `client_id` cannot be read.
    pub(crate) fn subject_of(&self, issuer: &Issuer, claims: &Claims) -> Result<Subject, AuthError> {
        let client_id = claims.client_id()?;
        match (claims.claim(self.claim()), client_id) {
            (Some(Value::String(name)), _) if !name.is_empty() => {
                let has_name_of_client = self.claim.is_none() && Some(&**name) == client_id && !has(claims, "username");
                let is_client = has_name_of_client || is_marked_as_client(claims, client_id);
                let kind = if is_client { PrincipalKind::Client } else { PrincipalKind::User };
                Ok(Subject { name: name.as_str().into(), kind })
            }
            (None, Some(client_id)) if self.allows_clients && is_of_client(claims, client_id) => {
                Ok(Subject { name: client_id.into(), kind: PrincipalKind::Client })
            }
            (found, _) => Err(AuthError::new(Reason::NoSubject).with_source(self.problem(issuer, claims, found))),
        }
    }

    fn claim(&self) -> &str {
        self.claim.as_deref().unwrap_or("sub")
    }

    /// Describes the error and the setting that may solve it, with names of claims only: values may be personal.
    fn problem(&self, issuer: &Issuer, claims: &Claims, found: Option<&Value>) -> String {
        let claim = self.claim();
        let wrong = match found {
            None => "is absent",
            Some(Value::String(_)) => "is empty",
            Some(_) => "is not a string",
        };
        let mut text = format!("a token of {issuer} names no user: `{claim}` {wrong}; present are");
        for name in claims.names().take(MAX_LISTED) {
            let _ = write!(text, " {name:?}");
        }
        if found.is_none() {
            text += "; set `subject_claim` to the one that names the user";
            if !self.allows_clients && !USER_CLAIMS.iter().any(|name| has(claims, name)) {
                text += ", or `allow_client_without_subject` if it belongs to a client that acts for itself";
            }
        }
        text
    }
}

/// Reports whether no claim describes a user.
fn is_of_client(claims: &Claims, client_id: &str) -> bool {
    claims.claim("sub").is_none_or(|subject| subject == client_id) && !USER_CLAIMS.iter().any(|name| has(claims, name))
}

/// Reports whether the issuer marks the token as that of a client that acts for itself, in the words of its vendor.
fn is_marked_as_client(claims: &Claims, client_id: Option<&str>) -> bool {
    let text = |name: &str| claims.claim(name).and_then(Value::as_str);
    let describes_user = || USER_CLAIMS.iter().any(|name| has(claims, name));
    // The optional claim of Entra ID.
    if text("idtyp") == Some("app") {
        return true;
    }
    // Auth0, and FusionAuth, which writes a list.
    let is_client_grant = |grant: &Value| grant == "client-credentials" || grant == "client_credentials";
    let grant = claims.claim("gty");
    if grant.is_some_and(|grant| {
        is_client_grant(grant) || grant.as_array().is_some_and(|all| all.iter().any(is_client_grant))
    }) {
        return !describes_user();
    }
    let Some(client_id) = client_id else { return false };
    // Auth0.
    if text("sub").and_then(|subject| subject.strip_suffix("@clients")) == Some(client_id) {
        return !describes_user();
    }
    // Entra ID without the claim `idtyp`: the object is the subject, and there are no delegated permissions.
    if text("oid").is_some() && text("oid") == text("sub") && !has(claims, "scp") && has(claims, "tid") {
        return !describes_user();
    }
    // Keycloak. A login leaves marks in the token: a user may have chosen the same name.
    let name = text("preferred_username").and_then(|name| name.strip_prefix("service-account-"));
    name.is_some_and(|name| name.eq_ignore_ascii_case(client_id)) && !LOGIN_MARKS.iter().any(|mark| has(claims, mark))
}

/// Reports whether a claim is present and not null: some authorization servers write null for every claim without a value.
fn has(claims: &Claims, name: &str) -> bool {
    claims.claim(name).is_some_and(|value| !value.is_null())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn subject(rule: &SubjectRule, claims: &Value) -> Result<(String, PrincipalKind), AuthError> {
        let issuer = Issuer::new("https://idp.example").expect("issuer");
        let claims = Claims::new(claims.as_object().expect("claims").clone());
        rule.subject_of(&issuer, &claims).map(|subject| (subject.name.into(), subject.kind))
    }

    fn refusal(rule: &SubjectRule, claims: &Value) -> (Reason, String) {
        let error = subject(rule, claims).expect_err("refused");
        (error.reason(), std::error::Error::source(&error).expect("a source").to_string())
    }

    #[test]
    fn no_other_claim_replaces_the_subject() {
        let rule = SubjectRule::new();
        for claims in [
            json!({"client_id": "app"}),
            json!({"client_id": "app", "username": "alice"}),
            json!({"client_id": "app", "sub": null}),
            json!({"client_id": "app", "sub": ""}),
            json!({"client_id": "app", "sub": 7}),
            json!({"client_id": "app", "sub": ["alice"]}),
            json!({}),
        ] {
            assert_eq!(refusal(&rule, &claims).0, Reason::NoSubject, "{claims}");
        }
        let rule = SubjectRule::new().with_claim("username");
        for claims in [
            json!({"sub": "alice", "client_id": "app"}),
            json!({"sub": "alice", "username": ""}),
            json!({"sub": "alice", "username": null}),
            json!({"sub": "alice", "username": 7}),
            json!({"sub": "alice", "preferred_username": "alice"}),
        ] {
            assert_eq!(refusal(&rule, &claims).0, Reason::NoSubject, "{claims}");
        }
        let named = subject(&rule, &json!({"sub": "17", "username": "alice", "client_id": "app"}));
        assert_eq!(named.expect("alice"), ("alice".to_owned(), PrincipalKind::User));
    }

    #[test]
    fn the_error_names_the_issuer_the_claims_and_the_setting_but_no_value() {
        let (_, problem) = refusal(&SubjectRule::new(), &json!({"client_id": "app", "username": "alice"}));
        assert_eq!(
            problem,
            "a token of https://idp.example names no user: `sub` is absent; present are \"client_id\" \"username\"; \
             set `subject_claim` to the one that names the user"
        );
        let (_, problem) = refusal(&SubjectRule::new(), &json!({"client_id": "app"}));
        assert!(problem.ends_with("or `allow_client_without_subject` if it belongs to a client that acts for itself"));
        let (_, problem) = refusal(&SubjectRule::new().with_claim("username"), &json!({"username": 7}));
        assert!(problem.contains("`username` is not a string"), "{problem}");
    }

    #[test]
    fn a_client_without_a_subject_must_be_configured_and_no_claim_may_describe_a_user() {
        let rule = SubjectRule::new().with_clients();
        let own = ("app".to_owned(), PrincipalKind::Client);
        assert_eq!(subject(&rule, &json!({"client_id": "app"})).expect("a client"), own);
        assert_eq!(subject(&rule, &json!({"azp": "app", "username": null})).expect("a client"), own);
        for claim in USER_CLAIMS {
            assert_eq!(refusal(&rule, &json!({"client_id": "app", claim: "alice"})).0, Reason::NoSubject, "{claim}");
        }
        for claims in [json!({}), json!({"client_id": "app", "sub": null}), json!({"client_id": "app", "sub": ""})] {
            assert_eq!(refusal(&rule, &claims).0, Reason::NoSubject, "{claims}");
        }
        let rule = rule.with_claim("username");
        assert_eq!(subject(&rule, &json!({"client_id": "app", "sub": "app"})).expect("a client"), own);
        assert_eq!(refusal(&rule, &json!({"client_id": "app", "sub": "alice"})).0, Reason::NoSubject);
    }

    #[test]
    fn a_client_that_acts_for_itself_is_marked_in_the_words_of_its_vendor() {
        let kind = |claims: &Value| subject(&SubjectRule::new(), claims).expect("a subject").1;
        for claims in [
            json!({"sub": "o1", "oid": "o1", "tid": "t", "azp": "app", "idtyp": "app", "roles": ["Mcp.Use"]}),
            json!({"sub": "o1", "oid": "o1", "tid": "t", "appid": "app", "roles": ["Mcp.Use"]}),
            json!({"sub": "app@clients", "azp": "app", "gty": "client-credentials"}),
            json!({"sub": "app@clients", "azp": "app"}),
            json!({"sub": "e1", "gty": ["client_credentials"], "client_id": "app"}),
            json!({"sub": "app", "cid": "app", "scp": ["a"]}),
            json!({"sub": "u1", "azp": "App", "preferred_username": "service-account-app", "email_verified": false}),
        ] {
            assert_eq!(kind(&claims), PrincipalKind::Client, "{claims}");
        }
        for claims in [
            json!({"sub": "s1", "oid": "o1", "tid": "t", "azp": "app", "idtyp": "user", "scp": "a"}),
            json!({"sub": "o1", "oid": "o1", "tid": "t", "azp": "app", "scp": "a"}),
            json!({"sub": "o1", "oid": "o1", "tid": "t", "azp": "app", "upn": "alice@example.com"}),
            json!({"sub": "other@clients", "azp": "app"}),
            json!({"sub": "alice", "azp": "app", "gty": "password"}),
            json!({"sub": "alice", "azp": "app", "gty": "client-credentials", "email": "alice@example.com"}),
            json!({"sub": "u1", "azp": "app", "preferred_username": "service-account-app", "sid": "s"}),
            json!({"sub": "u1", "azp": "other", "preferred_username": "service-account-app"}),
        ] {
            assert_eq!(kind(&claims), PrincipalKind::User, "{claims}");
        }
    }

    #[test]
    fn a_user_with_the_name_of_a_client_is_another_principal() {
        let rule = SubjectRule::new();
        let kind = |rule: &SubjectRule, claims: &Value| subject(rule, claims).expect("a subject").1;
        assert_eq!(kind(&rule, &json!({"sub": "app", "client_id": "app"})), PrincipalKind::Client);
        assert_eq!(kind(&rule, &json!({"sub": "app", "client_id": "other"})), PrincipalKind::User);
        assert_eq!(kind(&rule, &json!({"sub": "app", "client_id": "app", "username": "app"})), PrincipalKind::User);
        let rule = rule.with_claim("username").with_clients();
        assert_eq!(kind(&rule, &json!({"username": "app", "client_id": "app"})), PrincipalKind::User);
        assert_eq!(kind(&rule, &json!({"client_id": "app"})), PrincipalKind::Client);
    }
}
