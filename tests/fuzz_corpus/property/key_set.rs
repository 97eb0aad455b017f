//! `KeySet`: whatever an issuer publishes, keys that are no keys verify nothing.

use std::sync::LazyLock;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_core::{BearerToken, Issuer, ResourceUri};
use portcullis_oauth::jwt::{HeaderCheckedJwt, JwtPolicy, KeySet, UnverifiedJwt};
use serde_json::Value;

/// Tokens of the issuer, and the public parameter of the key that signed each.
const SIGNED: [(&str, &str); 2] = [
    (include_str!("../../../fuzz/seeds/jwt/good-ed25519"), "x"),
    (include_str!("../../../fuzz/seeds/jwt/good-rs256"), "n"),
];

static ISSUER: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_slice(include_bytes!("../../../fuzz/seeds/key_set/issuer.json")).expect("JSON"));
static POLICY: LazyLock<JwtPolicy> = LazyLock::new(|| {
    let issuer = Issuer::new("https://idp.example.com").expect("an issuer");
    JwtPolicy::new(issuer, ResourceUri::new("https://mcp.example.com/mcp").expect("a resource"))
});

pub(crate) fn hold(input: &[u8]) {
    let Ok(keys) = KeySet::parse(input) else { return };
    let published = &serde_json::from_slice::<Value>(input).expect("JSON")["keys"];
    let published = published.as_array().expect("an array");
    assert!(keys.len() + keys.skipped().len() <= published.len());
    assert!((1..=KeySet::MAX_KEYS).contains(&keys.len()));
    for (token, parameter) in SIGNED {
        let jwt = screened(token);
        let Some(key) = keys.select(&jwt) else { continue };
        if jwt.verify(key).is_ok() {
            let real = number(&ISSUER["keys"][usize::from(parameter == "n")][parameter]);
            let is_real = |key: &Value| number(&key[parameter]) == real;
            assert!(published.iter().any(is_real), "verified by a key that did not sign it");
        }
    }
}

fn screened(token: &str) -> HeaderCheckedJwt {
    let token = BearerToken::new(token).expect("a token");
    POLICY.check_header(UnverifiedJwt::parse(&token, 4096).expect("a JWT")).expect("a good header")
}

/// A number in base64url, without the sign byte that some issuers write.
fn number(parameter: &Value) -> Vec<u8> {
    let bytes = URL_SAFE_NO_PAD.decode(parameter.as_str().unwrap_or_default()).unwrap_or_default();
    bytes.into_iter().skip_while(|byte| *byte == 0).collect()
}
