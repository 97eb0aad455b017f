//! [`Section`]: a table of the configuration, and the rules that many of its keys share.

use http::Uri;
use portcullis::{Issuer, ResourceUri, ScopeSet, grants::read_secret_file};
use secrecy::{ExposeSecret, SecretString};

use super::{
    ConfigError,
    document::{Document, member},
    settings::{Credentials, EgressSettings},
    validate::{given, uri_problem},
};

/// A table of the configuration.
#[derive(Clone, Debug)]
pub(super) struct Section<'a> {
    pub(super) document: &'a Document,
    pub(super) egress: &'a EgressSettings,
    pub(super) path: String,
}

impl Section<'_> {
    /// What is wrong with `key`.
    pub(super) fn error(&self, key: &str, problem: impl AsRef<str>) -> ConfigError {
        self.document.error(&self.path(key), problem)
    }

    /// The section `key` of this one.
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

    /// Endpoints obey the rules of identifiers: absolute, https or loopback, no fragment, no user name.
    pub(super) fn url(&self, key: &str, text: Option<String>) -> Result<Option<Uri>, ConfigError> {
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

    pub(super) fn scopes(&self, key: &str, names: &[String]) -> Result<ScopeSet, ConfigError> {
        ScopeSet::new(names).map_err(|error| self.error(key, format!("has {:?}, which is no scope name", error.0)))
    }

    /// The secret of `key`, or what is in the file that `key` and `_file` names, which has to be closed to others.
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
        // Editors and `echo` end files with a line feed, which belongs to no secret.
        match text.expose_secret().trim_end_matches(['\r', '\n']) {
            "" => Err(unusable(format!("{file} is empty"))),
            text => Ok(Some(text.into())),
        }
    }

    /// An id and a secret: both are needed, for the reason `why`.
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
