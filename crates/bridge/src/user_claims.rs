//! What tokens of others say about their user.

use portcullis_oauth::Claims;
use serde_json::{Map, Value};

/// Claims of ID tokens and identity assertions that are about the token, what it is for, or said elsewhere, and not about the user.
const OF_THE_TOKEN: [&str; 16] = [
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
    // Of assertions: draft-ietf-oauth-identity-assertion-authz-grant, section 3.
    "client_id",
    "resource",
    "scope",
    "authorization_details",
];

/// What `claims` say about the user, such as roles. The names of others' tokens would only be taken for those of ours.
pub(crate) fn user_claims(claims: Claims) -> Map<String, Value> {
    let mut claims = claims.into_inner();
    claims.retain(|name, _| !OF_THE_TOKEN.contains(&&**name));
    claims
}
