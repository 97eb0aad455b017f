//! G16 and G19: metrics, logs and debug output, without secrets.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use portcullis_core::AccessToken;
use portcullis_refresh::RefreshRequest;
use tower::ServiceExt as _;

use crate::{
    fixture::{Fixture, GRANT, all, ask, config, pass, report},
    provider::Act,
};

/// The log of all tests of this program.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn global() -> &'static Self {
        static LOG: OnceLock<Log> = OnceLock::new();
        LOG.get_or_init(|| {
            let log = Self::default();
            let writer = log.clone();
            let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false);
            subscriber.with_writer(move || writer.clone()).init();
            log
        })
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Causes refreshes, failures of every kind and an end. Returns all output about them.
async fn cause_everything() -> String {
    let mut printed = String::new();
    for act in [
        Act::Answer,
        Act::OmitRefreshToken,
        Act::Fail { retry_after: Some(1) },
        Act::NotSent,
        Act::Misconfigured,
        Act::Unexplained { accepted: true },
        Act::Panic,
        Act::LoseAnswer,
        Act::Refuse,
    ] {
        let fixture = Fixture::new().await;
        pass(301).await;
        fixture.provider.next(act);
        let outcome = fixture.upstream().access_token().await;
        printed += &format!("{outcome:?} {:?} {:?}", fixture.upstream(), fixture.refresher);
        if let Err(error) = &outcome {
            printed += &format!("{error} {:?}", std::error::Error::source(error));
        }
        printed += &format!("{:?} {:?} {:?}", fixture.tokens().await, fixture.grants, fixture.grants.load(GRANT).await);
        fixture.store.refuse_writes(true);
        pass(301).await;
        drop(fixture.upstream().access_token().await);
        let lost = fixture.refresher.shutdown().await;
        printed += &lost.to_string();
    }
    printed
}

#[tokio::test(start_paused = true)]
async fn g_16_no_token_is_logged_or_printed() {
    let log = Log::global();
    let printed = cause_everything().await;
    let logged = log.text();
    for event in ["the grant has ended", "new tokens could not be saved", "may be spent", "token refresh failed"] {
        assert!(logged.contains(event), "the log is read: {event}");
    }
    assert!(printed.contains("AccessToken") && printed.contains("grant_ended"), "{printed}");
    for text in [&logged, &printed] {
        assert!(!text.contains("access-alice") && !text.contains("refresh-alice"), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn g_19_everything_is_counted() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let guard = metrics::set_default_local_recorder(&recorder);
    let fixture = Fixture::new().await;
    let first = fixture.upstream().access_token().await.expect("token");
    pass(301).await;
    assert_eq!(all(ask(&fixture.upstream(), 10)).await, 1);
    assert_eq!(all(report(&fixture.upstream(), &first, 5)).await, 1);
    // Through the service as well as through the source of tokens.
    let late = RefreshRequest::new(GRANT).with_rejected(first.generation());
    assert_eq!(fixture.refresher.clone().oneshot(late).await.expect("token").generation().number(), 1);
    let another = fixture.another(config(portcullis_oauth::providers::Rotation::SingleUse));
    let second: AccessToken = another.upstream(GRANT).access_token().await.expect("token");
    assert_eq!(all(report(&fixture.upstream(), &second, 1)).await, 2);
    assert_eq!(all(report(&another.upstream(GRANT), &second, 1)).await, 2);
    fixture.provider.next(Act::Fail { retry_after: None });
    pass(301).await;
    drop(fixture.upstream().access_token().await.expect_err("failing"));
    pass(2).await;
    fixture.store.refuse_writes(true);
    drop(fixture.upstream().access_token().await.expect("unsaved"));
    let unsaved = snapshot(&snapshotter.snapshot().into_vec());
    fixture.store.refuse_writes(false);
    pass(5).await;
    drop(guard);

    assert_eq!(unsaved["portcullis_grants_unsaved provider=test"], 1.0);
    // A snapshot resets the metrics.
    let later = snapshot(&snapshotter.snapshot().into_vec());
    assert_eq!(later["portcullis_grants_unsaved provider=test"], -1.0);
    assert_eq!(unsaved["portcullis_exchanges_total provider=test outcome=success"], 3.0);
    assert_eq!(unsaved["portcullis_exchanges_total provider=test outcome=transient"], 1.0);
    assert_eq!(unsaved["portcullis_refresh_coalesced_total provider=test"], 9.0);
    assert_eq!(unsaved["portcullis_stale_refusals_total provider=test"], 6.0);
    assert_eq!(unsaved["portcullis_grants_adopted_total provider=test"], 1.0);
    assert_eq!(unsaved["portcullis_exchange_seconds provider=test"], 4.0);
}

type Metric = (metrics_util::CompositeKey, Option<metrics::Unit>, Option<metrics::SharedString>, DebugValue);

/// Returns the value of each metric by name and labels; of a histogram, the number of values.
fn snapshot(metrics: &[Metric]) -> BTreeMap<String, f64> {
    let entry = |(key, _, _, value): &Metric| {
        let labels = key.key().labels().map(|label| format!(" {}={}", label.key(), label.value()));
        let name = key.key().name().to_owned() + &labels.collect::<String>();
        let value = match value {
            DebugValue::Counter(count) => f64::from(u32::try_from(*count).expect("few")),
            DebugValue::Gauge(value) => value.into_inner(),
            DebugValue::Histogram(values) => f64::from(u32::try_from(values.len()).expect("few")),
        };
        (name, value)
    };
    metrics.iter().map(entry).collect()
}
