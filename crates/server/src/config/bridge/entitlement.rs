//! The table `bridge.entitlements`: the users who may have a scope.

use portcullis::{Issuer, ScopeSet, UserContext, bridge::ScopePolicy};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::config::{
    ConfigError,
    document::{element, given},
    section::Section,
};

#[derive(Deserialize, JsonSchema, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entitlement {
    /// The scope.
    pub(crate) scope: String,
    /// The issuer of the users: that of the provider, which is the default, or one of `trusted_issuers`.
    pub(crate) issuer: Option<String>,
    /// The subjects (`sub`) of users who may have it, never e-mail addresses.
    #[serde(default)]
    pub(crate) subjects: Vec<String>,
    /// A claim of users who may have it, such as "groups" or "realm_access.roles".
    pub(crate) claim: Option<String>,
    /// The values of that claim; an array must contain one of them.
    #[serde(default)]
    pub(crate) values: Vec<String>,
}

/// The users who may have a scope.
#[derive(Debug)]
struct Rule {
    scope: String,
    /// The issuer of the users: subjects and claims are meaningful only with their issuer.
    issuer: Issuer,
    subjects: Vec<String>,
    /// The path of the claim, and its values.
    claim: Option<(Vec<String>, Vec<String>)>,
}

/// The issuers of the users of this server.
pub(super) struct KnownIssuers<'a> {
    pub(super) provider: &'a Issuer,
    pub(super) trusted: Vec<&'a Issuer>,
}

/// Validates the tables. A scope in a table is for the users of the table; every other scope is for all users.
pub(super) fn validate_all(
    section: &Section<'_>,
    tables: Vec<Entitlement>,
    supported: &ScopeSet,
    issuers: &KnownIssuers<'_>,
) -> Result<ScopePolicy, ConfigError> {
    let validate =
        |(index, table)| validate(&section.below(&element("entitlements", index)), table, supported, issuers);
    let rules: Vec<Rule> = tables.into_iter().enumerate().map(validate).collect::<Result<_, _>>()?;
    Ok(ScopePolicy::new(move |user, asked| {
        let is_given = |scope: &&str| {
            let mut about = rules.iter().filter(|rule| rule.scope == **scope).peekable();
            about.peek().is_none() || about.any(|rule| rule.admits(user))
        };
        ScopeSet::new(asked.iter().filter(is_given)).unwrap_or_default()
    }))
}

fn validate(
    entry: &Section<'_>,
    table: Entitlement,
    supported: &ScopeSet,
    issuers: &KnownIssuers<'_>,
) -> Result<Rule, ConfigError> {
    if !supported.contains(&table.scope) {
        return Err(entry.error("scope", format!("is {:?}, which is not among `scopes_supported`", table.scope)));
    }
    let claim = match given(table.claim) {
        Some(_) if table.values.is_empty() => {
            return Err(entry.error("values", "is missing: the claim must be one of them, or contain one of them"));
        }
        None if !table.values.is_empty() => {
            return Err(entry.error("claim", "is missing: it names the claim that has `values`"));
        }
        claim => claim.map(|path| (path.split('.').map(str::to_owned).collect(), table.values)),
    };
    let issuer = issuer(entry, table.issuer, issuers)?;
    Ok(Rule { scope: table.scope, issuer, subjects: table.subjects, claim })
}

/// Returns the named issuer, which must be one of `issuers`, or that of the provider if none is named.
fn issuer(entry: &Section<'_>, named: Option<String>, issuers: &KnownIssuers<'_>) -> Result<Issuer, ConfigError> {
    let Some(named) = given(named) else { return Ok(issuers.provider.clone()) };
    let named = entry.issuer("issuer", &named)?;
    let is_trusted = issuers.trusted.contains(&&named);
    if named == *issuers.provider || is_trusted {
        return Ok(named);
    }
    let (named, provider) = (named.as_str(), issuers.provider.as_str());
    let problem =
        format!("is {named:?}, which is neither the provider's ({provider:?}) nor among `bridge.trusted_issuers`");
    Err(entry.error("issuer", problem))
}

impl Rule {
    fn admits(&self, user: &UserContext) -> bool {
        if *user.issuer() != self.issuer {
            return false;
        }
        let is_named = self.subjects.iter().any(|subject| subject == user.subject());
        is_named
            || self.claim.as_ref().is_some_and(|(path, values)| {
                [user.claims(), user.profile()].into_iter().any(|members| has_one_of(members, path, values))
            })
    }
}

/// Reports whether the member at `path` is one of `values`, or an array that contains one of them.
fn has_one_of(members: &Map<String, Value>, path: &[String], values: &[String]) -> bool {
    let Some((first, rest)) = path.split_first() else { return false };
    let found = members.get(first).and_then(|value| rest.iter().try_fold(value, |value, name| value.get(name)));
    let is_wanted = |value: &Value| value.as_str().is_some_and(|value| values.iter().any(|wanted| wanted == value));
    match found {
        Some(Value::Array(elements)) => elements.iter().any(is_wanted),
        Some(value) => is_wanted(value),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use portcullis::Issuer;
    use serde_json::json;

    use super::*;

    fn idp() -> Issuer {
        Issuer::new("https://idp.example.com").expect("issuer")
    }

    fn rule(subjects: &[&str], claim: Option<(&str, &str)>) -> Rule {
        Rule {
            scope: "mcp:admin".to_owned(),
            issuer: idp(),
            subjects: subjects.iter().map(|&subject| subject.to_owned()).collect(),
            claim: claim.map(|(path, value)| (path.split('.').map(str::to_owned).collect(), vec![value.to_owned()])),
        }
    }

    #[test]
    fn an_entitlement_admits_users_by_subject_or_by_claim() {
        let members = |value: Value| value.as_object().cloned().unwrap_or_default();
        let ada = UserContext::builder(idp(), "ada")
            .with_claims(members(json!({"realm_access": {"roles": ["staff", "admin"]}, "groups": "owners"})))
            .with_profile(members(json!({"department": ["research"], "level": 7})))
            .build();
        for (rule, admits) in [
            (rule(&["bob", "ada"], None), true),
            (rule(&["bob"], None), false),
            (rule(&[], None), false),
            (rule(&[], Some(("realm_access.roles", "admin"))), true),
            (rule(&[], Some(("realm_access.roles", "adm"))), false),
            (rule(&[], Some(("realm_access", "admin"))), false),
            (rule(&[], Some(("groups", "owners"))), true),
            (rule(&[], Some(("department", "research"))), true),
            (rule(&[], Some(("level", "7"))), false),
            (rule(&["bob"], Some(("absent", "ada"))), false),
        ] {
            assert_eq!(rule.admits(&ada), admits, "{rule:?}");
        }
    }
}
