//! [`ClaimPath`]: a claim by its name or path; and [`ScopeRule`]: the claims whose values are scopes, as roles and permissions are.

use portcullis_core::ScopeSet;
use serde_json::{Map, Value};

use crate::Claims;

/// The name of a claim, or the path of a member inside of it: `roles`, `realm_access.roles`, `https://example.com/roles`.
///
/// A name that contains dots is found before a path.
#[derive(Clone, Debug)]
pub(crate) struct ClaimPath(Box<str>);

impl ClaimPath {
    pub(crate) fn new(path: &str) -> Self {
        Self(path.into())
    }

    pub(crate) const fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the values of a claim that names an audience: a string, which is one value also if it has spaces, or the strings of a list.
    /// Other values are omitted.
    pub(crate) fn texts<'a>(&self, claims: &'a Claims) -> Vec<&'a str> {
        match find(claims.members(), &self.0) {
            Some(Value::String(text)) => vec![text],
            Some(Value::Array(values)) => values.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// Returns the values of a claim that lists rights: those of [`texts`](Self::texts), or the names of the members of an object (the roles
    /// of Zitadel).
    fn rights<'a>(&self, claims: &'a Claims) -> Vec<&'a str> {
        match find(claims.members(), &self.0) {
            Some(Value::Object(members)) => members.keys().map(String::as_str).collect(),
            _ => self.texts(claims),
        }
    }

    /// Returns the names of scopes in a claim that lists rights. A string lists them as `scope` does, separated by spaces.
    fn scope_names<'a>(&self, claims: &'a Claims) -> Vec<&'a str> {
        match find(claims.members(), &self.0) {
            Some(Value::String(text)) => text.split(' ').collect(),
            _ => self.rights(claims),
        }
    }
}

fn find<'a>(members: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    members.get(path).or_else(|| {
        path.match_indices('.').find_map(|(at, _)| find(members.get(&path[..at])?.as_object()?, &path[at + 1..]))
    })
}

/// The claims whose values are scopes, beside `scope` and `scp`.
#[derive(Clone, Default, Debug)]
pub(crate) struct ScopeRule(Vec<ScopeSource>);

#[derive(Clone, Debug)]
enum ScopeSource {
    /// Each value of the claim is a scope of the same name.
    Same(ClaimPath),
    /// One of the values grants the scopes.
    Granted(ClaimPath, Vec<Box<str>>, ScopeSet),
}

impl ScopeRule {
    pub(crate) fn add_claim(&mut self, path: &str) {
        self.0.push(ScopeSource::Same(ClaimPath::new(path)));
    }

    pub(crate) fn add_grant(&mut self, path: &str, values: Vec<Box<str>>, scopes: ScopeSet) {
        self.0.push(ScopeSource::Granted(ClaimPath::new(path), values, scopes));
    }

    /// Returns the scopes that `claims` grant by this rule. A value that is not a scope name, such as a role with a space, grants none.
    pub(crate) fn scopes(&self, claims: &Claims) -> ScopeSet {
        self.0.iter().fold(ScopeSet::default(), |scopes, source| match source {
            ScopeSource::Same(path) => {
                let names = path.scope_names(claims).into_iter().filter(|name| ScopeSet::new([name]).is_ok());
                scopes.union(&ScopeSet::new(names).unwrap_or_default())
            }
            ScopeSource::Granted(path, values, granted) => {
                let is_granted = path.rights(claims).into_iter().any(|found| values.iter().any(|one| **one == *found));
                if is_granted { scopes.union(granted) } else { scopes }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scopes(rule: &ScopeRule, claims: &Value) -> String {
        rule.scopes(&Claims::new(claims.as_object().expect("claims").clone())).to_string()
    }

    #[test]
    fn the_values_of_a_claim_are_scopes_in_every_form() {
        let of = |path: &str, claims: &Value| {
            let mut rule = ScopeRule::default();
            rule.add_claim(path);
            scopes(&rule, claims)
        };
        assert_eq!(of("roles", &json!({"roles": ["Mcp.Use", "admin"]})), "Mcp.Use admin");
        assert_eq!(of("permissions", &json!({"permissions": "read:a write:a"})), "read:a write:a");
        assert_eq!(of("realm_access.roles", &json!({"realm_access": {"roles": ["mcp"]}})), "mcp");
        let dotted = json!({"resource_access": {"a.b": {"roles": ["deep"]}}, "https://x.example/roles": ["named"]});
        assert_eq!(of("resource_access.a.b.roles", &dotted), "deep");
        assert_eq!(of("https://x.example/roles", &dotted), "named");
        let zitadel = json!({"urn:zitadel:iam:org:project:roles": {"admin": {"1": "a.example"}}});
        assert_eq!(of("urn:zitadel:iam:org:project:roles", &zitadel), "admin");
        for claims in [json!({}), json!({"roles": null}), json!({"roles": 7}), json!({"roles": [7, {"a": 1}]})] {
            assert_eq!(of("roles", &claims), "", "{claims}");
        }
    }

    #[test]
    fn a_role_with_a_space_is_not_two_scopes() {
        let mut rule = ScopeRule::default();
        rule.add_claim("roles");
        assert_eq!(scopes(&rule, &json!({"roles": ["no mcp:admin", "a\"b", "mcp"]})), "mcp");
    }

    #[test]
    fn a_value_grants_a_scope_of_another_name() {
        let mut rule = ScopeRule::default();
        let admin = ScopeSet::parse("mcp:admin").expect("scope");
        rule.add_grant("realm_access.roles", vec!["MCP admin".into(), "root".into()], admin);
        assert_eq!(scopes(&rule, &json!({"realm_access": {"roles": ["MCP admin"]}})), "mcp:admin");
        assert_eq!(scopes(&rule, &json!({"realm_access": {"roles": ["mcp:admin", "MCP"]}})), "");
        // A string is one value: its words are not.
        assert_eq!(scopes(&rule, &json!({"realm_access": {"roles": "MCP admin"}})), "mcp:admin");
        assert_eq!(scopes(&rule, &json!({"realm_access": {"roles": "no root"}})), "");
    }
}
