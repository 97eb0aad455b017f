//! Other tokens of an issuer whose headers do not distinguish types of tokens.

use portcullis_core::Reason;
use serde_json::{Value, json};

use crate::{
    accepted::{ask, policy, verifier},
    signing::{RSA, jwks},
};

/// Creates a token with the header `typ` of `JWT`, signed by the issuer, with `further` claims.
fn untyped(further: &Value) -> String {
    RSA.token(|header, claims| {
        header["typ"] = json!("JWT");
        for (name, value) in further.as_object().expect("claims") {
            claims[name] = value.clone();
        }
    })
}

#[test]
fn tokens_of_other_types_are_refused_if_the_header_does_not_distinguish_them() {
    let verifier = verifier(policy().with_untyped_tokens(), &jwks(&[&RSA]));
    let events = json!({"http://schemas.openid.net/event/backchannel-logout": {}});
    let mut refused = Vec::new();
    let mut accepted = Vec::new();
    for claims in [
        json!({"nonce": "n"}),
        json!({"nonce": ""}),
        json!({"nonce": "n", "typ": "ID"}),
        json!({"nonce": "n", "typ": "JWT"}),
        json!({"at_hash": "x"}),
        json!({"c_hash": "x", "typ": "Bearer"}),
        json!({"s_hash": "x"}),
        json!({"typ": "Refresh"}),
        json!({"typ": "Offline"}),
        json!({"typ": "ID"}),
        json!({"typ": "Logout"}),
        json!({"typ": "logout+jwt"}),
        json!({"typ": "Serialized-ID"}),
        json!({"typ": "RegistrationAccessToken"}),
        json!({"typ": 7}),
        json!({"token_use": "id"}),
        json!({"token_use": "refresh"}),
        json!({"token_type": "refresh"}),
        json!({"token_type": "refresh_token"}),
        json!({"events": events}),
        json!({"events": events, "typ": "Bearer"}),
    ] {
        match ask(&verifier, &untyped(&claims)) {
            Err(error) => {
                assert_eq!(error.reason(), Reason::WrongType, "{claims}");
                let cause = std::error::Error::source(&error).expect("a cause for the log").to_string();
                refused.push((claims, cause));
            }
            Ok(_) => accepted.push(claims),
        }
    }
    assert!(accepted.is_empty(), "{} of 21 accepted: {accepted:#?}", accepted.len());
    for (claims, cause) in refused {
        let named = claims.as_object().expect("claims").keys().any(|name| cause.contains(&format!("`{name}`")));
        assert!(named, "{claims}: {cause}");
    }
}

/// The type claims in access tokens of several vendors.
#[test]
fn access_tokens_of_several_vendors_are_accepted() {
    let verifier = verifier(policy().with_untyped_tokens(), &jwks(&[&RSA]));
    for claims in [
        json!({"typ": "Bearer", "azp": "app", "session_state": "s", "acr": "1", "realm_access": {"roles": ["x"]}}),
        // Keycloak before 25.
        json!({"typ": "Bearer", "nonce": "n"}),
        json!({"token_use": "access", "username": "alice", "auth_time": 1, "version": 2}),
        json!({"azp": "app", "gty": "client-credentials", "permissions": []}),
        json!({"ver": "2.0", "azp": "app", "scp": "x", "uti": "u", "aio": "a", "idtyp": "user"}),
        json!({"cid": "app", "uid": "u", "scp": ["x"], "auth_time": 1}),
        json!({"token_type": "access", "user_id": 1}),
        json!({"token_type": "Bearer", "grant_type": "authorization_code"}),
        json!({"typ": "JWT"}),
        json!({"firebase": {"sign_in_provider": "password"}, "user_id": "u", "auth_time": 1}),
        json!({"role": "authenticated", "aal": "aal1", "session_id": "s", "amr": [{"method": "password"}]}),
    ] {
        ask(&verifier, &untyped(&claims)).unwrap_or_else(|error| panic!("{claims}: {error:?}"));
    }
}

#[test]
fn a_vendor_specific_type_is_accepted_if_it_is_configured() {
    let policy = || policy().with_untyped_tokens();
    let own = untyped(&json!({"typ": "user+access"}));
    let refused = ask(&verifier(policy(), &jwks(&[&RSA])), &own).expect_err("not listed");
    let cause = std::error::Error::source(&refused).expect("a cause").to_string();
    assert!(cause.contains("`typ` is \"user+access\"") && cause.contains("`token_types`"), "{cause}");
    let policy = policy().with_token_types(["at+jwt", "user+access"]);
    ask(&verifier(policy, &jwks(&[&RSA])), &own).expect("listed");
}
