//! [`AudienceRule`]: decides whether a token is intended for this resource.

use std::fmt::Write as _;

use portcullis_core::{AuthError, Reason, ResourceUri};

use crate::{Claims, claim_path::ClaimPath};

/// The rule by which a token is intended for this resource.
#[derive(Clone, Debug)]
pub(crate) struct AudienceRule {
    resource: ResourceUri,
    /// The names of the resource at the issuer; empty: its URI.
    names: Vec<Box<str>>,
    /// The claim that names the resource in tokens without `aud`.
    claim: Option<ClaimPath>,
    /// The clients whose tokens are accepted; empty: all.
    clients: Vec<Box<str>>,
    /// Whether the issuer returns claims only for tokens that are intended for this resource.
    restricted_by_endpoint: bool,
}

impl AudienceRule {
    pub(crate) const fn new(resource: ResourceUri) -> Self {
        Self { resource, names: Vec::new(), claim: None, clients: Vec::new(), restricted_by_endpoint: false }
    }

    /// Replaces the URI of the resource by `names`, unless they are empty.
    pub(crate) fn set_names<I: IntoIterator<Item: Into<Box<str>>>>(&mut self, names: I) {
        self.names = names.into_iter().map(Into::into).collect();
    }

    pub(crate) fn set_claim(&mut self, path: &str) {
        self.claim = (path != "aud").then(|| ClaimPath::new(path));
    }

    pub(crate) fn set_clients<I: IntoIterator<Item: Into<Box<str>>>>(&mut self, clients: I) {
        self.clients = clients.into_iter().map(Into::into).collect();
    }

    pub(crate) const fn set_restricted_by_endpoint(&mut self) {
        self.restricted_by_endpoint = true;
    }

    /// Checks the audience and, if there is a list of clients, the client.
    ///
    /// # Errors
    /// [`Reason::WrongAudience`]; [`Reason::MissingClaim`] if no claim names an audience, or one cannot be read.
    pub(crate) fn check(&self, claims: &Claims) -> Result<(), AuthError> {
        let audience = claims.audience()?;
        if audience.is_empty() {
            if self.claim.is_none() && self.clients.is_empty() && !self.restricted_by_endpoint {
                return Err(Self::no_audience(claims));
            }
        } else if !audience.iter().any(|name| self.is_named_by(name)) {
            return Err(self.other("aud", &audience, "`audience`"));
        }
        if let Some(claim) = &self.claim {
            let found = claim.texts(claims);
            if !found.iter().any(|name| self.is_named_by_claim(name)) {
                return Err(self.other(claim.as_str(), &found, "`audience`, `audience_claim`"));
            }
        }
        let client = claims.client_id()?;
        if !self.clients.is_empty() && !client.is_some_and(|client| self.clients.iter().any(|one| **one == *client)) {
            let problem = format!(
                "the client is {}; accepted is one of {} (`allowed_clients`)",
                quoted(client.as_slice()),
                quoted(&self.clients)
            );
            return Err(AuthError::new(Reason::WrongAudience).with_source(problem));
        }
        Ok(())
    }

    /// Reports whether `audience` names this resource. With a claim of its own for the audience, an `aud` may name the URI as well.
    fn is_named_by(&self, audience: &str) -> bool {
        let by_uri = self.names.is_empty() || self.claim.is_some();
        self.names.iter().any(|name| **name == *audience) || by_uri && self.resource.is_named_by(audience)
    }

    /// Reports whether the value of the claim for the audience names this resource. The names, if there are any, replace its URI.
    fn is_named_by_claim(&self, value: &str) -> bool {
        if self.names.is_empty() {
            return self.resource.is_named_by(value);
        }
        self.names.iter().any(|name| **name == *value)
    }

    fn other<S: AsRef<str>>(&self, claim: &str, found: &[S], key: &str) -> AuthError {
        let uri = [self.resource.as_str()];
        let expected = if self.names.is_empty() { quoted(&uri) } else { quoted(&self.names) };
        let problem = format!("`{claim}` is {}; accepted is one of {expected} ({key})", quoted(found));
        AuthError::new(Reason::WrongAudience).with_source(problem)
    }

    /// Describes the keys by which a token without `aud` can be accepted. It contains the client, and no other value.
    fn no_audience(claims: &Claims) -> AuthError {
        let client = claims.client_id().ok().flatten();
        let problem = format!(
            "the token has no `aud`, its client is {}; set `audience_claim` to the claim that names this server and `audience` to its \
             value, or `allowed_clients` to the clients of this server",
            quoted(client.as_slice())
        );
        AuthError::new(Reason::MissingClaim).with_source(problem)
    }
}

/// Returns `values`, bounded and escaped, for an error message.
pub(crate) fn quoted<S: AsRef<str>>(values: &[S]) -> String {
    const MAX_VALUES: usize = 5;
    const MAX_CHARS: usize = 100;
    if values.is_empty() {
        return "absent".to_owned();
    }
    let mut text = String::new();
    for value in values.iter().take(MAX_VALUES) {
        let value: String = value.as_ref().chars().take(MAX_CHARS).collect();
        let _ = write!(text, "{}{value:?}", if text.is_empty() { "" } else { ", " });
    }
    if values.len() > MAX_VALUES {
        text += ", …";
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const RESOURCE: &str = "https://mcp.example/mcp";

    fn rule() -> AudienceRule {
        AudienceRule::new(ResourceUri::new(RESOURCE).expect("resource"))
    }

    fn check(rule: &AudienceRule, claims: &Value) -> Result<(), (Reason, String)> {
        let error = |error: AuthError| {
            (error.reason(), std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default())
        };
        rule.check(&Claims::new(claims.as_object().expect("claims").clone())).map_err(error)
    }

    #[test]
    fn a_token_without_an_audience_is_rejected_and_the_error_names_the_keys() {
        for claims in [json!({"client_id": "app"}), json!({"client_id": "app", "aud": []})] {
            let (reason, problem) = check(&rule(), &claims).expect_err("no audience");
            assert_eq!(reason, Reason::MissingClaim);
            for part in ["\"app\"", "`audience_claim`", "`allowed_clients`"] {
                assert!(problem.contains(part), "{problem}");
            }
        }
    }

    #[test]
    fn a_claim_that_names_this_server_is_compared_exactly() {
        let mut by_client = rule();
        by_client.set_names(["app-1"]);
        by_client.set_claim("client_id");
        assert_eq!(check(&by_client, &json!({"client_id": "app-1"})), Ok(()));
        assert_eq!(check(&by_client, &json!({"client_id": "app-1", "aud": RESOURCE})), Ok(()), "a bound token");
        for claims in [
            json!({"client_id": "app-2"}),
            json!({"client_id": "APP-1"}),
            json!({"client_id": "app-10"}),
            json!({"client_id": "other app-1"}),
            json!({"client_id": RESOURCE}),
            json!({"azp": "app-1"}),
            json!({}),
            json!({"client_id": "app-2", "aud": RESOURCE}),
            json!({"client_id": "app-1", "aud": "https://other.example"}),
        ] {
            assert_eq!(check(&by_client, &claims).expect_err("foreign").0, Reason::WrongAudience, "{claims}");
        }
        let mut by_object = rule();
        by_object.set_names(["app-1"]);
        by_object.set_claim("allowed");
        assert_eq!(check(&by_object, &json!({"allowed": ["app-0", "app-1"]})), Ok(()));
        assert_eq!(
            check(&by_object, &json!({"allowed": {"app-1": false}})).expect_err("no name").0,
            Reason::WrongAudience
        );
        let (_, problem) = check(&by_client, &json!({"client_id": "app-2"})).expect_err("foreign");
        assert_eq!(problem, "`client_id` is \"app-2\"; accepted is one of \"app-1\" (`audience`, `audience_claim`)");
    }

    #[test]
    fn a_list_of_clients_stands_for_the_audience_and_restricts_it() {
        let mut listed = rule();
        listed.set_clients(["app-1", "app-2"]);
        for name in ["client_id", "azp", "cid", "appid"] {
            assert_eq!(check(&listed, &json!({name: "app-2"})), Ok(()), "{name}");
        }
        assert_eq!(check(&listed, &json!({"client_id": "app-1", "aud": RESOURCE})), Ok(()));
        for claims in [
            json!({"client_id": "app-3"}),
            json!({}),
            json!({"client_id": "app-3", "aud": RESOURCE}),
            json!({"client_id": "app-1", "aud": "https://other.example"}),
        ] {
            assert_eq!(check(&listed, &claims).expect_err("foreign").0, Reason::WrongAudience, "{claims}");
        }
    }

    #[test]
    fn several_audiences_replace_the_uri() {
        let mut named = rule();
        named.set_names(["api://1", "1"]);
        assert_eq!(check(&named, &json!({"aud": ["x", "1"]})), Ok(()));
        let (reason, problem) = check(&named, &json!({"aud": RESOURCE})).expect_err("foreign");
        assert_eq!(reason, Reason::WrongAudience);
        assert_eq!(problem, format!("`aud` is {RESOURCE:?}; accepted is one of \"api://1\", \"1\" (`audience`)"));
    }

    #[test]
    fn an_error_is_bounded_and_on_one_line() {
        let names: Vec<_> = (0..100).map(|n| format!("{n}\n{}", "x".repeat(1000))).collect();
        let (_, problem) = check(&rule(), &json!({"aud": names})).expect_err("foreign");
        assert!(problem.len() < 1000 && !problem.contains('\n'), "{problem}");
    }
}
