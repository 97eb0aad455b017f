//! The section `resource_server`: the authorization servers whose tokens are accepted.

use http::Uri;
use portcullis::{
    Issuer, ScopeSet,
    oauth::{entra, jwt::Algorithm},
};
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

use super::{
    ConfigError,
    document::{Document, element, given},
    egress::EgressSettings,
    section::{Credentials, Section},
};

#[derive(Deserialize, JsonSchema, Debug, Default)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ResourceServer {
    /// The authorization servers whose tokens are accepted; at least one.
    pub(crate) issuers: Vec<IssuerTable>,
}

#[derive(Deserialize, JsonSchema, Debug, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct IssuerTable {
    /// The issuer identifier, exactly as the authorization server writes it; for several tenants of Entra ID with "{tenantid}".
    pub(crate) issuer: String,
    /// The IDs of the tenants of Entra ID whose tokens are accepted, if `issuer` has "{tenantid}".
    #[serde(default)]
    pub(crate) tenants: Vec<String>,
    /// How its tokens are verified.
    #[serde(default)]
    pub(crate) verify: Verify,
    /// The audience that its tokens must name. Default: the resource.
    pub(crate) audience: Option<String>,
    /// Further audiences, one of which its tokens must name.
    #[serde(default)]
    pub(crate) audiences: Vec<String>,
    /// The claim that names this server in tokens without `aud`, such as "client_id"; its value must be one of the audiences.
    pub(crate) audience_claim: Option<String>,
    /// The clients whose tokens are accepted, also without `aud`. Default: all clients, and tokens need `aud`.
    #[serde(default)]
    pub(crate) allowed_clients: Vec<String>,
    /// Claims whose values are scopes, or grant scopes: roles and permissions.
    #[serde(default)]
    pub(crate) scope_claims: Vec<ScopeClaim>,
    /// The client ID of this server at the authorization server; for introspection.
    pub(crate) client_id: Option<String>,
    /// The client secret of this server there; for introspection.
    #[schemars(with = "Option<String>")]
    pub(crate) client_secret: Option<SecretString>,
    /// A file with the client secret, instead of `client_secret`.
    pub(crate) client_secret_file: Option<String>,
    /// Signature algorithms that its tokens may use. Default: every asymmetric one.
    #[serde(default)]
    pub(crate) algorithms: Vec<String>,
    /// Values of `typ` that its tokens may have, in addition to "at+jwt"; "JWT" for issuers that do not follow RFC 9068.
    #[serde(default)]
    pub(crate) token_types: Vec<String>,
    /// The claim that names the user, for issuers whose tokens or introspection responses have no `sub`, such as "username".
    /// Default: "sub".
    pub(crate) subject_claim: Option<String>,
    /// Whether a token without `sub`, and without another claim about a user, is accepted as that of a client acting for itself.
    #[serde(default)]
    pub(crate) allow_client_without_subject: bool,
    /// The URL of its key set. Default: from its metadata.
    pub(crate) jwks_uri: Option<String>,
    /// The URL of its introspection endpoint. Default: from its metadata.
    pub(crate) introspection_endpoint: Option<String>,
    /// The URL of its UserInfo endpoint. Default: from its metadata.
    pub(crate) userinfo_endpoint: Option<String>,
    /// The URL at which GitHub checks a token of this server's app, `https://api.github.com/applications/{client_id}/token`;
    /// for "userinfo", instead of introspection.
    pub(crate) check_token_endpoint: Option<String>,
    /// Whether the user's profile is fetched from the UserInfo endpoint, once per token.
    #[serde(default)]
    pub(crate) enrich: bool,
}

#[derive(Deserialize, JsonSchema, Debug, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScopeClaim {
    /// The claim, or the path of a member, such as "roles" or "realm_access.roles".
    pub(crate) claim: String,
    /// The values of the claim that grant `scope`; an array must contain one of them. Default: each value is a scope of the same name.
    #[serde(default)]
    pub(crate) values: Vec<String>,
    /// The scope that one of `values` grants.
    pub(crate) scope: Option<String>,
}

#[derive(Deserialize, JsonSchema, Debug, Default, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verify {
    #[default]
    Jwt,
    Introspection,
    Userinfo,
}

#[derive(Debug)]
pub(crate) struct IssuerSettings {
    /// The path of the table: several tenants share one.
    pub(crate) path: String,
    pub(crate) issuer: Issuer,
    pub(crate) verification: Verification,
    /// The names of this server in tokens; empty: the resource.
    pub(crate) audiences: Vec<String>,
    pub(crate) audience_claim: Option<String>,
    pub(crate) allowed_clients: Vec<String>,
    pub(crate) scope_claims: Vec<ScopeSource>,
    pub(crate) subject_claim: Option<String>,
    pub(crate) allow_client_without_subject: bool,
    pub(crate) introspection_endpoint: Option<Uri>,
    pub(crate) userinfo_endpoint: Option<Uri>,
    pub(crate) enrich: bool,
}

/// A claim that grants scopes.
#[derive(Debug)]
pub(crate) enum ScopeSource {
    /// Each value of the claim is a scope.
    Same(String),
    /// One of the values of the claim grants the scopes.
    Granted(String, Vec<String>, ScopeSet),
}

/// How an issuer's tokens are verified.
#[derive(Debug)]
pub(crate) enum Verification {
    Jwt {
        algorithms: Vec<Algorithm>,
        token_types: Vec<String>,
        jwks_uri: Option<Uri>,
    },
    Introspection(Credentials),
    /// UserInfo names the user; introspection, or GitHub's token check, names the audience.
    UserInfo {
        credentials: Credentials,
        check_token_endpoint: Option<Uri>,
    },
}

impl Verification {
    pub(crate) const fn is_jwt(&self) -> bool {
        matches!(self, Self::Jwt { .. })
    }
}

const LIST: &str = "resource_server.issuers";

pub(super) fn validate_all(
    document: &Document,
    tables: Vec<IssuerTable>,
    egress: &EgressSettings,
) -> Result<Vec<IssuerSettings>, ConfigError> {
    if tables.is_empty() {
        return Err(document.error(LIST, "is empty: at least one issuer of tokens is needed"));
    }
    let mut issuers: Vec<IssuerSettings> = Vec::new();
    let mut entries = Vec::new();
    for (index, table) in tables.into_iter().enumerate() {
        let entry = Section { document, egress, path: element(LIST, index) };
        entries.extend(of_tenants(&entry, table)?.into_iter().map(|table| (entry.clone(), table)));
    }
    for (entry, table) in entries {
        let settings = validate(&entry, table)?;
        if issuers.iter().any(|other| other.issuer == settings.issuer) {
            return Err(entry.error("issuer", format!("is configured twice: {:?}", settings.issuer.as_str())));
        }
        if let (false, Some(other)) =
            (settings.verification.is_jwt(), issuers.iter().find(|other| !other.verification.is_jwt()))
        {
            let problem =
                format!("is not \"jwt\", nor is that of {}: an opaque token does not name its issuer", other.issuer);
            return Err(entry.error("verify", problem));
        }
        issuers.push(settings);
    }
    Ok(issuers)
}

/// Returns one table for each tenant, if the issuer is a template for tenants of Entra ID. They share the keys.
fn of_tenants(entry: &Section<'_>, table: IssuerTable) -> Result<Vec<IssuerTable>, ConfigError> {
    let is_template = table.issuer.contains(entra::PLACEHOLDER);
    match (is_template, table.tenants.is_empty()) {
        (false, true) => return Ok(vec![table]),
        (false, false) => return Err(entry.error("tenants", "needs an `issuer` that ends in /{tenantid}/v2.0")),
        (true, true) => {
            return Err(entry.error("tenants", "is missing: the IDs of the tenants whose tokens are accepted"));
        }
        (true, false) if table.verify != Verify::Jwt => {
            return Err(entry.error("verify", "must be \"jwt\" for an `issuer` with {tenantid}"));
        }
        (true, false) => {}
    }
    let keys = entra::key_set_url(&table.issuer).map_err(|error| entry.error("issuer", error.to_string()))?;
    let jwks_uri = given(table.jwks_uri.clone()).unwrap_or_else(|| keys.to_string());
    let of_tenant = |(index, tenant): (usize, &String)| {
        let issuer = entra::tenant_issuer(&table.issuer, tenant)
            .map_err(|error| entry.error(&element("tenants", index), format!("is {error}")))?;
        Ok(IssuerTable { issuer: issuer.to_string(), jwks_uri: Some(jwks_uri.clone()), ..table.clone() })
    };
    table.tenants.iter().enumerate().map(of_tenant).collect()
}

fn validate(entry: &Section<'_>, table: IssuerTable) -> Result<IssuerSettings, ConfigError> {
    let issuer = entry.issuer_of_tokens("issuer", &table.issuer)?;
    let audiences = audiences(entry, &table)?;
    let audience_claim = audience_claim(entry, &table, &audiences)?;
    let scope_claims = table.scope_claims.iter().enumerate();
    let scope_claims = scope_claims
        .map(|(index, claim)| scope_source(&entry.below(&element("scope_claims", index)), claim))
        .collect::<Result<_, _>>()?;
    let subject_claim = subject_claim(entry, &table)?;
    let jwks_uri = entry.url("jwks_uri", table.jwks_uri)?;
    let secret = entry.secret("client_secret", table.client_secret, table.client_secret_file)?;
    if table.allow_client_without_subject && table.verify == Verify::Userinfo {
        return Err(entry
            .error("allow_client_without_subject", "does not go with verify = \"userinfo\": a client has no profile"));
    }
    let verification = match table.verify {
        Verify::Jwt => {
            let algorithms = algorithms(entry, &table.algorithms)?;
            Verification::Jwt { algorithms, token_types: table.token_types, jwks_uri }
        }
        Verify::Introspection => {
            Verification::Introspection(entry.credentials(table.client_id, secret, "introspection needs it")?)
        }
        Verify::Userinfo => {
            let why = "UserInfo does not state the audience; introspection does, and needs it";
            let credentials = entry.credentials(table.client_id, secret, why)?;
            let check_token_endpoint = entry.url("check_token_endpoint", table.check_token_endpoint)?;
            Verification::UserInfo { credentials, check_token_endpoint }
        }
    };
    Ok(IssuerSettings {
        path: entry.path.clone(),
        issuer,
        verification,
        audiences,
        audience_claim,
        allowed_clients: table.allowed_clients,
        scope_claims,
        subject_claim,
        allow_client_without_subject: table.allow_client_without_subject,
        introspection_endpoint: entry.url("introspection_endpoint", table.introspection_endpoint)?,
        userinfo_endpoint: entry.url("userinfo_endpoint", table.userinfo_endpoint)?,
        enrich: table.enrich,
    })
}

fn audiences(entry: &Section<'_>, table: &IssuerTable) -> Result<Vec<String>, ConfigError> {
    if table.audience.as_deref() == Some("") {
        return Err(entry.error("audience", "must not be empty; without it, the audience is the resource"));
    }
    let further = table.audiences.iter().enumerate();
    let further = further.map(|(index, name)| (element("audiences", index), name));
    let all = table.audience.iter().map(|name| ("audience".to_owned(), name)).chain(further);
    let clients = table.allowed_clients.iter().enumerate();
    let clients = clients.map(|(index, name)| (element("allowed_clients", index), name));
    if let Some((key, _)) = all.clone().chain(clients).find(|(_, name)| name.is_empty()) {
        return Err(entry.error(&key, "must not be empty"));
    }
    for (key, is_set) in [
        ("audience_claim", table.audience_claim.is_some()),
        ("allowed_clients", !table.allowed_clients.is_empty()),
        ("scope_claims", !table.scope_claims.is_empty()),
    ] {
        if is_set && table.check_token_endpoint.is_some() {
            return Err(
                entry.error(key, "does not go with `check_token_endpoint`, which checks the app and has no claims")
            );
        }
    }
    Ok(all.map(|(_, name)| name.clone()).collect())
}

/// Claims that do not say for which server a token was issued.
const NOT_AUDIENCES: [&str; 12] =
    ["sub", "exp", "nbf", "iat", "jti", "sid", "active", "scope", "scp", "typ", "token_type", "token_use"];

fn audience_claim(
    entry: &Section<'_>,
    table: &IssuerTable,
    audiences: &[String],
) -> Result<Option<String>, ConfigError> {
    let Some(claim) = given(table.audience_claim.clone()) else { return Ok(None) };
    let key = "audience_claim";
    if NOT_AUDIENCES.contains(&&*claim) {
        let problem = format!("must be the claim that names this server or its client, not {claim:?}");
        return Err(entry.error(key, problem));
    }
    if audiences.is_empty() {
        return Err(entry.error(key, "needs `audience`: the value that the claim must have"));
    }
    Ok(Some(claim))
}

fn scope_source(entry: &Section<'_>, table: &ScopeClaim) -> Result<ScopeSource, ConfigError> {
    if table.claim.is_empty() {
        return Err(entry.error("claim", "must not be empty"));
    }
    match given(table.scope.clone()) {
        None if table.values.is_empty() => Ok(ScopeSource::Same(table.claim.clone())),
        None => Err(entry.error("scope", "is missing: the scope that one of `values` grants")),
        Some(_) if table.values.is_empty() => {
            Err(entry.error("values", "is missing: the claim must be one of them, or contain one of them"))
        }
        Some(scope) => {
            let scopes = entry.scopes("scope", &[scope])?;
            Ok(ScopeSource::Granted(table.claim.clone(), table.values.clone(), scopes))
        }
    }
}

/// Claims that are equal in the tokens of many users, or different in each token of one user.
const NOT_SUBJECTS: [&str; 16] = [
    "iss",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "sid",
    "client_id",
    "azp",
    "appid",
    "cid",
    "active",
    "scope",
    "scp",
    "token_type",
    "typ",
];

fn subject_claim(entry: &Section<'_>, table: &IssuerTable) -> Result<Option<String>, ConfigError> {
    if let Some(claim) = &table.subject_claim {
        let problem = match &**claim {
            "" => "must not be empty; without it, `sub` names the user".to_owned(),
            _ if table.check_token_endpoint.is_some() => {
                "does not go with `check_token_endpoint`: the number of the account names the user".to_owned()
            }
            claim if NOT_SUBJECTS.contains(&claim) => format!(
                "must be the claim that names the user, not {claim:?}: users would share what belongs to each of them; for clients \
                 that act for themselves, set allow_client_without_subject = true"
            ),
            _ => return Ok(table.subject_claim.clone()),
        };
        return Err(entry.error("subject_claim", problem));
    }
    Ok(None)
}

fn algorithms(entry: &Section<'_>, names: &[String]) -> Result<Vec<Algorithm>, ConfigError> {
    let algorithm = |(index, name): (usize, &String)| {
        name.parse().map_err(|_| {
            let known: Vec<_> = Algorithm::ALL.iter().map(|algorithm| algorithm.as_str()).collect();
            let problem = format!("must be one of {}, not {name:?}", known.join(", "));
            entry.error(&element("algorithms", index), problem)
        })
    };
    names.iter().enumerate().map(algorithm).collect()
}
