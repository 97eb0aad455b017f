//! A cache hit: the time that the authentication layer adds to a request whose token is cached.

use std::{
    error::Error,
    hint::black_box,
    rc::Rc,
    time::{Duration, Instant},
};

use axum::{Router, body::Body};
use bytes::Bytes;
use http_body_util::Full;
use portcullis::{Auth, AuthConfig, AuthLayer, Issuer, ResourceUri, oauth::jwt::JwtPolicy};
use portcullis::{
    egress::{Egress, EgressConfig},
    verify::{JwtVerifier, RemoteKeySet},
};
use portcullis_testkit::IdentityProvider;
use sha2::{Digest, Sha256};
use tokio::runtime::Runtime;

use crate::{
    alloc::{self, Allocations},
    calls::Calls,
    mcp::{self, Bare, bearer, check},
    measure::{Case, Run},
    provider::{Providers, Tokens, metadata},
};

/// A service that responds at once.
pub(crate) const BARE: &str = "bare service";
/// An axum router that responds at once.
pub(crate) const BARE_ROUTER: &str = "axum: bare router";
/// A hit in front of the bare service.
pub(crate) const HIT_OPAQUE: &str = "Portcullis around a bare service, opaque token, hit";
/// A hit in front of the bare service.
pub(crate) const HIT_JWT: &str = "Portcullis around a bare service, JWT, hit";
/// A hit in a router, where axum boxes every layer.
pub(crate) const ROUTER_HIT_OPAQUE: &str = "axum: Portcullis by `Router::layer`, opaque token, hit";
/// A hit in a router, where axum boxes every layer.
pub(crate) const ROUTER_HIT_JWT: &str = "axum: Portcullis by `Router::layer`, JWT, hit";
/// A hit in front of a router.
pub(crate) const OUTSIDE_HIT_OPAQUE: &str = "axum: Portcullis around the router, opaque token, hit";
/// A hit in front of a router.
pub(crate) const OUTSIDE_HIT_JWT: &str = "axum: Portcullis around the router, JWT, hit";
/// The signature verified at each request.
pub(crate) const ROUTER_UNCACHED: &str = "axum: Portcullis without its cache, RS256";
/// The hash of the opaque token.
pub(crate) const SHA256_OPAQUE: &str = "SHA-256 of the opaque token";
/// The hash of the JWT.
pub(crate) const SHA256_JWT: &str = "SHA-256 of the JWT";

/// Returns the cases, after a check that each accepts and rejects.
pub(crate) fn cases(
    runtime: &Rc<Runtime>,
    providers: &Providers,
    tokens: &Tokens,
) -> Result<Vec<Case>, Box<dyn Error>> {
    let layer = AuthLayer::new(providers.config()?);
    let bare = tower::Layer::layer(&layer, Bare);
    let inside = mcp::router().layer(layer.clone());
    let outside = tower::Layer::layer(&layer, mcp::router());
    let uncached = mcp::router().layer(AuthLayer::new(AuthConfig::new(metadata()?, verifier(providers)?)));
    runtime.block_on(async {
        for (good, bad) in [(&tokens.opaque, &tokens.bad_opaque), (&tokens.jwt, &tokens.bad_jwt)] {
            check::<_, Full<Bytes>, _>("bare", &bare, good, bad).await;
            check::<_, Body, _>("inside", &inside, good, bad).await;
            check::<_, Body, _>("outside", &outside, good, bad).await;
        }
        check::<_, Body, _>("uncached", &uncached, &tokens.jwt, &tokens.bad_jwt).await;
    });
    let bare_case = |name: &str, service: Auth<Bare, _>, token: &str| {
        let credentials = bearer(token);
        Case::new(name, 512, Calls::<_, _, Full<Bytes>>::new(runtime, service, move || credentials.clone()))
    };
    let router_case = |name: &str, times: usize, router: Router, token: &str| {
        let credentials = bearer(token);
        Case::new(name, times, Calls::<_, _, Body>::new(runtime, router, move || credentials.clone()))
    };
    let outside_case = |name: &str, service: Auth<Router, _>, token: &str| {
        let credentials = bearer(token);
        Case::new(name, 512, Calls::<_, _, Body>::new(runtime, service, move || credentials.clone()))
    };
    let credentials = bearer(&tokens.opaque);
    Ok(vec![
        Case::new(BARE, 512, Calls::<_, _, Full<Bytes>>::new(runtime, Bare, move || credentials.clone())),
        bare_case(HIT_OPAQUE, bare.clone(), &tokens.opaque),
        bare_case(HIT_JWT, bare, &tokens.jwt),
        Case::new(SHA256_OPAQUE, 2048, Hash(tokens.opaque.clone())),
        Case::new(SHA256_JWT, 512, Hash(tokens.jwt.clone())),
        router_case(BARE_ROUTER, 512, mcp::router(), &tokens.opaque),
        router_case(ROUTER_HIT_OPAQUE, 512, inside.clone(), &tokens.opaque),
        router_case(ROUTER_HIT_JWT, 512, inside, &tokens.jwt),
        outside_case(OUTSIDE_HIT_OPAQUE, outside.clone(), &tokens.opaque),
        outside_case(OUTSIDE_HIT_JWT, outside, &tokens.jwt),
        router_case(ROUTER_UNCACHED, 32, uncached, &tokens.jwt),
    ])
}

fn verifier(providers: &Providers) -> Result<JwtVerifier, Box<dyn Error>> {
    let issuer = Issuer::new(&providers.jwt.issuer())?;
    let egress = Egress::new(EgressConfig::new().with_loopback_allowed())?;
    let policy = JwtPolicy::new(issuer.clone(), ResourceUri::new(IdentityProvider::AUDIENCE)?);
    Ok(JwtVerifier::new(policy, RemoteKeySet::discovered(issuer, egress)))
}

/// Repeated hashes of a text.
struct Hash(String);

impl Run for Hash {
    fn time(&mut self, times: usize) -> Duration {
        let begun = Instant::now();
        for _ in 0..times {
            black_box(Sha256::digest(black_box(self.0.as_bytes())));
        }
        begun.elapsed()
    }

    fn allocations(&mut self) -> Allocations {
        alloc::count(|| black_box(Sha256::digest(black_box(self.0.as_bytes())))).1
    }
}
