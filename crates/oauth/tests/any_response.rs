//! Property tests: no response of a provider causes a panic.

use bytes::Bytes;
use http::Response;
use portcullis_core::{AuthError, Issuer, ResourceUri, UnixTime};
use portcullis_oauth::{
    ClientAuthentication,
    introspection::{self, IntrospectionPolicy},
    metadata,
    providers::Provider,
    user_info,
};
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};

fn issuer() -> Issuer {
    Issuer::new("https://idp.example").expect("issuer")
}

/// A strategy for JSON values as text.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("1e999".to_owned()),
        any::<bool>().prop_map(|b| b.to_string()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|n| n.to_string()),
        any::<String>().prop_map(|text| serde_json::Value::from(text).to_string()),
        Just(r#""https://mcp.example/mcp""#.to_owned()),
        Just(r#""https://idp.example""#.to_owned()),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop::collection::vec(inner, 0..3).prop_map(|all| format!("[{}]", all.join(",")))
    })
}

/// A strategy for objects with members that are evaluated.
fn object() -> impl Strategy<Value = String> {
    let names = [
        "active",
        "sub",
        "id",
        "aud",
        "iss",
        "issuer",
        "exp",
        "nbf",
        "iat",
        "cnf",
        "scope",
        "scopes",
        "client_id",
        "app",
        "user",
        "expires_at",
        "token_type",
        "jwks_uri",
        "error",
    ];
    let member =
        (prop::sample::select(names.to_vec()), value()).prop_map(|(name, value)| format!("\"{name}\":{value}"));
    prop::collection::vec(member, 0..8).prop_map(|members| format!("{{\"active\":true,{}}}", members.join(",")))
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        object().prop_map(String::into_bytes),
        value().prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..64)
    ]
}

proptest! {
    #[test]
    fn any_response_is_processed_without_a_panic(
        status in prop_oneof![Just(200_u16), 200_u16..600],
        json in any::<bool>(),
        retry_after in "[0-9]{0,30}",
        body in body(),
    ) {
        let content_type = if json { "application/json" } else { "text/html" };
        let response = Response::builder().status(status).header("content-type", content_type);
        let response = response.header("retry-after", retry_after).body(Bytes::from(body)).expect("response");

        let client = ClientAuthentication::basic("app", "secret".into());
        let policy = IntrospectionPolicy::new(issuer(), ResourceUri::new("https://mcp.example/mcp").expect("resource"));
        let introspected = introspection::process(&response).map_err(AuthError::from);
        let verified = introspected.and_then(|active| policy.check(active, UnixTime::from_secs(1_800_000_000)));
        if let Ok(claims) = verified {
            // An accepted token names this resource, and becomes a user or is rejected.
            assert!(claims.as_ref().audience().expect("audience").contains(&"https://mcp.example/mcp"));
            let _ = claims.into_user_context();
        }
        let _ = metadata::process(&issuer(), &response);
        let _ = Provider::github().process_token_check(&client, &response);
        if let Ok(profile) = user_info::process(&response) {
            assert!(status == 200 && json && !profile.subject().is_empty());
        }
    }
}
