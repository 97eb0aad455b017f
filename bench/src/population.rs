//! A cache hit among 1 to 1,000,000 contexts, and the memory of a context.

use std::{
    error::Error,
    future::{Ready, ready},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::HeaderValue;
use http_body_util::Full;
use portcullis::{
    Auth, AuthConfig, AuthError, BearerToken, CacheConfig, Issuer, ScopeSet, UserContext,
    types::{Clock, SystemClock, UnixTime},
    verify::Cache,
};
use portcullis_testkit::IdentityProvider;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::runtime::Runtime;
use tower::{Service, ServiceExt};

use crate::{
    alloc,
    calls::Calls,
    mcp::{Bare, bearer},
    measure::Case,
    provider::metadata,
};

/// The numbers of contexts.
pub(crate) const SIZES: [usize; 4] = [1, 1_000, 100_000, 1_000_000];

/// The hits of a cache of each size, and the memory of a context in the largest.
pub(crate) struct Population {
    /// A case for each size, named by [`name`], and [`BARE`].
    pub(crate) cases: Vec<Case>,
    /// [`SELDOM`], which is measured last because it moves the clock of the largest cache.
    pub(crate) seldom: Case,
    /// The memory of one context, in bytes.
    pub(crate) bytes_per_context: f64,
}

/// The number of rounds after which the caches of the processor hold the data of the requests.
const TIMES: usize = 4096;

/// Returns the name of the case with `count` contexts.
pub(crate) fn name(contexts: usize) -> String {
    format!("hit, {contexts} contexts")
}

/// The bare service, called with the requests of the largest population.
pub(crate) const BARE: &str = "bare service, one token of 1000000";
/// A hit with a token that was unused for half a minute, which is common among many tokens: the cache records the use.
pub(crate) const SELDOM: &str = "hit, 1000000 contexts, none used in the last 30 s";

/// Creates and fills the caches.
pub(crate) fn cases(runtime: &Rc<Runtime>) -> Result<Population, Box<dyn Error>> {
    let (mut cases, mut last) = (Vec::new(), None);
    for contexts in SIZES {
        let clock = ShiftedClock::default();
        let (cache, filled) = alloc::count(|| runtime.block_on(fill(contexts, &clock)));
        let auth = Auth::new(Bare, AuthConfig::new(metadata()?, cache));
        let calls = Calls::<_, _, Full<Bytes>>::new(runtime, auth.clone(), move || any_of(contexts));
        cases.push(Case::new(&name(contexts), TIMES, calls));
        last = Some((auth, clock, contexts, filled.live as f64 / contexts as f64));
    }
    let (auth, clock, contexts, bytes_per_context) = last.ok_or("no population")?;
    cases.push(Case::new(BARE, TIMES, Calls::<_, _, Full<Bytes>>::new(runtime, Bare, move || any_of(contexts))));
    let seldom = move || {
        clock.advance(Duration::from_secs(31));
        any_of(contexts)
    };
    let seldom = Case::new(SELDOM, TIMES, Calls::<_, _, Full<Bytes>>::new(runtime, auth, seldom));
    Ok(Population { cases, seldom, bytes_per_context })
}

async fn fill(contexts: usize, clock: &ShiftedClock) -> Cache<Directory> {
    // The clock moves by years, and no context may expire in that time.
    let years = Duration::from_hours(24 * 3650);
    let config = CacheConfig::new().with_ttl(years).with_capacity(2_000_000).with_clock(Arc::new(clock.clone()));
    let cache = Cache::around(Directory, config);
    for number in 0..contexts {
        let token = BearerToken::new(&token(number)).expect("a token");
        cache.clone().oneshot(token).await.expect("every token is cached");
    }
    assert_eq!(cache.handle().contexts().await, contexts as u64);
    cache
}

/// The system clock with an offset.
#[derive(Clone, Debug, Default)]
struct ShiftedClock(Arc<AtomicU64>);

impl ShiftedClock {
    fn advance(&self, duration: Duration) {
        self.0.fetch_add(duration.as_secs(), Relaxed);
    }
}

impl Clock for ShiftedClock {
    fn now(&self) -> UnixTime {
        SystemClock::new().now() + Duration::from_secs(self.0.load(Relaxed))
    }
}

/// Returns the token with this number: 45 bytes that look random.
fn token(number: usize) -> String {
    format!("o_{}", BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(number.to_le_bytes())))
}

fn any_of(contexts: usize) -> HeaderValue {
    bearer(&token(rand::random_range(0..contexts)))
}

/// A verifier that accepts every token, with a user context like that of an introspection response.
#[derive(Clone)]
struct Directory;

impl Service<BearerToken> for Directory {
    type Response = Arc<UserContext>;
    type Error = AuthError;
    type Future = Ready<Result<Arc<UserContext>, AuthError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), AuthError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, token: BearerToken) -> Self::Future {
        // A UUID has 36 characters.
        let subject = &token.expose_secret()[..36];
        let claims = json!({
            "active": true,
            "iss": IdentityProvider::ISSUER,
            "sub": subject,
            "aud": IdentityProvider::AUDIENCE,
            "client_id": "mcp-client",
            "scope": "mcp:use",
            "iat": 1_800_000_000,
            "username": "alice",
            "token_type": "Bearer",
        });
        let issuer = Issuer::new(IdentityProvider::ISSUER).expect("an issuer");
        let context = UserContext::builder(issuer, subject)
            .with_client_id("mcp-client")
            .with_scopes(ScopeSet::parse("mcp:use").expect("a scope"))
            .with_claims(claims.as_object().cloned().unwrap_or_default());
        ready(Ok(Arc::new(context.build())))
    }
}
