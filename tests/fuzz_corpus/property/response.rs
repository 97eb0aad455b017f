//! What providers answer: nothing that was not said is read from it, and failures of this server are blamed on no token.
//!
//! The input is a status, a content type and a `Retry-After`, separated by `|`, a line feed, and the body.

use std::sync::LazyLock;

use bytes::Bytes;
use http::{Response, Uri};
use portcullis_core::{AuthError, AuthErrorKind, BearerToken, Issuer, ResourceUri, UnixTime};
use portcullis_oauth::{
    ClientAuthentication, ProtocolError,
    introspection::{self, IntrospectionPolicy},
    jwt::KeySet,
    metadata,
    providers::Provider,
    user_info,
};
use serde_json::Value;

const RESOURCE: &str = "https://mcp.example.com/mcp";

static ISSUER: LazyLock<Issuer> = LazyLock::new(|| Issuer::new("https://idp.example.com").expect("an issuer"));
static POLICY: LazyLock<IntrospectionPolicy> =
    LazyLock::new(|| IntrospectionPolicy::new(ISSUER.clone(), ResourceUri::new(RESOURCE).expect("a resource")));
static GITHUB: LazyLock<Provider> = LazyLock::new(Provider::github);
static TOKEN: LazyLock<BearerToken> = LazyLock::new(|| BearerToken::new("gho_token").expect("a token"));
static CLIENT: LazyLock<ClientAuthentication> = LazyLock::new(|| ClientAuthentication::basic("app", "hush".into()));

pub(crate) fn hold(input: &[u8]) {
    let Some(response) = response(input) else { return };
    let said = serde_json::from_slice::<Value>(response.body()).unwrap_or_default();
    introspected(&response, &said);
    who(&response, &said);
    where_it_is(&response, &said);
    if let Ok(claims) = GITHUB.process_token_check(&CLIENT, &response) {
        assert_eq!(said["app"]["client_id"], "app");
        let user = claims.into_user_context().expect("a user");
        assert_eq!(said["user"]["id"].to_string(), user.subject());
    }
    if let Err(error) = KeySet::process(&response) {
        assert_eq!(AuthError::from(error).kind(), AuthErrorKind::Unavailable);
    }
}

fn response(input: &[u8]) -> Option<Response<Bytes>> {
    let mut parts = input.splitn(2, |byte| *byte == b'\n');
    let (head, body) = (parts.next()?, parts.next()?);
    let mut head = head.split(|byte| *byte == b'|');
    let mut response = Response::builder().status(std::str::from_utf8(head.next()?).ok()?);
    for name in ["content-type", "retry-after"] {
        if let Some(value) = head.next() {
            response = response.header(name, value);
        }
    }
    response.body(Bytes::copy_from_slice(body)).ok()
}

fn introspected(response: &Response<Bytes>, said: &Value) {
    let answer = match introspection::process(response) {
        Ok(answer) => answer,
        Err(error) => return assert_not_the_tokens_fault(error),
    };
    assert_eq!(said["active"], answer.is_active());
    let Ok(claims) = POLICY.check(answer, UnixTime::from_secs(1_800_000_000)) else { return };
    assert!(said["active"] == true && said.get("cnf").is_none());
    assert!(said["aud"].to_string().to_ascii_lowercase().contains(RESOURCE));
    if let Ok(user) = claims.into_user_context() {
        let said = ["sub", "client_id", "azp"].iter().find_map(|name| said[name].as_str());
        assert_eq!(said, Some(user.subject()));
        drop(user.build());
    }
}

fn who(response: &Response<Bytes>, said: &Value) {
    if let Ok(user) = user_info::process(response) {
        assert!(said["sub"] == user.subject() && !user.subject().is_empty());
    }
    if let Ok(user) = GITHUB.process_profile(response, &TOKEN) {
        assert_eq!(said["id"].to_string(), user.subject());
    }
}

fn where_it_is(response: &Response<Bytes>, said: &Value) {
    match metadata::process(&ISSUER, response) {
        Ok(found) => {
            assert_eq!(said["issuer"], ISSUER.as_str());
            for endpoint in [found.jwks_uri(), found.introspection_endpoint(), found.userinfo_endpoint()] {
                assert!(endpoint.is_none_or(|uri: &Uri| uri.scheme().is_some() && uri.host().is_some()));
            }
        }
        Err(error) => assert_not_the_tokens_fault(error),
    }
}

fn assert_not_the_tokens_fault(error: ProtocolError) {
    assert_eq!(AuthError::from(error).kind(), AuthErrorKind::Unavailable);
}
