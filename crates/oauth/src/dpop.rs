//! Proofs of possession by clients ([RFC 9449](https://www.rfc-editor.org/rfc/rfc9449)), and what a response asks of the next one.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header};
use portcullis_core::{BearerToken, Challenge, UnixTime};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::{jwt::SigningKey, response::error_code};

/// The header of a proof.
pub const PROOF: &str = "dpop";
/// The header of a nonce for the next proof.
pub const NONCE: &str = "dpop-nonce";

/// [RFC 9449 section 4.2](https://www.rfc-editor.org/rfc/rfc9449#section-4.2)
#[derive(Serialize)]
struct Proof<'a> {
    jti: &'a str,
    htm: &'a str,
    htu: String,
    iat: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ath: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
}

/// Returns the value of the header `DPoP` for one request, marked as sensitive: a proof that its sender has `key`.
///
/// `jti` is unique among the proofs of the key; `access_token` is the token that the request presents, at a resource; `nonce` is what the
/// server asked for.
///
/// # Panics
/// If the system has no randomness.
#[must_use]
pub fn proof(
    key: &SigningKey,
    (method, url): (&Method, &Uri),
    access_token: Option<&BearerToken>,
    nonce: Option<&str>,
    jti: &str,
    now: UnixTime,
) -> HeaderValue {
    let claims = Proof {
        jti,
        htm: method.as_str(),
        htu: without_query(url),
        iat: now.as_secs(),
        ath: access_token.map(|token| base64url(&Sha256::digest(token.expose_secret()))),
        nonce,
    };
    let mut proof = HeaderValue::try_from(key.sign_with_jwk("dpop+jwt", &claims)).expect("a JWT is visible ASCII");
    proof.set_sensitive(true);
    proof
}

/// Returns the URL without query and fragment. A path is always there.
fn without_query(url: &Uri) -> String {
    let (scheme, authority) = (url.scheme_str().unwrap_or("https"), url.authority().map_or("", |host| host.as_str()));
    format!("{scheme}://{authority}{}", url.path())
}

fn base64url(bytes: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Returns the nonce that the next proof for this server must contain, if the response has one.
/// [RFC 9449 section 8.2](https://www.rfc-editor.org/rfc/rfc9449#section-8.2)
#[must_use]
pub fn nonce(headers: &HeaderMap) -> Option<&str> {
    headers.get(NONCE)?.to_str().ok().filter(|nonce| (1..=1024).contains(&nonce.len()))
}

/// Reports whether a token endpoint has processed nothing and asks for the same request with its nonce.
/// [RFC 9449 section 8](https://www.rfc-editor.org/rfc/rfc9449#section-8)
#[must_use]
pub fn token_endpoint_asks_for_nonce(response: &Response<Bytes>) -> bool {
    response.status().is_client_error()
        && nonce(response.headers()).is_some()
        && error_code(response).as_deref() == Some("use_dpop_nonce")
}

/// Reports whether a resource asks for the same request with its nonce.
/// [RFC 9449 section 9](https://www.rfc-editor.org/rfc/rfc9449#section-9)
#[must_use]
pub fn resource_asks_for_nonce(status: StatusCode, headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let mut challenges = values.flat_map(|value| Challenge::parse(value).unwrap_or_default());
    let asks = |challenge: &Challenge| {
        challenge.scheme().eq_ignore_ascii_case("DPoP") && challenge.param("error") == Some("use_dpop_nonce")
    };
    status == StatusCode::UNAUTHORIZED && nonce(headers).is_some() && challenges.any(|challenge| asks(&challenge))
}
