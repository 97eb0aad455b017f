//! A verifier whose answers the test sets, and a cache around it.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use portcullis_core::{AuthError, BearerToken, Clock, Issuer, Reason, UnixTime, UserContext};
use tokio::time::{Instant, sleep};
use tower::{Service, ServiceExt as _};

use super::super::{Cache, CacheConfig};

pub(super) type Outcome = Result<Arc<UserContext>, AuthError>;

/// Runs with tokio's paused time.
#[derive(Clone, Debug)]
pub(super) struct TokioClock(pub(super) Instant);

impl Clock for TokioClock {
    fn now(&self) -> UnixTime {
        UnixTime::from_secs(1_800_000_000) + self.0.elapsed()
    }
}

/// A verifier whose answers are set by the test; it takes a second for each.
#[derive(Clone)]
pub(super) struct Provider {
    pub(super) calls: Arc<AtomicUsize>,
    pub(super) answer: Arc<Mutex<Answer>>,
    pub(super) lifetime: Arc<AtomicU64>,
    pub(super) known_for: Arc<AtomicU64>,
    pub(super) clock: TokioClock,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Answer {
    Valid,
    Refuse(Reason),
    Hang,
    Panic,
}

impl Provider {
    pub(super) fn new() -> Self {
        let clock = TokioClock(Instant::now());
        let answer = Arc::new(Mutex::new(Answer::Valid));
        let [lifetime, known_for] = [3600, u64::MAX].map(|seconds| Arc::new(AtomicU64::new(seconds)));
        Self { calls: Arc::default(), answer, lifetime, known_for, clock }
    }

    pub(super) fn answers(&self, answer: Answer) {
        *self.answer.lock().expect("lock") = answer;
    }

    pub(super) fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }

    pub(super) fn config(&self) -> CacheConfig {
        CacheConfig::new().with_clock(Arc::new(self.clock.clone()))
    }

    pub(super) fn cache(&self) -> Cache<Self> {
        Cache::around(self.clone(), self.config())
    }
}

impl Service<BearerToken> for Provider {
    type Response = Arc<UserContext>;
    type Error = AuthError;
    type Future = Pin<Box<dyn Future<Output = Outcome> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), AuthError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, token: BearerToken) -> Self::Future {
        self.calls.fetch_add(1, SeqCst);
        let provider = self.clone();
        Box::pin(async move {
            sleep(Duration::from_secs(1)).await;
            let answer = *provider.answer.lock().expect("lock");
            match answer {
                Answer::Valid => {}
                Answer::Refuse(reason) => return Err(reason.into()),
                Answer::Hang => std::future::pending().await,
                Answer::Panic => panic!("as the test demands"),
            }
            let (subject, issuer) = (token.expose_secret().split('.').next().unwrap_or(""), issuer());
            let expires_at = provider.clock.now() + Duration::from_secs(provider.lifetime.load(SeqCst));
            let revalidate_at = provider.clock.now() + Duration::from_secs(provider.known_for.load(SeqCst));
            Ok(Arc::new(
                UserContext::builder(issuer, subject)
                    .with_expires_at(expires_at)
                    .build()
                    .with_revalidate_at(revalidate_at),
            ))
        })
    }
}

pub(super) fn issuer() -> Issuer {
    Issuer::new("https://idp.example.com").expect("issuer")
}

pub(super) fn token(text: &str) -> BearerToken {
    BearerToken::new(text).expect("token")
}

pub(super) async fn ask(cache: &Cache<Provider>, text: &str) -> Outcome {
    cache.clone().oneshot(token(text)).await
}

pub(super) fn reason(outcome: Outcome) -> Reason {
    outcome.expect_err("refused").reason()
}
