//! The contract of the cache, clause by clause.

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

use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use portcullis_core::{AuthError, BearerToken, Clock, Issuer, Reason, UnixTime, UserContext};
use tokio::time::{Instant, sleep, timeout};
use tower::{Service, ServiceExt as _};

use super::{Cache, CacheConfig};

type Outcome = Result<Arc<UserContext>, AuthError>;

/// Runs with tokio's paused time.
#[derive(Clone, Debug)]
struct TokioClock(Instant);

impl Clock for TokioClock {
    fn now(&self) -> UnixTime {
        UnixTime::from_secs(1_800_000_000) + self.0.elapsed()
    }
}

/// A verifier whose answers are set by the test; it takes a second for each.
#[derive(Clone)]
struct Provider {
    calls: Arc<AtomicUsize>,
    answer: Arc<Mutex<Answer>>,
    lifetime: Arc<AtomicU64>,
    known_for: Arc<AtomicU64>,
    clock: TokioClock,
}

#[derive(Clone, Copy, PartialEq)]
enum Answer {
    Valid,
    Refuse(Reason),
    Hang,
    Panic,
}

impl Provider {
    fn new() -> Self {
        let clock = TokioClock(Instant::now());
        let answer = Arc::new(Mutex::new(Answer::Valid));
        let [lifetime, known_for] = [3600, u64::MAX].map(|seconds| Arc::new(AtomicU64::new(seconds)));
        Self { calls: Arc::default(), answer, lifetime, known_for, clock }
    }

    fn answers(&self, answer: Answer) {
        *self.answer.lock().expect("lock") = answer;
    }

    fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }

    fn config(&self) -> CacheConfig {
        CacheConfig::new().with_clock(Arc::new(self.clock.clone()))
    }

    fn cache(&self) -> Cache<Self> {
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

fn issuer() -> Issuer {
    Issuer::new("https://idp.example.com").expect("issuer")
}

fn token(text: &str) -> BearerToken {
    BearerToken::new(text).expect("token")
}

async fn ask(cache: &Cache<Provider>, text: &str) -> Outcome {
    cache.clone().oneshot(token(text)).await
}

fn reason(outcome: Outcome) -> Reason {
    outcome.expect_err("refused").reason()
}

#[tokio::test(start_paused = true)]
async fn a_token_is_resolved_once_and_cached() {
    let provider = Provider::new();
    let cache = provider.cache();
    let first = ask(&cache, "alice").await.expect("valid");
    let begun = Instant::now();
    let second = ask(&cache, "alice").await.expect("valid");
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(begun.elapsed(), Duration::ZERO, "a hit waits for nothing");
    assert_eq!(provider.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_differs_in_one_letter_is_another_token() {
    let provider = Provider::new();
    let cache = provider.cache();
    ask(&cache, "alice.1").await.expect("valid");
    ask(&cache, "alice.2").await.expect("valid");
    assert_eq!(provider.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_concurrent_misses_cost_one_call() {
    let provider = Provider::new();
    let cache = provider.cache();
    let waiting: Vec<_> = (0..10_000).map(|_| tokio::spawn(cache.clone().oneshot(token("alice")))).collect();
    for waiter in waiting {
        waiter.await.expect("no panic").expect("valid");
    }
    assert_eq!(provider.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_concurrent_requests_with_an_expired_context_cost_one_call() {
    let provider = Provider::new();
    let cache = provider.cache();
    ask(&cache, "alice").await.expect("valid");
    sleep(Duration::from_mins(5)).await;
    let waiting: Vec<_> = (0..10_000).map(|_| tokio::spawn(cache.clone().oneshot(token("alice")))).collect();
    for waiter in waiting {
        waiter.await.expect("no panic").expect("valid");
    }
    assert_eq!(provider.calls(), 2);
}

/// Fails with moka's bare `try_get_with`: 250 disconnects are 200 calls and a panic.
#[tokio::test(start_paused = true)]
async fn callers_that_go_away_neither_cancel_nor_repeat_the_resolution() {
    let provider = Provider::new();
    let cache = provider.cache();
    let mut patient = Box::pin(cache.clone().oneshot(token("alice")));
    for _ in 0..250 {
        timeout(Duration::from_millis(1), cache.clone().oneshot(token("alice"))).await.expect_err("still under way");
    }
    assert!(patient.as_mut().await.is_ok());
    assert_eq!(provider.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_outcome_of_a_resolution_without_waiting_callers_is_cached() {
    let provider = Provider::new();
    let cache = provider.cache();
    timeout(Duration::from_millis(1), ask(&cache, "alice")).await.expect_err("went away");
    sleep(Duration::from_secs(2)).await;
    ask(&cache, "alice").await.expect("valid");
    assert_eq!(provider.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn different_tokens_never_wait_for_each_other() {
    let provider = Provider::new();
    let cache = provider.cache();
    let begun = Instant::now();
    let waiting: Vec<_> = (0..1000).map(|n| tokio::spawn(cache.clone().oneshot(token(&format!("user{n}"))))).collect();
    for waiter in waiting {
        waiter.await.expect("no panic").expect("valid");
    }
    assert!(begun.elapsed() < Duration::from_millis(1100), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_context_lives_no_longer_than_its_time_to_live() {
    let provider = Provider::new();
    let cache = provider.cache();
    ask(&cache, "alice").await.expect("valid");
    sleep(Duration::from_mins(5)).await;
    ask(&cache, "alice").await.expect("valid");
    assert_eq!(provider.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_context_never_outlives_its_token() {
    let provider = Provider::new();
    provider.lifetime.store(30, SeqCst);
    let cache = provider.cache();
    ask(&cache, "alice").await.expect("valid");
    sleep(Duration::from_millis(29_900)).await;
    ask(&cache, "alice").await.expect("valid");
    assert_eq!(provider.calls(), 1);
    sleep(Duration::from_millis(100)).await;
    provider.answers(Answer::Refuse(Reason::Expired));
    assert_eq!(reason(ask(&cache, "alice").await), Reason::Expired);
}

#[tokio::test(start_paused = true)]
async fn a_context_is_resolved_again_at_its_revalidation_time() {
    let provider = Provider::new();
    provider.known_for.store(30, SeqCst);
    let cache = provider.cache();
    let user = ask(&cache, "alice").await.expect("valid");
    sleep(Duration::from_millis(29_900)).await;
    ask(&cache, "alice").await.expect("valid");
    assert_eq!(provider.calls(), 1);
    sleep(Duration::from_millis(100)).await;
    ask(&cache, "alice").await.expect("valid");
    assert_eq!(provider.calls(), 2);
    assert!(!user.revocation().is_revoked(), "streams go on");
    provider.answers(Answer::Refuse(Reason::ProviderUnavailable));
    sleep(Duration::from_secs(30)).await;
    assert!(ask(&cache, "alice").await.expect_err("outage").is_transient(), "nothing stale is used");
}

#[tokio::test(start_paused = true)]
async fn an_update_has_its_own_lifetime() {
    let provider = Provider::new();
    let cache = provider.cache();
    ask(&cache, "alice").await.expect("valid");
    for round in 2..6 {
        sleep(Duration::from_secs(290)).await;
        ask(&cache, "alice").await.expect("valid");
        sleep(Duration::from_secs(2)).await;
        assert_eq!(provider.calls(), round);
        let begun = Instant::now();
        ask(&cache, "alice").await.expect("valid");
        assert_eq!(begun.elapsed(), Duration::ZERO, "round {round}: renewed, so a hit");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_accepted_by_leeway_only_is_not_cached() {
    let provider = Provider::new();
    provider.lifetime.store(0, SeqCst);
    let cache = provider.cache();
    ask(&cache, "alice").await.expect("valid");
    ask(&cache, "alice").await.expect("valid");
    assert_eq!(provider.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn one_request_revalidates_in_the_background_and_none_waits() {
    let provider = Provider::new();
    let cache = provider.cache();
    ask(&cache, "alice").await.expect("valid");
    sleep(Duration::from_secs(245)).await;
    for _ in 0..100 {
        let begun = Instant::now();
        ask(&cache, "alice").await.expect("valid");
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
    sleep(Duration::from_secs(2)).await;
    assert_eq!(provider.calls(), 2, "one revalidation");
    sleep(Duration::from_secs(60)).await;
    ask(&cache, "alice").await.expect("valid");
    assert_eq!(provider.calls(), 2, "and it started a new life");
}

#[tokio::test(start_paused = true)]
async fn a_revalidation_that_hangs_or_fails_is_repeated_after_a_pause_and_affects_no_request() {
    let provider = Provider::new();
    let cache = provider.cache();
    ask(&cache, "alice").await.expect("valid");
    provider.answers(Answer::Refuse(Reason::ProviderUnavailable));
    sleep(Duration::from_secs(241)).await;
    for _ in 0..5 {
        ask(&cache, "alice").await.expect("still good");
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(provider.calls(), 2);
    sleep(Duration::from_secs(15)).await;
    ask(&cache, "alice").await.expect("still good");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(provider.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_miss_during_a_revalidation_waits_for_it() {
    let provider = Provider::new();
    provider.lifetime.store(245, SeqCst);
    let cache = provider.cache();
    ask(&cache, "alice").await.expect("valid");
    sleep(Duration::from_millis(244_500)).await;
    ask(&cache, "alice").await.expect("valid, and to be revalidated");
    sleep(Duration::from_millis(700)).await;
    let begun = Instant::now();
    ask(&cache, "alice").await.expect("revalidated");
    assert!(begun.elapsed() > Duration::ZERO, "the old one had expired");
    assert_eq!(provider.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refused_revalidation_invalidates_every_context_of_the_token() {
    let provider = Provider::new();
    let cache = provider.cache();
    let held = ask(&cache, "alice").await.expect("valid");
    provider.answers(Answer::Refuse(Reason::Inactive));
    sleep(Duration::from_secs(245)).await;
    ask(&cache, "alice").await.expect("the last one");
    timeout(Duration::from_secs(2), held.revocation().revoked()).await.expect("told");
    assert_eq!(reason(ask(&cache, "alice").await), Reason::Inactive);
    assert_eq!(provider.calls(), 2, "the refusal is remembered");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_invalidates_contexts_that_revalidations_have_replaced() {
    let provider = Provider::new();
    let cache = provider.cache();
    let first = ask(&cache, "alice").await.expect("valid");
    sleep(Duration::from_secs(245)).await;
    ask(&cache, "alice").await.expect("the last one");
    sleep(Duration::from_secs(2)).await;
    let second = ask(&cache, "alice").await.expect("renewed");
    assert!(!Arc::ptr_eq(&first, &second));
    assert!(!first.revocation().is_revoked(), "a stream may go on with it");
    provider.answers(Answer::Refuse(Reason::Inactive));
    sleep(Duration::from_secs(245)).await;
    ask(&cache, "alice").await.expect("the last one");
    sleep(Duration::from_secs(2)).await;
    assert!(second.revocation().is_revoked());
    assert!(first.revocation().is_revoked(), "it was made from the same token");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_cached_briefly() {
    let provider = Provider::new();
    provider.answers(Answer::Refuse(Reason::Inactive));
    let cache = provider.cache();
    for _ in 0..100 {
        assert_eq!(reason(ask(&cache, "junk").await), Reason::Inactive);
    }
    assert_eq!(provider.calls(), 1);
    sleep(Duration::from_secs(10)).await;
    provider.answers(Answer::Valid);
    ask(&cache, "junk").await.expect("asked again");
}

#[tokio::test(start_paused = true)]
async fn refusals_are_not_cached_with_a_zero_ttl() {
    let provider = Provider::new();
    provider.answers(Answer::Refuse(Reason::Inactive));
    let cache = Cache::around(provider.clone(), provider.config().with_negative_ttl(Duration::ZERO));
    for _ in 0..3 {
        assert_eq!(reason(ask(&cache, "junk").await), Reason::Inactive);
    }
    assert_eq!(provider.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn invalid_tokens_cannot_evict_a_user() {
    let provider = Provider::new();
    let config = provider.config().with_capacity(10).with_negative_capacity(10);
    let cache = Cache::around(provider.clone(), config);
    ask(&cache, "alice").await.expect("valid");
    provider.answers(Answer::Refuse(Reason::Inactive));
    for n in 0..1000 {
        ask(&cache, &format!("junk{n}")).await.expect_err("junk");
        // Paused time advances while the test waits: the test must stay within the time to live.
        if provider.clock.0.elapsed() > Duration::from_secs(200) {
            break;
        }
    }
    provider.answers(Answer::Valid);
    let calls = provider.calls();
    ask(&cache, "alice").await.expect("valid");
    assert_eq!(provider.calls(), calls, "alice is still remembered");
}

#[tokio::test(start_paused = true)]
async fn the_least_recently_used_context_is_evicted_first() {
    let provider = Provider::new();
    let cache = Cache::around(provider.clone(), provider.config().with_capacity(10));
    for n in 0..10 {
        ask(&cache, &format!("user{n}")).await.expect("valid");
    }
    cache.handle().contexts().await;
    sleep(Duration::from_secs(40)).await;
    for n in 1..10 {
        ask(&cache, &format!("user{n}")).await.expect("valid");
    }
    cache.handle().contexts().await;
    ask(&cache, "new").await.expect("valid");
    assert_eq!(cache.handle().contexts().await, 10);
    let calls = provider.calls();
    for n in 1..10 {
        ask(&cache, &format!("user{n}")).await.expect("valid");
    }
    ask(&cache, "new").await.expect("valid");
    assert_eq!(provider.calls(), calls, "all but user0 are remembered");
    ask(&cache, "user0").await.expect("valid");
    assert_eq!(provider.calls(), calls + 1);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_never_cached_and_all_waiting_callers_share_it() {
    let provider = Provider::new();
    provider.answers(Answer::Refuse(Reason::ProviderUnavailable));
    let cache = provider.cache();
    let waiting: Vec<_> = (0..1000).map(|_| tokio::spawn(cache.clone().oneshot(token("alice")))).collect();
    let begun = Instant::now();
    for waiter in waiting {
        assert!(waiter.await.expect("no panic").expect_err("outage").is_transient());
    }
    assert!(begun.elapsed() < Duration::from_millis(1100), "no resolution waits for another");
    assert_eq!(provider.calls(), 1);
    provider.answers(Answer::Valid);
    ask(&cache, "alice").await.expect("over");
}

#[tokio::test(start_paused = true)]
async fn a_stale_context_bridges_an_outage_within_its_bound_only() {
    let provider = Provider::new();
    let cache = Cache::around(provider.clone(), provider.config().with_stale_if_error(Duration::from_mins(1)));
    ask(&cache, "alice").await.expect("valid");
    provider.answers(Answer::Refuse(Reason::ProviderTimeout));
    sleep(Duration::from_mins(5)).await;
    for _ in 0..3 {
        ask(&cache, "alice").await.expect("stale, but better than nothing");
        sleep(Duration::from_secs(5)).await;
    }
    sleep(Duration::from_mins(1)).await;
    assert_eq!(reason(ask(&cache, "alice").await), Reason::ProviderTimeout);
}

#[tokio::test(start_paused = true)]
async fn a_stale_context_is_never_used_past_the_tokens_expiry_nor_after_a_refusal() {
    let provider = Provider::new();
    provider.lifetime.store(310, SeqCst);
    let cache = Cache::around(provider.clone(), provider.config().with_stale_if_error(Duration::from_hours(1)));
    ask(&cache, "alice").await.expect("valid");
    ask(&cache, "bob").await.expect("valid");
    provider.answers(Answer::Refuse(Reason::ProviderUnavailable));
    sleep(Duration::from_secs(302)).await;
    ask(&cache, "alice").await.expect("stale");
    provider.answers(Answer::Refuse(Reason::Inactive));
    assert_eq!(reason(ask(&cache, "bob").await), Reason::Inactive);
    provider.answers(Answer::Refuse(Reason::ProviderUnavailable));
    sleep(Duration::from_secs(10)).await;
    assert!(ask(&cache, "alice").await.expect_err("expired").is_transient());
}

#[tokio::test(start_paused = true)]
async fn without_stale_if_error_no_stale_context_is_used() {
    let provider = Provider::new();
    let cache = provider.cache();
    ask(&cache, "alice").await.expect("valid");
    provider.answers(Answer::Refuse(Reason::ProviderUnavailable));
    sleep(Duration::from_mins(5)).await;
    assert!(ask(&cache, "alice").await.expect_err("outage").is_transient());
}

#[tokio::test(start_paused = true)]
async fn a_verifier_that_panics_fails_waiting_callers_and_leaves_nothing_locked() {
    let provider = Provider::new();
    provider.answers(Answer::Panic);
    let cache = provider.cache();
    let waiting: Vec<_> = (0..100).map(|_| tokio::spawn(cache.clone().oneshot(token("alice")))).collect();
    for waiter in waiting {
        assert_eq!(reason(waiter.await.expect("the caller does not panic")), Reason::VerifierFailed);
    }
    assert_eq!(provider.calls(), 1);
    provider.answers(Answer::Valid);
    ask(&cache, "alice").await.expect("recovered");
}

#[tokio::test(start_paused = true)]
async fn a_hanging_verifier_delays_its_own_token_only() {
    let provider = Provider::new();
    let cache = provider.cache();
    provider.answers(Answer::Hang);
    timeout(Duration::from_secs(5), ask(&cache, "alice")).await.expect_err("hangs");
    provider.answers(Answer::Valid);
    timeout(Duration::from_secs(5), ask(&cache, "bob")).await.expect("in time").expect("valid");
}

#[tokio::test(start_paused = true)]
async fn a_token_is_invalidated() {
    let provider = Provider::new();
    let cache = provider.cache();
    let held = ask(&cache, "alice.1").await.expect("valid");
    let other = ask(&cache, "alice.2").await.expect("valid");
    cache.handle().invalidate_token(&token("alice.1")).await;
    assert!(held.revocation().is_revoked());
    assert!(!other.revocation().is_revoked());
    ask(&cache, "alice.1").await.expect("asked again");
    assert_eq!(provider.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_context_is_not_a_hit() {
    let provider = Provider::new();
    let cache = provider.cache();
    let held = ask(&cache, "alice").await.expect("valid");
    held.revocation().revoke();
    let again = ask(&cache, "alice").await.expect("asked again");
    assert!(!again.revocation().is_revoked());
    assert_eq!(provider.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_user_an_issuer_or_everything_is_invalidated() {
    let provider = Provider::new();
    let cache = provider.cache();
    let handle = cache.handle();
    let mut held = Vec::new();
    for text in ["alice.1", "alice.2", "bob.1"] {
        held.push(ask(&cache, text).await.expect("valid"));
    }
    let revoked = |held: &[Arc<UserContext>]| held.iter().map(|c| c.revocation().is_revoked()).collect::<Vec<_>>();

    handle.invalidate_user(&Issuer::new("https://other.example.com").expect("issuer"), "alice").await;
    handle.invalidate_issuer(&Issuer::new("https://other.example.com").expect("issuer")).await;
    assert_eq!(revoked(&held), [false, false, false]);
    handle.invalidate_user(&issuer(), "alice").await;
    assert_eq!(revoked(&held), [true, true, false]);
    handle.invalidate_issuer(&issuer()).await;
    assert_eq!(revoked(&held), [true, true, true]);
    assert_eq!(handle.contexts().await, 0);

    let again = ask(&cache, "bob.1").await.expect("valid");
    handle.invalidate_all().await;
    assert!(again.revocation().is_revoked());
}

#[tokio::test(start_paused = true)]
async fn an_evicted_context_that_a_stream_still_uses_is_invalidated() {
    let provider = Provider::new();
    let cache = Cache::around(provider.clone(), provider.config().with_capacity(1));
    let held = ask(&cache, "alice").await.expect("valid");
    for n in 0..5 {
        ask(&cache, &format!("user{n}")).await.expect("valid");
        cache.handle().contexts().await;
    }
    cache.handle().invalidate_user(&issuer(), "alice").await;
    assert!(held.revocation().is_revoked());
}

#[tokio::test(start_paused = true)]
async fn a_context_that_is_invalidated_during_its_resolution_is_resolved_again() {
    let provider = Provider::new();
    let cache = provider.cache();
    let asking = tokio::spawn(cache.clone().oneshot(token("alice")));
    sleep(Duration::from_millis(500)).await;
    cache.handle().invalidate_user(&issuer(), "alice").await;
    provider.answers(Answer::Refuse(Reason::Inactive));
    assert_eq!(reason(asking.await.expect("no panic")), Reason::Inactive);
}

#[tokio::test(start_paused = true)]
async fn a_context_that_is_invalidated_between_resolution_and_use_is_not_returned() {
    let provider = Provider::new();
    let cache = provider.cache();
    let mut asking = Box::pin(ask(&cache, "alice"));
    timeout(Duration::from_millis(1), &mut asking).await.expect_err("under way");
    sleep(Duration::from_secs(2)).await;
    cache.handle().invalidate_all().await;
    assert_eq!(reason(asking.await), Reason::Revoked);
}

#[tokio::test(start_paused = true)]
async fn a_context_that_is_invalidated_repeatedly_is_refused_in_the_end() {
    let provider = Provider::new();
    let cache = provider.cache();
    let asking = tokio::spawn(cache.clone().oneshot(token("alice")));
    for _ in 0..3 {
        sleep(Duration::from_millis(900)).await;
        cache.handle().invalidate_all().await;
    }
    assert_eq!(reason(asking.await.expect("no panic")), Reason::Revoked);
    assert_eq!(provider.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn two_caches_of_one_layer_share_nothing() {
    use tower::Layer as _;
    let (one, other) = (Provider::new(), Provider::new());
    let layer = super::CacheLayer::new(one.config());
    ask(&layer.layer(one.clone()), "alice").await.expect("valid");
    other.answers(Answer::Refuse(Reason::WrongAudience));
    assert_eq!(reason(ask(&layer.layer(other), "alice").await), Reason::WrongAudience);
}

#[tokio::test(start_paused = true)]
async fn contexts_made_together_do_not_expire_together() {
    let provider = Provider::new();
    let cache = provider.cache();
    for n in 0..100 {
        tokio::spawn(cache.clone().oneshot(token(&format!("user{n}"))));
    }
    sleep(Duration::from_secs(2)).await;
    let mut waited = 0;
    sleep(Duration::from_secs(283)).await;
    for n in 0..100 {
        let hit = timeout(Duration::ZERO, ask(&cache, &format!("user{n}"))).await.is_ok();
        waited += usize::from(!hit);
    }
    assert!((10..90).contains(&waited), "{waited} of 100 had expired");
}

#[tokio::test(start_paused = true)]
async fn unlimited_durations_are_accepted() {
    let provider = Provider::new();
    provider.lifetime.store(u64::MAX, SeqCst);
    let config = provider.config().with_ttl(Duration::MAX).with_negative_ttl(Duration::MAX);
    let cache = Cache::around(provider.clone(), config.with_stale_if_error(Duration::MAX));
    ask(&cache, "alice").await.expect("valid");
    provider.answers(Answer::Refuse(Reason::Inactive));
    ask(&cache, "junk").await.expect_err("refused");
    sleep(Duration::from_hours(24)).await;
    ask(&cache, "alice").await.expect("still remembered");
    ask(&cache, "junk").await.expect_err("still remembered");
    assert_eq!(provider.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn look_ups_and_resolutions_are_counted_by_their_outcome() {
    let recorder = DebuggingRecorder::new();
    let provider = Provider::new();
    let config = provider.config().with_stale_if_error(Duration::from_mins(1));
    let cache = metrics::with_local_recorder(&recorder, || Cache::around(provider.clone(), config));
    ask(&cache, "alice").await.expect("a miss");
    ask(&cache, "alice").await.expect("a hit");
    sleep(Duration::from_secs(245)).await;
    ask(&cache, "alice").await.expect("stale");
    sleep(Duration::from_secs(2)).await;
    provider.answers(Answer::Refuse(Reason::Inactive));
    ask(&cache, "junk").await.expect_err("a miss");
    ask(&cache, "junk").await.expect_err("rejected");
    ask(&cache, "junk").await.expect_err("rejected");
    provider.answers(Answer::Refuse(Reason::ProviderUnavailable));
    sleep(Duration::from_mins(5)).await;
    ask(&cache, "alice").await.expect("a miss, bridged by what is stale");
    cache.handle().invalidate_all().await;

    let mut counted: Vec<_> = recorder
        .snapshotter()
        .snapshot()
        .into_vec()
        .into_iter()
        .filter_map(|(key, _, _, value)| match value {
            DebugValue::Counter(count) => {
                let label = key.key().labels().next().map_or("", |label| label.value()).to_owned();
                Some((key.key().name().trim_start_matches("portcullis_").to_owned(), label, count))
            }
            DebugValue::Histogram(seconds) => Some((key.key().name().to_owned(), String::new(), seconds.len() as u64)),
            DebugValue::Gauge(_) => None,
        })
        .collect();
    counted.sort();
    let expected = [
        ("cache_invalidated_total", "", 1),
        ("cache_lookups_total", "hit", 1),
        ("cache_lookups_total", "miss", 3),
        ("cache_lookups_total", "rejected", 2),
        ("cache_lookups_total", "stale", 1),
        ("cache_stale_if_error_total", "", 1),
        ("portcullis_resolution_seconds", "", 4),
        ("resolutions_total", "invalid", 1),
        ("resolutions_total", "unavailable", 1),
        ("resolutions_total", "valid", 2),
    ];
    assert_eq!(counted, expected.map(|(name, label, count)| (name.to_owned(), label.to_owned(), count)));
}

#[test]
fn a_runtime_that_stops_leaves_no_caller_waiting_and_the_next_one_starts_anew() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("runtime");
    let (stopped, next) = (runtime(), runtime());
    let handle = stopped.handle().clone();
    drop(stopped);
    let provider = Provider::new();
    let cache = provider.cache();
    let asking = {
        let _guard = handle.enter();
        cache.clone().call(token("alice"))
    };
    assert_eq!(reason(next.block_on(asking)), Reason::VerifierFailed);
    next.block_on(ask(&cache, "alice")).expect("asked again");
}
