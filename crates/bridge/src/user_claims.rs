//! Claims about the user in ID tokens and identity assertions.

use portcullis_oauth::Claims;
use serde_json::{Map, Value};

/// Claims that describe the token and not the user.
const TOKEN_CLAIMS: [&str; 16] = [
    "iss",
    "sub",
    "aud",
    "azp",
    "exp",
    "iat",
    "nbf",
    "jti",
    "nonce",
    "at_hash",
    "c_hash",
    "s_hash",
    // Of identity assertions: draft-ietf-oauth-identity-assertion-authz-grant, section 3.
    "client_id",
    "resource",
    "scope",
    "authorization_details",
];

/// Returns the claims about the user, such as roles. The others could be confused with claims of the bridge's tokens.
pub(crate) fn user_claims(claims: Claims) -> Map<String, Value> {
    let mut claims = claims.into_inner();
    claims.retain(|name, _| !TOKEN_CLAIMS.contains(&&**name));
    claims
}
