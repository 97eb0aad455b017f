//! [`parse`]: an assertion, from the parameter of a request.

use portcullis_core::{AuthError, BearerToken, Reason};
use secrecy::{ExposeSecret, SecretString};

use crate::jwt::UnverifiedJwt;

/// The longest assertion that is looked at, in bytes: anybody may send one.
const MAX_LEN: usize = 16 * 1024;

/// Reads `assertion`, the value of the parameter `assertion` or `client_assertion`. Nothing in it is true yet; its
/// [issuer](UnverifiedJwt::claimed_issuer) is good for choosing a policy.
///
/// # Errors
/// As [`UnverifiedJwt::parse`]; longer than 16 KiB is too large.
pub fn parse(assertion: &SecretString) -> Result<UnverifiedJwt, AuthError> {
    let token = BearerToken::issued(assertion.expose_secret());
    let token = token.map_err(|error| AuthError::new(Reason::MalformedToken).with_source(error))?;
    UnverifiedJwt::parse(&token, MAX_LEN)
}
