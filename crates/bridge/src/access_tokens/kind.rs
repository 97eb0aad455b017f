//! [`AccessTokenKind`]: the form of access tokens.

use super::SigningKeys;

/// The form of access tokens. Whatever it is, the bridge asks the session of a token whether it still works.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum AccessTokenKind {
    /// Reference tokens: 256 random bits, which mean something to the bridge alone. Resource servers elsewhere
    /// [introspect](crate::IntrospectionClient) them.
    #[default]
    Reference,
    /// JWTs ([RFC 9068](https://www.rfc-editor.org/rfc/rfc9068)), which resource servers elsewhere verify by the keys at the
    /// bridge's `jwks_uri`. They do not hear of a session that ends before its token does, and the token shows who the user is.
    ///
    /// Reference tokens that were issued before work until they expire. JWTs do not, once the kind is changed back: their clients
    /// refresh.
    Jwt(SigningKeys),
}
