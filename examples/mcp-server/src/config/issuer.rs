//! The rules for one entry of `resource_server.issuers`, and between them.

use std::fs;

use http::Uri;
use portcullis::{Issuer, ResourceUri, oauth::jwt::Algorithm};
use secrecy::{ExposeSecret, SecretString};

use super::{
    ConfigError, IssuerSettings, Verification,
    document::{Document, element, member},
    file::{IssuerTable, Verify},
    settings::{Credentials, EgressSettings},
    validate::{given, uri_problem},
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
        let entry = Entry { document, egress, path: element(LIST, index) };
        let settings = entry.validate(table)?;
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

struct Entry<'a> {
    document: &'a Document,
    egress: &'a EgressSettings,
    path: String,
}

impl Entry<'_> {
    fn error(&self, key: &str, problem: impl AsRef<str>) -> ConfigError {
        self.document.error(&member(&self.path, key), problem)
    }

    fn validate(&self, table: IssuerTable) -> Result<IssuerSettings, ConfigError> {
        let issuer = Issuer::new(&table.issuer).map_err(|error| self.error("issuer", uri_problem(&error)))?;
        self.check_reach("issuer", issuer.as_str())?;
        if table.audience.as_deref() == Some("") {
            return Err(self.error("audience", "must not be empty; without it, the audience is the resource"));
        }
        let jwks_uri = self.url("jwks_uri", table.jwks_uri)?;
        let credentials = Credentials {
            client_id: table.client_id.unwrap_or_default(),
            client_secret: self.secret(table.client_secret, given(table.client_secret_file))?,
        };
        let verification = match table.verify {
            Verify::Jwt => {
                let algorithms = self.algorithms(&table.algorithms)?;
                Verification::Jwt { algorithms, token_types: table.token_types, jwks_uri }
            }
            Verify::Introspection => {
                self.complete(&credentials, "introspection needs it")?;
                Verification::Introspection(credentials)
            }
            Verify::Userinfo => {
                self.complete(&credentials, "UserInfo says who, not for whom; asking for whom needs it")?;
                let check_token_endpoint = self.url("check_token_endpoint", table.check_token_endpoint)?;
                Verification::UserInfo { credentials, check_token_endpoint }
            }
        };
        Ok(IssuerSettings {
            issuer,
            verification,
            audience: table.audience,
            introspection_endpoint: self.url("introspection_endpoint", table.introspection_endpoint)?,
            userinfo_endpoint: self.url("userinfo_endpoint", table.userinfo_endpoint)?,
            enrich: table.enrich,
        })
    }

    fn algorithms(&self, names: &[String]) -> Result<Vec<Algorithm>, ConfigError> {
        let algorithm = |(index, name): (usize, &String)| {
            name.parse().map_err(|_| {
                let known: Vec<_> = Algorithm::ALL.iter().map(|algorithm| algorithm.as_str()).collect();
                let problem = format!("must be one of {}, not {name:?}", known.join(", "));
                self.error(&element("algorithms", index), problem)
            })
        };
        names.iter().enumerate().map(algorithm).collect()
    }

    /// Endpoints obey the rules of identifiers: absolute, https or loopback, no fragment, no user name.
    fn url(&self, key: &str, text: Option<String>) -> Result<Option<Uri>, ConfigError> {
        let Some(text) = given(text) else { return Ok(None) };
        ResourceUri::new(&text).map_err(|error| self.error(key, uri_problem(&error)))?;
        self.check_reach(key, &text)?;
        text.parse().map(Some).map_err(|_| self.error(key, "is not a URL"))
    }

    /// Plain http has been found to be loopback, and egress has to allow that.
    fn check_reach(&self, key: &str, url: &str) -> Result<(), ConfigError> {
        if url.to_ascii_lowercase().starts_with("http:") && !self.egress.allow_loopback {
            return Err(self.error(key, "is on this machine, which needs allow_loopback = true in [egress]"));
        }
        Ok(())
    }

    fn secret(&self, secret: Option<SecretString>, file: Option<String>) -> Result<SecretString, ConfigError> {
        let secret = secret.filter(|secret| !secret.expose_secret().is_empty());
        let Some(file) = file else { return Ok(secret.unwrap_or_default()) };
        if secret.is_some() {
            return Err(self.error("client_secret_file", "is given, and `client_secret` too: one of them is enough"));
        }
        let unreadable = |problem: &str| self.error("client_secret_file", format!("cannot be used: {file}: {problem}"));
        let text = fs::read_to_string(&file).map_err(|error| unreadable(&error.to_string()))?;
        // Editors and `echo` end files with a line feed, which belongs to no secret.
        match text.trim_end_matches(['\r', '\n']) {
            "" => Err(unreadable("it is empty")),
            text => Ok(text.into()),
        }
    }

    fn complete(&self, credentials: &Credentials, why: &str) -> Result<(), ConfigError> {
        if credentials.client_id.is_empty() {
            return Err(self.error("client_id", format!("is missing: {why}")));
        }
        if credentials.client_secret.expose_secret().is_empty() {
            return Err(self.error("client_secret", format!("is missing, or `client_secret_file`: {why}")));
        }
        Ok(())
    }
}
