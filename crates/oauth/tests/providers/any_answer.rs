//! Whatever a provider answers, it is judged, and nothing panics.

use bytes::Bytes;
use http::Response;
use portcullis_core::{AuthError, AuthErrorKind};
use portcullis_oauth::providers::AuthorizationResponse;
use proptest::prelude::{Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use secrecy::ExposeSecret as _;

use crate::support::{NAMES, NOW, meaning, provider, token};

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("null".to_owned()),
        Just("1e999".to_owned()),
        Just("[]".to_owned()),
        Just("\"Bearer\"".to_owned()),
        Just("\"invalid_grant\"".to_owned()),
        Just("\"bad_refresh_token\"".to_owned()),
        Just("\"eyJhbGciOiJub25lIn0.eyJleHAiOjE4MDAwMDAzMDB9.\"".to_owned()),
        any::<bool>().prop_map(|b| b.to_string()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|n| n.to_string()),
        any::<String>().prop_map(|text| serde_json::Value::from(text).to_string()),
    ]
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let names = [
        "access_token",
        "refresh_token",
        "token_type",
        "expires_in",
        "refresh_expires_in",
        "refresh_token_expires_in",
        "scope",
        "id_token",
        "error",
        "error_description",
        "instance_url",
        "sub",
        "id",
        "account_id",
        "login",
        "email",
    ];
    let member =
        (prop::sample::select(names.to_vec()), value()).prop_map(|(name, value)| format!("\"{name}\":{value}"));
    let object = prop::collection::vec(member, 0..8).prop_map(|members| format!("{{{}}}", members.join(",")));
    prop_oneof![
        4 => object.prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..64),
    ]
}

proptest! {
    #[test]
    fn is_judged_without_a_panic(
        status in prop_oneof![3 => Just(200_u16), 1 => Just(400), 1 => 200_u16..600],
        json in any::<bool>(),
        body in body(),
    ) {
        let content_type = if json { "application/json" } else { "text/html" };
        let response = Response::builder().status(status).header("content-type", content_type);
        let response = response.body(Bytes::from(body.clone())).expect("response");
        let presented = token("eyJhbGciOiJub25lIn0.eyJleHAiOjE4MDAwMDAzMDB9.");
        for name in NAMES {
            let provider = provider(name);
            match provider.process_token(&response, NOW) {
                Ok(_) => assert!(status == 200 && json),
                Err(error) => {
                    let dead = AuthError::from(error.clone()).kind() == AuthErrorKind::InvalidToken;
                    assert_eq!(dead, meaning(&provider, &error) == "grant");
                    assert!(!dead || !body.is_empty() && status < 500, "no evidence");
                }
            }
            if let Ok(mut profile) = provider.process_profile(&response, &presented) {
                assert!(!profile.subject().is_empty());
                let _ = provider.supplement_request(&profile, &presented);
                let _ = provider.process_supplement(&mut profile, &response);
            }
            let _ = provider.process_revocation(&response);
        }
    }
}

proptest! {
    #[test]
    fn any_query_is_read_or_refused(rest in ".*", name in prop_oneof!["code", "state", "iss", "error"], value in ".*") {
        let _ = AuthorizationResponse::parse(&rest);
        let pairs = [("code", "c"), ("state", "s"), ("iss", "i"), (&*name, &*value)];
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let outcome = AuthorizationResponse::parse(&format!("{query}&{rest}"));
        prop_assert!(outcome.is_err() || name == "error" && value.is_empty(), "{query}");
    }

    #[test]
    fn a_code_and_a_state_arrive_as_they_were_sent(code in ".+", state in ".+") {
        let pairs = [("state", &*state), ("code", &*code)];
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let response = AuthorizationResponse::parse(&query).expect("a response");
        prop_assert!(response.has_state(&state));
        let arrived = response.into_code().expect("a code");
        prop_assert_eq!(arrived.expose_secret(), code);
    }
}
