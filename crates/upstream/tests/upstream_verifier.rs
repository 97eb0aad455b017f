//! This server's token, then the provider's: what is verified, how often, and with which result.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use portcullis_core::{
    AccessToken, AuthError, AuthErrorKind, BearerToken, Clock as _, Generation, GrantId, Issuer, Reason, Revocation,
    ScopeSet, SystemClock, UnixTime, Upstream, UpstreamFuture, UpstreamSource, UserContext,
};
use portcullis_oauth::{TokenResponse, providers::Rotation};
use portcullis_refresh::{GrantStore, RefreshError, Refresher, RefresherConfig, TokenSet};
use portcullis_store::{KeyRing, MemoryStore};
use portcullis_upstream::{UpstreamLayer, UpstreamVerifier};
use serde_json::{Map, Value, json};
use tower::{Layer as _, ServiceExt as _, service_fn};

const PROVIDER: &str = "https://provider.example";

/// A grant whose tokens are called `token-0`, `token-1` and so on, one for each refresh.
#[derive(Clone, Debug, Default)]
struct Grant {
    generation: Arc<AtomicU64>,
    end: Arc<Revocation>,
    failure: Option<Reason>,
}

impl UpstreamSource for Grant {
    fn access_token(&self, refused: Option<Generation>) -> UpstreamFuture {
        if let Some(reason) = self.failure {
            return UpstreamFuture::ready(Err(reason.into()));
        }
        if refused == Some(Generation::new(self.generation.load(Relaxed))) {
            self.generation.fetch_add(1, Relaxed);
        }
        let number = self.generation.load(Relaxed);
        let token = BearerToken::new(&format!("token-{number}")).expect("token");
        let expires_at = UnixTime::from_secs(100 + number);
        UpstreamFuture::ready(Ok(AccessToken::new(token, Generation::new(number), Some(expires_at))))
    }

    fn revocation(&self) -> Option<Arc<Revocation>> {
        Some(Arc::clone(&self.end))
    }
}

fn issuer(name: &str) -> Issuer {
    Issuer::new(name).expect("issuer")
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

/// Returns Alice as this server's token describes her.
fn alice(upstream: Upstream) -> UserContext {
    UserContext::builder(issuer(PROVIDER), "alice")
        .with_scopes(ScopeSet::parse("mcp:read").expect("scopes"))
        .with_expires_at(UnixTime::from_secs(1_000))
        .with_claims(object(&json!({"from": "our token"})))
        .with_upstream(upstream)
        .build()
}

/// Returns a user as the provider describes them.
fn known(issuer_name: &str, subject: &str) -> UserContext {
    UserContext::builder(issuer(issuer_name), subject).with_profile(object(&json!({"name": "Alice"}))).build()
}

struct Outcome {
    user: Result<Arc<UserContext>, AuthError>,
    /// The tokens that the provider was asked about.
    asked: Vec<String>,
}

impl Outcome {
    #[track_caller]
    fn reason(&self) -> Reason {
        self.user.as_ref().expect_err("refused").reason()
    }
}

/// Resolves a token of this server for `user`; `answer` verifies the provider's tokens.
async fn resolve(
    user: Result<UserContext, AuthError>,
    answer: impl Fn(&str) -> Result<UserContext, AuthError> + Send + Sync + Clone + 'static,
) -> Outcome {
    let user = user.map(Arc::new);
    let own = service_fn(move |token: BearerToken| {
        assert_eq!(token.expose_secret(), "ours");
        std::future::ready(user.clone())
    });
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let provider = service_fn(move |token: BearerToken| {
        log.lock().expect("lock").push(token.expose_secret().to_owned());
        std::future::ready(answer(token.expose_secret()).map(Arc::new))
    });
    let verifier = UpstreamVerifier::new(own, provider);
    let user = verifier.oneshot(BearerToken::new("ours").expect("token")).await;
    let asked = asked.lock().expect("lock").clone();
    Outcome { user, asked }
}

#[tokio::test]
async fn the_user_is_who_our_token_says_with_the_profile_that_the_provider_knows() {
    let grant = Grant::default();
    let outcome = resolve(Ok(alice(Upstream::new(grant.clone()))), |_| Ok(known(PROVIDER, "alice"))).await;
    let user = outcome.user.expect("a user");
    assert_eq!(outcome.asked, ["token-0"]);
    assert_eq!((user.subject(), user.name()), ("alice", Some("Alice")));
    assert!(user.scopes().contains("mcp:read") && user.claims().contains_key("from"));
    assert!(user.upstream().is_present());
    assert_eq!(user.expires_at(), Some(UnixTime::from_secs(1_000)), "our token lives on");
    assert_eq!(user.revalidate_at(), Some(UnixTime::from_secs(100)), "the provider's does not");

    assert!(!user.revocation().is_revoked());
    grant.end.revoke();
    assert!(user.revocation().is_revoked());
}

#[tokio::test]
async fn the_profile_of_the_login_is_kept_where_the_provider_has_no_profiles() {
    let verify = |grant: Grant| {
        let user = alice(Upstream::new(grant)).with_profile(object(&json!({"name": "Alice at the login"})));
        let own = service_fn(move |_: BearerToken| {
            std::future::ready(Ok::<_, AuthError>(Arc::new(user.with_profile(user.profile().clone()))))
        });
        // A call of it would be an error of its own.
        let provider = service_fn(|_: BearerToken| async {
            Err::<Arc<UserContext>, AuthError>(AuthError::new(Reason::WrongAudience))
        });
        let layer = UpstreamLayer::new(provider).with_profiles_of_login();
        layer.layer(own).oneshot(BearerToken::new("ours").expect("token"))
    };
    let user = verify(Grant::default()).await.expect("a user");
    assert_eq!((user.name(), user.claims()["from"].as_str()), (Some("Alice at the login"), Some("our token")));
    assert_eq!(user.revalidate_at(), Some(UnixTime::from_secs(100)), "with the provider's token");
    for reason in [Reason::GrantEnded, Reason::ProviderUnavailable, Reason::NoUpstream] {
        let grant = Grant { failure: Some(reason), ..Grant::default() };
        assert_eq!(verify(grant).await.expect_err("no token").reason(), reason);
    }
}

#[tokio::test]
async fn roles_of_the_providers_token_are_the_users_and_its_scopes_are_not() {
    let answer = |_: &str| {
        let claims = object(&json!({
            "realm_access": {"roles": ["admin"]}, "scope": "root", "aud": "elsewhere", "acr": "gold", "from": "them",
            "permissions": ["all"], "authorization_details": [{"type": "payment"}], "email": "alice@example.test",
        }));
        Ok(UserContext::builder(issuer(PROVIDER), "alice").with_claims(claims).build())
    };
    let user = resolve(Ok(alice(Upstream::new(Grant::default()))), answer).await.user.expect("a user");
    assert_eq!(user.claims()["realm_access"]["roles"][0], "admin");
    assert_eq!((user.claims()["from"].as_str(), user.email()), (Some("our token"), Some("alice@example.test")));
    for name in ["scope", "aud", "acr", "permissions", "authorization_details"] {
        assert!(!user.claims().contains_key(name) && !user.profile().contains_key(name), "{name}");
    }
    assert!(!user.scopes().contains("root"));
}

#[tokio::test]
async fn what_the_provider_knows_may_end_before_its_token() {
    let answer = |_: &str| {
        let claims = object(&json!({"email": "alice@example.test"}));
        let user = UserContext::builder(issuer(PROVIDER), "alice").with_claims(claims);
        Ok(user.with_expires_at(UnixTime::from_secs(50)).build())
    };
    let user = resolve(Ok(alice(Upstream::new(Grant::default()))), answer).await.user.expect("a user");
    assert_eq!(user.revalidate_at(), Some(UnixTime::from_secs(50)));
    assert_eq!(user.email(), Some("alice@example.test"), "claims, if there is no profile");
}

#[tokio::test]
async fn a_refused_token_is_reported_and_the_next_one_asked_about() {
    let answer =
        |token: &str| if token == "token-0" { Err(Reason::Inactive.into()) } else { Ok(known(PROVIDER, "alice")) };
    let outcome = resolve(Ok(alice(Upstream::new(Grant::default()))), answer).await;
    assert_eq!(outcome.asked, ["token-0", "token-1"]);
    assert_eq!(outcome.user.expect("a user").revalidate_at(), Some(UnixTime::from_secs(101)), "that of the new token");
}

#[tokio::test]
async fn a_fresh_token_that_is_refused_is_nothing_a_login_would_help_against() {
    let outcome = resolve(Ok(alice(Upstream::new(Grant::default()))), |_| Err(Reason::Inactive.into())).await;
    assert_eq!(outcome.asked, ["token-0", "token-1"], "once more and no further");
    assert_eq!(outcome.reason(), Reason::FreshTokenRefused);
    assert_eq!(Reason::FreshTokenRefused.kind(), AuthErrorKind::Unavailable);
}

#[tokio::test]
async fn an_outage_of_the_provider_is_not_the_tokens_fault() {
    let grant = Grant::default();
    let answer = |_: &str| Err(Reason::ProviderUnavailable.into());
    let outcome = resolve(Ok(alice(Upstream::new(grant.clone()))), answer).await;
    assert_eq!((outcome.reason(), outcome.asked.len()), (Reason::ProviderUnavailable, 1));
    assert_eq!(grant.generation.load(Relaxed), 0, "no refresh");
}

#[tokio::test]
async fn an_outage_after_the_refresh_is_passed_on_as_well() {
    let answer = |token: &str| Err(if token == "token-0" { Reason::Expired } else { Reason::ProviderTimeout }.into());
    let outcome = resolve(Ok(alice(Upstream::new(Grant::default()))), answer).await;
    assert_eq!(outcome.reason(), Reason::ProviderTimeout);
}

#[tokio::test]
async fn a_grant_that_has_ended_is_passed_on_and_the_provider_is_not_asked() {
    for reason in [Reason::GrantEnded, Reason::StoreUnavailable] {
        let grant = Grant { failure: Some(reason), ..Grant::default() };
        let outcome = resolve(Ok(alice(Upstream::new(grant))), |_| Ok(known(PROVIDER, "alice"))).await;
        assert_eq!((outcome.reason(), outcome.asked.len()), (reason, 0));
    }
}

#[tokio::test]
async fn a_token_of_ours_that_is_refused_costs_no_call() {
    let outcome = resolve(Err(Reason::Expired.into()), |_| Ok(known(PROVIDER, "alice"))).await;
    assert_eq!((outcome.reason(), outcome.asked.len()), (Reason::Expired, 0));
}

#[tokio::test]
async fn a_user_without_a_grant_is_refused_and_that_is_our_mistake() {
    let outcome = resolve(Ok(alice(Upstream::default())), |_| Ok(known(PROVIDER, "alice"))).await;
    assert_eq!((outcome.reason(), outcome.asked.len()), (Reason::NoUpstream, 0));
    assert_eq!(Reason::NoUpstream.kind(), AuthErrorKind::Unavailable);
}

#[tokio::test]
async fn a_user_without_a_grant_passes_only_where_there_are_such_and_never_if_a_grant_has_ended() {
    for (upstream, expected) in [
        (Upstream::default(), Ok("our token")),
        (Upstream::new(Grant { failure: Some(Reason::GrantEnded), ..Grant::default() }), Err(Reason::GrantEnded)),
        (
            Upstream::new(Grant { failure: Some(Reason::StoreUnavailable), ..Grant::default() }),
            Err(Reason::StoreUnavailable),
        ),
    ] {
        let own =
            service_fn(move |_: BearerToken| std::future::ready(Ok::<_, AuthError>(Arc::new(alice(upstream.clone())))));
        let provider = service_fn(|_: BearerToken| std::future::ready(Ok(Arc::new(known(PROVIDER, "alice")))));
        let verifier = UpstreamLayer::new(provider).with_users_without_grant().layer(own);
        let outcome = verifier.oneshot(BearerToken::new("ours").expect("token")).await;
        let told = outcome.as_ref().map(|user| user.claims()["from"].as_str().unwrap_or_default());
        assert_eq!(told.map_err(AuthError::reason), expected);
    }
}

#[tokio::test]
async fn a_grant_of_another_user_is_noticed_where_both_name_the_same_issuer() {
    let upstream = || Upstream::new(Grant::default());
    let outcome = resolve(Ok(alice(upstream())), |_| Ok(known(PROVIDER, "mallory"))).await;
    assert_eq!(outcome.reason(), Reason::SubjectMismatch);

    let ours = UserContext::builder(issuer("https://here.example"), "user-17").with_upstream(upstream()).build();
    let user = resolve(Ok(ours), |_| Ok(known(PROVIDER, "alice"))).await.user.expect("a user");
    assert_eq!((user.issuer().as_str(), user.subject()), ("https://here.example", "user-17"));
    assert_eq!(user.name(), Some("Alice"));
}

#[tokio::test]
async fn a_wrong_audience_in_the_configuration_ends_no_grant_and_spends_no_refresh_token() {
    let requests = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&requests);
    let token_refresh = service_fn(move |_: Arc<TokenSet>| {
        counted.fetch_add(1, Relaxed);
        std::future::ready(Err(RefreshError::refused("no refresh is expected")))
    });
    let grants = GrantStore::new(Arc::new(MemoryStore::new()), KeyRing::ephemeral()).expect("not durable");
    let config = RefresherConfig::new(issuer(PROVIDER), "test", Rotation::SingleUse);
    let refresher = Refresher::new(grants.clone(), token_refresh, config);
    for (number, refresh_token) in [(1, None), (2, Some("refresh-0".into()))] {
        let id = GrantId::from_bytes([number; 16]);
        let mut response = TokenResponse::new(BearerToken::new("token-0").expect("token"));
        response.refresh_token = refresh_token;
        response.expires_in = Some(Duration::from_secs(300));
        let tokens = TokenSet::from_login(response, &ScopeSet::default(), SystemClock::new().now());
        refresher.create(id, tokens).await.expect("created");

        let user = alice(refresher.upstream(id));
        let outcome = resolve(Ok(user), |_| Err(Reason::WrongAudience.into())).await;
        assert_eq!(outcome.asked, ["token-0"]);
        let error = outcome.user.expect_err("refused");
        assert_eq!((error.kind(), error.reason()), (AuthErrorKind::Unavailable, Reason::VerifierFailed));
        let stored = grants.load(id).await.expect("readable").expect("stored");
        assert_eq!(stored.record.tokens().generation().number(), 0);
    }
    assert_eq!(requests.load(Relaxed), 0);
}
