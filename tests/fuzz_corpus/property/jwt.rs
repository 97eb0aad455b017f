//! JWTs as they come in: nothing is accepted that the issuer did not sign.

use std::sync::LazyLock;

use portcullis_core::{BearerToken, Issuer, ResourceUri, UnixTime};
use portcullis_oauth::jwt::{JwtPolicy, KeySet, UnverifiedJwt};

/// The key set of the issuer, and all that it ever signed. The private keys were deleted.
const KEYS: &[u8] = include_bytes!("../../../fuzz/seeds/key_set/issuer.json");
const SIGNED: [&str; 2] =
    [include_str!("../../../fuzz/seeds/jwt/good-ed25519"), include_str!("../../../fuzz/seeds/jwt/good-rs256")];

static KEY_SET: LazyLock<KeySet> = LazyLock::new(|| KeySet::parse(KEYS).expect("a key set"));
static POLICIES: LazyLock<[JwtPolicy; 2]> = LazyLock::new(|| {
    let issuer = Issuer::new("https://idp.example.com").expect("an issuer");
    let resource = ResourceUri::new("https://mcp.example.com/mcp").expect("a resource");
    let strict = JwtPolicy::new(issuer, resource);
    [strict.clone(), strict.with_untyped_tokens().with_audiences(["mcp", "https://mcp.example.com/mcp"])]
});

pub(crate) fn hold(input: &[u8]) {
    let Some(token) = std::str::from_utf8(input).ok().and_then(|text| BearerToken::new(text).ok()) else { return };
    let accepted: Vec<_> = POLICIES.iter().map(|policy| accepts(policy, &token)).collect();
    let is_signed = SIGNED.contains(&token.expose_secret());
    assert_eq!(accepted, [is_signed; 2]);
}

fn accepts(policy: &JwtPolicy, token: &BearerToken) -> bool {
    let is_likely = UnverifiedJwt::is_likely(token);
    let Ok(jwt) = UnverifiedJwt::parse(token, policy.max_len()) else { return false };
    drop(jwt.claimed_issuer());
    let Ok(jwt) = policy.check_header(jwt) else { return false };
    let Some(key) = KEY_SET.select(&jwt) else { return false };
    let Ok(jwt) = jwt.verify(key) else { return false };
    assert!(is_likely, "a JWT that would have been taken for an opaque token");
    let Ok(claims) = policy.check(jwt, UnixTime::from_secs(1_800_000_000)) else { return false };
    claims.into_user_context().is_ok()
}
