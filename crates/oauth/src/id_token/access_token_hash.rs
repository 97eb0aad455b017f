//! `at_hash`: which access token came with an ID token.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_core::BearerToken;
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use crate::jwt::Algorithm;

/// The left half of the hash of `token`, by the hash function of the algorithm that signed the ID token.
///
/// [OpenID Connect Core 1.0 section 3.1.3.6](https://openid.net/specs/openid-connect-core-1_0.html#CodeIDToken). `EdDSA` is here on
/// Ed25519 alone, which hashes by SHA-512.
pub(super) fn access_token_hash(algorithm: Algorithm, token: &BearerToken) -> String {
    let text = token.expose_secret();
    let hash = match algorithm {
        Algorithm::Rs256 | Algorithm::Ps256 | Algorithm::Es256 => Sha256::digest(text).to_vec(),
        Algorithm::Rs384 | Algorithm::Ps384 | Algorithm::Es384 => Sha384::digest(text).to_vec(),
        Algorithm::Rs512 | Algorithm::Ps512 | Algorithm::EdDsa => Sha512::digest(text).to_vec(),
    };
    URL_SAFE_NO_PAD.encode(&hash[..hash.len() / 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_standard() {
        // OpenID Connect Core 1.0, appendix A.3.
        let token = BearerToken::new("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y").expect("token");
        for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::Ps256] {
            assert_eq!(access_token_hash(algorithm, &token), "77QmUPtjPfzWtF2AnpK9RQ", "{algorithm}");
        }
        let length = |algorithm| access_token_hash(algorithm, &token).len();
        assert_eq!((length(Algorithm::Es384), length(Algorithm::EdDsa)), (32, 43));
    }
}
