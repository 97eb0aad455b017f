//! [`Sweep`]: removes expired rows, and replaces signing keys, periodically.

use std::{sync::Arc, time::Duration};

use portcullis_core::UnixTime;
use portcullis_store::{Collection, ConfirmedClock, SealedStore, StoreError};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{access_tokens::AccessTokens, collections, session::Sessions, telemetry::Telemetry};

/// The task that removes expired rows, and replaces signing keys.
pub(crate) struct Sweep {
    pub(crate) records: SealedStore,
    pub(crate) sessions: Sessions,
    pub(crate) access_tokens: Arc<AccessTokens>,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) clock: ConfirmedClock,
}

/// The interval. The first sweep runs as soon as the clock is confirmed, for rows that expired while the process was down.
const SWEEP_EVERY: Duration = Duration::from_mins(1);

impl Sweep {
    /// Starts the task, which ends when `draining` is cancelled.
    pub(crate) fn start(self, draining: CancellationToken) {
        tokio::spawn(async move {
            let sweeping = async {
                loop {
                    let interval = SWEEP_EVERY.mul_f64(rand::random_range(0.9..1.1));
                    let confirmed = self.clock.now();
                    self.maintain_keys(confirmed.ok()).await;
                    let pause = match confirmed {
                        Ok(confirmed) => {
                            self.run(confirmed).await;
                            interval
                        }
                        // Read again soon: the clock may have been set back meanwhile.
                        Err(left) => left.min(interval),
                    };
                    self.count().await;
                    sleep(pause).await;
                }
            };
            tokio::select! {
                () = sweeping => {}
                () = draining.cancelled() => {}
            }
        });
    }

    /// Reads the signing keys again, and at a `confirmed` time replaces those that are due.
    async fn maintain_keys(&self, confirmed: Option<UnixTime>) {
        if let Err(error) = self.access_tokens.maintain_keys(confirmed).await {
            tracing::warn!(%error, "signing keys could not be read or replaced");
        }
    }

    /// Removes the rows of each collection that have expired at the `confirmed` time. A failure of one does not affect the others.
    async fn run(&self, confirmed: UnixTime) {
        for table in collections::ALL.into_iter().filter(|table| *table != collections::SESSIONS) {
            log(table, self.records.sweep(table, confirmed).await);
        }
        // Last: the end of a session includes its grant, and waits for the provider.
        log(collections::SESSIONS, self.sessions.sweep(confirmed).await);
    }

    /// Records how many rows there are.
    async fn count(&self) {
        for table in collections::ALL {
            if let Ok(rows) = self.records.count(table).await {
                self.telemetry.rows(table, rows);
            }
        }
    }
}

/// Logs how many rows of `table` were removed.
fn log(table: Collection, swept: Result<u64, StoreError>) {
    match swept {
        Ok(swept) => tracing::debug!(table = table.as_str(), swept, "expired rows removed"),
        Err(error) => tracing::warn!(table = table.as_str(), %error, "expired rows could not be removed"),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
        },
        time::Duration,
    };

    use bytes::Bytes;
    use http::Uri;
    use portcullis_core::{BearerToken, Clock as _, GrantId, Issuer, ResourceUri, ScopeSet};
    use portcullis_egress::Egress;
    use portcullis_oauth::{ClientAuthentication, TokenResponse, providers::Provider};
    use portcullis_refresh::{GrantStore, TokenSet};
    use portcullis_store::{
        Expected, KeyRing, MemoryStore, Row, SealedStore, Store as _, StoreFuture, Swap,
        conformance::{Call, FaultyStore},
    };
    use portcullis_testkit::{Endpoint, IdentityProvider, TestClock};
    use portcullis_upstream::ProviderClient;
    use tokio::time::sleep;

    use crate::{
        Bridge, BridgeConfig, collections,
        session::{CodeBinding, Secret, Session, SessionUser, Stage, TokenFamily},
    };

    /// What a store does when a test says so, and what it was asked for.
    #[derive(Debug, Default)]
    struct Faults {
        fails: AtomicBool,
        sweeps: AtomicUsize,
    }

    impl Faults {
        fn check(&self, call: Call) -> StoreFuture<'static, ()> {
            if call == Call::Sweep(collections::LOGINS) {
                self.sweeps.fetch_add(1, Relaxed);
            }
            let fails = matches!(call, Call::Expired(_) | Call::Sweep(_)) && self.fails.load(Relaxed);
            if fails { FaultyStore::fail("a test") } else { FaultyStore::pass() }
        }

        fn sweeps(&self) -> usize {
            self.sweeps.swap(0, Relaxed)
        }
    }

    struct Fixture {
        bridge: Bridge,
        faults: Arc<Faults>,
        rows: MemoryStore,
        grants: MemoryStore,
        provider: IdentityProvider,
        clock: Arc<TestClock>,
    }

    fn fixture() -> Fixture {
        let clock = Arc::new(TestClock::new());
        let rows = MemoryStore::new().with_clock(clock.clone());
        let faults = Arc::new(Faults::default());
        let checked = Arc::clone(&faults);
        let store = FaultyStore::new(rows.clone(), move |call| checked.check(call));
        let provider = IdentityProvider::new().with_clock(clock.clone());
        let egress = Egress::from_service(provider.clone());
        let issuer = Issuer::new(&provider.issuer()).expect("issuer");
        let at = |endpoint| provider.endpoint_url(endpoint).parse::<Uri>().expect("a URL");
        let client = ProviderClient::new(
            Provider::oidc_at(issuer, at(Endpoint::Token), at(Endpoint::Token))
                .with_revocation_endpoint(at(Endpoint::Revocation)),
            ClientAuthentication::basic(IdentityProvider::CLIENT_ID, IdentityProvider::CLIENT_SECRET.into()),
            egress.clone(),
        )
        .with_clock(clock.clone());
        let keys = KeyRing::ephemeral();
        let grants = MemoryStore::new().with_clock(clock.clone());
        let vault = GrantStore::new(Arc::new(grants.clone()), keys.clone()).expect("not durable");
        let records = SealedStore::new(Arc::new(store), keys).expect("not durable");
        let config = BridgeConfig::new(
            Issuer::new("https://mcp.example.com").expect("issuer"),
            ResourceUri::new("https://mcp.example.com/mcp").expect("resource"),
        );
        let bridge = Bridge::builder(config, client, egress).with_clock(clock.clone()).build(vault, records);
        Fixture { bridge, faults, rows, grants, provider, clock }
    }

    impl Fixture {
        /// Completes a login whose code was not redeemed.
        async fn log_in(&self) -> GrantId {
            let (family, now) = (TokenFamily::random(), self.clock.now());
            let id = family.session();
            let code = CodeBinding {
                code: Secret::random().hash(),
                challenge: "challenge".into(),
                redirect_uri: "https://client.example/callback".into(),
                expires_at: now + Duration::from_mins(1),
            };
            let session = Session {
                family,
                client_id: "client".into(),
                resource: ResourceUri::new("https://mcp.example.com/mcp").expect("resource"),
                scopes: ScopeSet::default(),
                user: SessionUser {
                    issuer: Issuer::new(&self.provider.issuer()).expect("issuer"),
                    subject: "alice".into(),
                    profile: serde_json::Map::new(),
                    claims: serde_json::Map::new(),
                },
                has_upstream: true,
                is_refreshable: true,
                began_at: now,
                ends_at: now + Duration::from_hours(1),
                stage: Stage::Code(code),
            };
            let grant = self.provider.issue_grant("alice", "");
            let mut response = TokenResponse::new(BearerToken::issued(&grant.access_token).expect("a token"));
            response.refresh_token = Some(grant.refresh_token.into());
            let tokens = TokenSet::from_login(response, &ScopeSet::default(), now);
            assert!(self.bridge.state().sessions.begin(id, &session, Some(tokens)).await.expect("the store"));
            id
        }

        async fn has_grant(&self, id: GrantId) -> bool {
            self.grants.load(GrantStore::key(id)).await.expect("the store").is_some()
        }

        async fn sessions(&self) -> u64 {
            self.rows.count(collections::SESSIONS).await.expect("the store")
        }
    }

    /// Longer than from one sweep to the next.
    const A_SWEEP: Duration = Duration::from_secs(70);

    #[tokio::test(start_paused = true)]
    async fn a_bridge_sweeps_once_its_clock_is_confirmed_and_then_on_schedule_until_it_is_shut_down() {
        let fixture = fixture();
        sleep(Duration::from_millis(1)).await;
        assert_eq!(fixture.faults.sweeps(), 0, "the clock is not confirmed");
        sleep(A_SWEEP).await;
        assert_eq!(fixture.faults.sweeps(), 1, "rows that expired while the process was down");
        sleep(A_SWEEP).await;
        assert_eq!(fixture.faults.sweeps(), 1);
        sleep(Duration::from_mins(100)).await;
        let sweeps = fixture.faults.sweeps();
        assert!((90..=112).contains(&sweeps), "{sweeps}");

        fixture.bridge.shutdown().await;
        sleep(Duration::from_mins(10)).await;
        assert_eq!(fixture.faults.sweeps(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_bridge_that_is_dropped_sweeps_no_more() {
        let Fixture { bridge, faults, .. } = fixture();
        sleep(Duration::from_millis(1)).await;
        drop(bridge);
        faults.sweeps();
        sleep(Duration::from_mins(10)).await;
        assert_eq!(faults.sweeps(), 0);
        assert_eq!(Arc::strong_count(&faults), 1, "and nothing of it is left");
    }

    #[tokio::test(start_paused = true)]
    async fn sweeping_goes_on_when_the_store_is_back() {
        let fixture = fixture();
        let id = fixture.log_in().await;
        fixture.faults.fails.store(true, Relaxed);
        sleep(Duration::from_mins(10)).await;
        assert!(fixture.faults.sweeps() >= 9, "each table is tried each time");
        assert!(fixture.has_grant(id).await);

        fixture.faults.fails.store(false, Relaxed);
        sleep(A_SWEEP).await;
        assert!(!fixture.has_grant(id).await);
    }

    #[tokio::test(start_paused = true)]
    async fn the_grant_of_an_unredeemed_code_ends_and_is_revoked_at_the_provider() {
        let fixture = fixture();
        let id = fixture.log_in().await;
        sleep(Duration::from_secs(50)).await;
        assert!(fixture.has_grant(id).await, "the code is still good");
        sleep(Duration::from_secs(10) + A_SWEEP).await;
        assert!(!fixture.has_grant(id).await);
        assert_eq!(fixture.sessions().await, 0);
        assert_eq!(fixture.provider.calls(Endpoint::Revocation), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_grant_that_cannot_be_ended_does_not_delay_those_behind_it() {
        let fixture = fixture();
        for _ in 0..3 {
            // The first row cannot be decrypted.
            let id = fixture.log_in().await;
            let kept = fixture.grants.load(GrantStore::key(id)).await.expect("the store").expect("a grant");
            let damaged = Row::new(Bytes::from_static(b"damaged"), kept.row.expires_at);
            let expected = Expected::Unexpired(kept.version);
            let swap = fixture.grants.compare_and_swap(GrantStore::key(id), expected, damaged, None).await;
            assert!(matches!(swap, Ok(Swap::Written(_))));
        }
        sleep(Duration::from_secs(1)).await;
        let behind = fixture.log_in().await;
        sleep(Duration::from_mins(2) + A_SWEEP).await;
        assert!(!fixture.has_grant(behind).await);
        assert_eq!(fixture.sessions().await, 3, "it is tried again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_jumps_a_year_ahead_and_back_ends_no_session() {
        const YEAR: Duration = Duration::from_hours(365 * 24);
        let fixture = fixture();
        sleep(Duration::from_mins(5)).await;
        let id = fixture.log_in().await;
        fixture.clock.advance(YEAR);
        sleep(Duration::from_mins(9)).await;
        fixture.clock.step_back(YEAR + Duration::from_mins(9));
        sleep(Duration::from_secs(1)).await;
        assert!(fixture.has_grant(id).await);
        assert_eq!(fixture.sessions().await, 1);
        assert_eq!(fixture.provider.calls(Endpoint::Revocation), 0);

        sleep(Duration::from_mins(1) + Duration::from_mins(10) + A_SWEEP).await;
        assert_eq!(fixture.sessions().await, 0, "the code has expired by the right clock");
    }
}
