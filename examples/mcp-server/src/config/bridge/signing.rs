//! The rules for the keys that sign access tokens.

use std::fs;

use portcullis::bridge::{AccessTokenKind, SigningKeys};
use secrecy::SecretString;

use super::table::AccessTokens;
use crate::config::{ConfigError, document::element, section::Section};

pub(super) fn validate(
    section: &Section<'_>,
    form: AccessTokens,
    files: &[String],
) -> Result<AccessTokenKind, ConfigError> {
    match form {
        AccessTokens::Reference if files.is_empty() => Ok(AccessTokenKind::Reference),
        AccessTokens::Reference => {
            Err(section.error("signing_key_files", "is for access_tokens = \"jwt\"; reference tokens are not signed"))
        }
        AccessTokens::Jwt => Ok(AccessTokenKind::Jwt(read(section, files)?.unwrap_or_else(SigningKeys::generate))),
    }
}

fn read(section: &Section<'_>, files: &[String]) -> Result<Option<SigningKeys>, ConfigError> {
    let mut keys: Option<SigningKeys> = None;
    for (index, file) in files.iter().enumerate() {
        let error = |problem: String| {
            section.error(&element("signing_key_files", index), format!("cannot be used: {file}: {problem}"))
        };
        let pem = SecretString::from(fs::read_to_string(file).map_err(|failure| error(failure.to_string()))?);
        let more = match keys {
            None => SigningKeys::new(&pem),
            Some(keys) => keys.with_key(&pem),
        };
        keys = Some(more.map_err(|invalid| error(invalid.to_string()))?);
    }
    Ok(keys)
}
