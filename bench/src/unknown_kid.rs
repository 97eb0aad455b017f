//! 10,000 tokens with unknown key ids. In paused time.

use std::{error::Error, time::Duration};

use bytes::Bytes;
use http::StatusCode;
use http_body_util::Full;
use portcullis::{
    Auth, AuthConfig, Issuer, ResourceUri,
    egress::Egress,
    oauth::jwt::JwtPolicy,
    verify::{Cache, CacheConfig, JwtVerifier, RemoteKeySet},
};
use portcullis_testkit::{Endpoint, IdentityProvider};

use crate::{
    mcp::{Bare, bearer, check, respond},
    provider::metadata,
};

const TOKENS: usize = 10_000;
const COOL_DOWNS: u32 = 3;
/// The cool-down of the key set, according to its documentation.
const COOL_DOWN: Duration = Duration::from_secs(30);

/// Returns the number of fetches in the busiest of several cool-downs, each with 10,000 such tokens.
pub(crate) fn run() -> Result<usize, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
    runtime.block_on(async {
        let provider = IdentityProvider::new();
        let issuer = Issuer::new(IdentityProvider::ISSUER)?;
        let keys = RemoteKeySet::discovered(issuer.clone(), Egress::from_service(provider.clone()));
        let policy = JwtPolicy::new(issuer, ResourceUri::new(IdentityProvider::AUDIENCE)?);
        let verifier = JwtVerifier::new(policy, keys);
        let gate = Auth::new(Bare, AuthConfig::new(metadata()?, Cache::around(verifier, CacheConfig::new())));
        // The first token fetches the keys.
        // Issued before the keys were fetched: a newer token might be signed by a key that is newer as well, which is 503.
        let forged = |kid: &str| {
            let token = provider.token("mallory").with_claim("iat", 1).signed_by_hmac(b"?");
            token.with_header("alg", "RS256").with_header("kid", kid).jwt()
        };
        check::<_, Full<Bytes>, _>("gate", &gate, &provider.token("alice").jwt(), &forged("first")).await;
        tokio::time::advance(COOL_DOWN).await;

        let mut most = 0;
        for cool_down in 0..COOL_DOWNS {
            let before = provider.calls(Endpoint::KeySet);
            for number in 0..TOKENS {
                let forged = bearer(&forged(&format!("{cool_down}-{number}")));
                assert_eq!(respond::<_, Full<Bytes>, _>(&gate, forged).await.status(), StatusCode::UNAUTHORIZED);
            }
            most = most.max(provider.calls(Endpoint::KeySet) - before);
            tokio::time::advance(COOL_DOWN).await;
        }
        Ok(most)
    })
}
