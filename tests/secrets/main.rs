//! No secret of a bridge is where it does not belong: in a log line, a metric, an error, a page or the database.

mod secrets;
mod server;
mod sinks;
mod story;
mod wiretap;

use portcullis::bridge::AccessTokenKind;

use crate::{server::Server, sinks::Log, story::story};

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_any_log_line_metric_error_page_or_file() {
    let log = Log::of_everything();
    let metrics = sinks::metrics();
    for kind in [AccessTokenKind::Reference, AccessTokenKind::Jwt(server::signing_keys())] {
        let server = Server::start(kind).await;
        story(&server).await;
        let exchanges = server.wiretap.exchanges();
        let secrets = secrets::of(&exchanges);
        secrets.assert_complete();
        assert!(secrets.first_in(&format!("{exchanges:?}")).is_some(), "they would be found");

        let database = server.stop().await;
        assert!(database.iter().any(|file| file.len() > 10_000), "there is a database");
        for file in &database {
            secrets.assert_absent_from_bytes("the database", file);
        }
        sinks::assert_clean_answers(&exchanges, &secrets);
        let metrics = metrics();
        assert!(metrics.contains("portcullis_bridge_tokens_total"), "{metrics}");
        secrets.assert_absent("the metrics", &metrics);
        let log = log.text();
        assert!(log.contains("TRACE hyper") && log.contains("TRACE h2"), "everything is logged");
        secrets.assert_absent("the log", &log);
    }
}
