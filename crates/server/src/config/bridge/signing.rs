//! The rules for the keys that sign access tokens.

use portcullis::{
    bridge::{AccessTokenKind, SigningKeys},
    grants::read_secret_file,
};

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
        let error =
            |problem: String| section.error(&element("signing_key_files", index), format!("cannot be used: {problem}"));
        let pem = read_secret_file(file).map_err(|unusable| error(unusable.to_string()))?;
        let more = match keys {
            None => SigningKeys::new(&pem),
            Some(keys) => keys.with_key(&pem),
        };
        keys = Some(more.map_err(|invalid| error(format!("{file}: {invalid}")))?);
    }
    Ok(keys)
}
