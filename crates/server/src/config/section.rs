//! [`Section`]: a table of the configuration, with the rules that many keys share.

use http::Uri;
use portcullis::{Issuer, ResourceUri, ScopeSet, oauth::ClientAuthentication, store::read_secret_file};
use secrecy::{ExposeSecret, SecretString};

use super::{
    ConfigError,
    document::{Document, given, member, uri_problem},
    egress::EgressSettings,
};

/// A table of the configuration.
#[derive(Clone, Debug)]
pub(super) struct Section<'a> {
    pub(super) document: &'a Document,
    pub(super) egress: &'a EgressSettings,
    pub(super) path: String,
}

impl Section<'_> {
    /// Creates an error about `key`.
    pub(super) fn error(&self, key: &str, problem: impl AsRef<str>) -> ConfigError {
        self.document.error(&self.path(key), problem)
    }

    /// Returns the section at `key` of this section.
    pub(super) fn below(&self, key: &str) -> Self {
        Self { path: self.path(key), ..self.clone() }
    }

    pub(super) fn path(&self, key: &str) -> String {
        member(&self.path, key)
    }

    pub(super) fn issuer(&self, key: &str, text: &str) -> Result<Issuer, ConfigError> {
        let issuer = Issuer::new(text).map_err(|error| self.error(key, uri_problem(&error)))?;
        self.check_reach(key, issuer.as_str())?;
        Ok(issuer)
    }

    /// Parses the URL of an endpoint. It must be absolute, https or loopback, without fragment and user name.
    pub(super) fn url(&self, key: &str, text: Option<String>) -> Result<Option<Uri>, ConfigError> {
        let Some(text) = given(text) else { return Ok(None) };
        let https = self.http_host(&text).map(|rest| format!("https://{rest}"));
        ResourceUri::new(https.as_deref().unwrap_or(&text)).map_err(|error| self.error(key, uri_problem(&error)))?;
        if https.is_none() {
            self.check_reach(key, &text)?;
        }
        text.parse().map(Some).map_err(|_| self.error(key, "is not a URL"))
    }

    /// Parses the identifier of an issuer of tokens, which may be in a private network and plain http (`egress.http_hosts`).
    pub(super) fn issuer_of_tokens(&self, key: &str, text: &str) -> Result<Issuer, ConfigError> {
        match self.http_host(text) {
            Some(_) => Issuer::in_private_network(text).map_err(|error| self.error(key, uri_problem(&error))),
            None => self.issuer(key, text),
        }
    }

    /// Returns the part after the scheme of a plain http URL, if its host is one of `egress.http_hosts`.
    fn http_host<'t>(&self, url: &'t str) -> Option<&'t str> {
        let rest = url.strip_prefix("http://")?;
        let host = rest.split(['/', ':', '?']).next()?.to_ascii_lowercase();
        self.egress.http_hosts.contains(&host).then_some(rest)
    }

    /// Checks that the egress configuration allows loopback if `url` is plain http, which is valid for loopback only.
    fn check_reach(&self, key: &str, url: &str) -> Result<(), ConfigError> {
        if url.to_ascii_lowercase().starts_with("http:") && !self.egress.allow_loopback {
            return Err(self.error(key, "is on this machine, which needs allow_loopback = true in [egress]"));
        }
        Ok(())
    }

    pub(super) fn scopes(&self, key: &str, names: &[String]) -> Result<ScopeSet, ConfigError> {
        ScopeSet::new(names).map_err(|error| self.error(key, format!("has {:?}, which is not a scope name", error.0)))
    }

    /// Returns the secret of `key`, or the content of the file that the key with the suffix `_file` names. The file must not be
    /// accessible to other users of the machine.
    pub(super) fn secret(
        &self,
        key: &str,
        secret: Option<SecretString>,
        file: Option<String>,
    ) -> Result<Option<SecretString>, ConfigError> {
        let secret = secret.filter(|secret| !secret.expose_secret().is_empty());
        let Some(file) = given(file) else { return Ok(secret) };
        let file_key = format!("{key}_file");
        if secret.is_some() {
            return Err(self.error(&file_key, format!("is given, and `{key}` too: one of them is enough")));
        }
        let unusable = |problem: String| self.error(&file_key, format!("cannot be used: {problem}"));
        let text = read_secret_file(&file).map_err(|error| unusable(error.to_string()))?;
        // Editors and `echo` end files with a line feed, which is not part of the secret.
        match text.expose_secret().trim_end_matches(['\r', '\n']) {
            "" => Err(unusable(format!("{file} is empty"))),
            text => Ok(Some(text.into())),
        }
    }

    /// Returns the client ID and secret, which are both required; `why` is the reason in the error.
    pub(super) fn credentials(
        &self,
        client_id: Option<String>,
        secret: Option<SecretString>,
        why: &str,
    ) -> Result<Credentials, ConfigError> {
        let missing = |key: &str, or: &str| self.error(key, format!("is missing{or}: {why}"));
        let client_id = given(client_id).ok_or_else(|| missing("client_id", ""))?;
        let client_secret = secret.ok_or_else(|| missing("client_secret", ", or `client_secret_file`"))?;
        Ok(Credentials { client_id, client_secret })
    }
}

/// The credentials of this server at an authorization server.
#[derive(Debug)]
pub(crate) struct Credentials {
    pub(crate) client_id: String,
    pub(crate) client_secret: SecretString,
}

impl Credentials {
    pub(crate) fn client(&self) -> ClientAuthentication {
        ClientAuthentication::basic(&self.client_id, self.client_secret.clone())
    }
}
