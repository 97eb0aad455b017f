//! JWTs that the issuer did sign, with any header and any claims: what is accepted is an access token for us, now.
//!
//! The input is a header, a line feed, and claims.

use std::sync::LazyLock;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_core::{BearerToken, Issuer, ResourceUri, UnixTime};
use portcullis_oauth::jwt::{JwtPolicy, KeySet, UnverifiedJwt};
use serde_json::{Value, json};

const ISSUER: &str = "https://idp.example.com";
const RESOURCE: &str = "https://mcp.example.com/mcp";
const NOW: f64 = 1_800_000_000.0;
const LEEWAY: f64 = 60.0;

/// From RFC 8032 section 7.1, so that an input found today is one tomorrow.
static KEY: LazyLock<Ed25519KeyPair> = LazyLock::new(|| {
    let seed: [u8; 32] = std::array::from_fn(|at| u8::try_from(at).unwrap_or_default());
    Ed25519KeyPair::from_seed_unchecked(&seed).expect("a key")
});
static KEY_SET: LazyLock<KeySet> = LazyLock::new(|| {
    let key = json!({"kty": "OKP", "crv": "Ed25519", "kid": "1", "x": encode(KEY.public_key().as_ref())});
    KeySet::parse(json!({ "keys": [key] }).to_string().as_bytes()).expect("a key set")
});
static POLICY: LazyLock<JwtPolicy> = LazyLock::new(|| {
    JwtPolicy::new(Issuer::new(ISSUER).expect("an issuer"), ResourceUri::new(RESOURCE).expect("a resource"))
});

pub(crate) fn hold(input: &[u8]) {
    let mut parts = input.splitn(2, |byte| *byte == b'\n');
    let (Some(header), Some(claims)) = (parts.next(), parts.next()) else { return };
    if accepts(header, claims) {
        let read = |text| serde_json::from_slice::<Value>(text).expect("JSON");
        let (header, claims) = (read(header), read(claims));
        assert!(is_header_good(&header), "{header}");
        assert!(are_claims_good(&claims), "{claims}");
    }
}

fn accepts(header: &[u8], claims: &[u8]) -> bool {
    let message = format!("{}.{}", encode(header), encode(claims));
    let signature = KEY.sign(message.as_bytes());
    let token = BearerToken::new(&format!("{message}.{}", encode(signature.as_ref()))).expect("letters and dots");
    let Ok(jwt) = UnverifiedJwt::parse(&token, POLICY.max_len()) else { return false };
    let Ok(jwt) = POLICY.check_header(jwt) else { return false };
    let Some(key) = KEY_SET.select(&jwt) else { return false };
    let signed = jwt.verify(key).expect("it was signed by this key");
    let Ok(claims) = POLICY.check(signed, UnixTime::from_secs(1_800_000_000)) else { return false };
    claims.into_user_context().is_ok()
}

/// RFC 8725, once more and in other words.
fn is_header_good(header: &Value) -> bool {
    let text = |name: &str| header[name].as_str().unwrap_or_default();
    let forbidden = ["crit", "b64", "zip", "enc", "jwk", "jku", "x5c", "x5u"];
    ["EdDSA", "Ed25519"].contains(&text("alg"))
        && ["at+jwt", "application/at+jwt"].contains(&&*text("typ").to_ascii_lowercase())
        && matches!(&header["kid"], Value::Null | Value::String(_))
        && ["", "1"].contains(&text("kid"))
        && forbidden.iter().all(|name| header.get(name).is_none())
}

/// RFC 9068 section 4, once more and in other words.
fn are_claims_good(claims: &Value) -> bool {
    let is_ours = |audience: &Value| {
        let text = audience.as_str().unwrap_or_default();
        text.eq_ignore_ascii_case(RESOURCE) && text.ends_with("/mcp")
    };
    let is_for_us = match &claims["aud"] {
        Value::Array(audiences) => audiences.iter().any(is_ours),
        audience => is_ours(audience),
    };
    let has_begun = |name| claims.get(name).is_none_or(|date| date.as_f64().is_some_and(|date| date <= NOW + LEEWAY));
    claims["iss"] == ISSUER
        && is_for_us
        && claims["exp"].as_f64().is_some_and(|date| date > NOW - LEEWAY)
        && has_begun("nbf")
        && has_begun("iat")
        && claims["sub"].as_str().is_some_and(|subject| !subject.is_empty())
        && claims.get("cnf").is_none()
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
