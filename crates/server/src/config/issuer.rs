//! The rules for one entry of `resource_server.issuers`, and between them.

use portcullis::oauth::jwt::Algorithm;

use super::{
    ConfigError, IssuerSettings, Verification,
    document::{Document, element},
    file::{IssuerTable, Verify},
    section::Section,
    settings::EgressSettings,
};

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
    for (index, table) in tables.into_iter().enumerate() {
        let entry = Section { document, egress, path: element(LIST, index) };
        let settings = validate(&entry, table)?;
        if issuers.iter().any(|other| other.issuer == settings.issuer) {
            return Err(entry.error("issuer", format!("is there twice: {:?}", settings.issuer.as_str())));
        }
        if let (false, Some(other)) =
            (settings.verification.is_jwt(), issuers.iter().find(|other| !other.verification.is_jwt()))
        {
            let problem =
                format!("is not \"jwt\", nor is that of {}: an opaque token does not say who issued it", other.issuer);
            return Err(entry.error("verify", problem));
        }
        issuers.push(settings);
    }
    Ok(issuers)
}

fn validate(entry: &Section<'_>, table: IssuerTable) -> Result<IssuerSettings, ConfigError> {
    let issuer = entry.issuer("issuer", &table.issuer)?;
    if table.audience.as_deref() == Some("") {
        return Err(entry.error("audience", "must not be empty; without it, the audience is the resource"));
    }
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
            let why = "UserInfo says who, not for whom; asking for whom needs it";
            let credentials = entry.credentials(table.client_id, secret, why)?;
            let check_token_endpoint = entry.url("check_token_endpoint", table.check_token_endpoint)?;
            Verification::UserInfo { credentials, check_token_endpoint }
        }
    };
    Ok(IssuerSettings {
        issuer,
        verification,
        audience: table.audience,
        subject_claim,
        allow_client_without_subject: table.allow_client_without_subject,
        introspection_endpoint: entry.url("introspection_endpoint", table.introspection_endpoint)?,
        userinfo_endpoint: entry.url("userinfo_endpoint", table.userinfo_endpoint)?,
        enrich: table.enrich,
    })
}

/// Claims that are the same in the tokens of many users, or another in each token.
const NO_USERS: [&str; 16] = [
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
            claim if NO_USERS.contains(&claim) => format!(
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
