//! The claims about the user in an ID token or identity assertion.

use portcullis_oauth::{Claims, describes_token};
use serde_json::{Map, Value};

/// Returns the claims about the user and the login, such as roles and `amr`. Claims about the token would be read as claims of this server's
/// access token.
pub(crate) fn user_claims(claims: Claims) -> Map<String, Value> {
    let mut claims = claims.into_inner();
    claims.retain(|name, _| !describes_token(name));
    claims
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_about_the_token_are_removed_and_those_about_user_and_login_kept() {
        let text = br#"{"iss":"i","sub":"s","nonce":"n","at_hash":"h","scope":"admin","scp":["admin"],"permissions":["p"],"typ":"ID",
            "act":{"sub":"x"},"cnf":{"jkt":"k"},"resource":"r","roles":["analyst"],"email":"a@example.test","amr":["mfa"],"sid":"1"}"#;
        let claims = user_claims(Claims::parse(text).expect("claims"));
        let names: Vec<_> = claims.keys().map(String::as_str).collect();
        assert_eq!(names, ["amr", "email", "roles", "sid"]);
    }
}
