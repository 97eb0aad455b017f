//! Non-standard error responses to refreshes at the provider: which of them end the grant.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, header};
use portcullis_core::{AuthErrorKind, Reason};
use portcullis_test_support::{Answer, Endpoint, Fault, LogCapture, TokenPolicy};
use tokio::time::{Instant, sleep};

use crate::fixture::Fixture;

/// Status, content type and body of a response of the token endpoint.
type Shape = (u16, &'static str, &'static str);

const JSON: &str = "application/json";

const DEAD: [Shape; 6] = [
    (400, JSON, r#"{"status":"BAD_REFRESH_TOKEN","message":"missing or invalid refresh token"}"#),
    (400, JSON, r#"{"error":{"code":190,"message":"Session has expired"}}"#),
    (401, "text/plain", ""),
    (403, "text/plain", ""),
    (404, "text/plain", "not found"),
    (200, JSON, r#"{"ok":false,"error":"token_expired"}"#),
];

const ALIVE: [Shape; 13] = [
    (400, JSON, r#"{"error":"temporarily_unavailable"}"#),
    (400, JSON, r#"{"error":"server_error"}"#),
    (200, JSON, r#"{"ok":false,"error":"ratelimited"}"#),
    (401, JSON, r#"{"error":"invalid_client"}"#),
    (400, JSON, r#"{"error":"unauthorized_client"}"#),
    (400, JSON, r#"{"error":"unsupported_grant_type"}"#),
    (408, "text/plain", ""),
    (425, "text/plain", ""),
    (429, "text/plain", ""),
    (500, JSON, r#"{"error":"invalid_request"}"#),
    (502, "text/html", "<html>Bad gateway</html>"),
    (302, "text/plain", ""),
    (200, "text/html", "<html>Maintenance</html>"),
];

fn fault((status, content_type, body): Shape) -> Fault {
    let response = Response::builder().status(status).header(header::CONTENT_TYPE, content_type);
    Fault::answer(response.body(Bytes::from_static(body.as_bytes())).expect("a response"))
}

/// A bridge whose provider issues access tokens for one minute, and a session whose upstream access token has expired.
async fn expired() -> (Fixture, Answer) {
    let fixture = Fixture::new().await;
    fixture.idp.set_token_policy(TokenPolicy::new().with_access_token_lifetime(Duration::from_secs(60)));
    let answer = fixture.log_in().await;
    fixture.pass(61);
    (fixture, answer)
}

impl Fixture {
    /// Logs in again, while the refresh of the first session gets the response `shape`.
    async fn accept_another(&self, shape: Shape) {
        self.idp.heal(Endpoint::Token);
        self.log_in().await;
        self.idp.set_fault(Endpoint::Token, fault(shape));
    }

    /// Requests the upstream token of `answer` until it succeeds, fails permanently, or `limit` has passed. Returns the outcome and the time.
    async fn poll(&self, answer: &Answer, limit: Duration) -> (Reason, Duration) {
        let begun = Instant::now();
        let user = self.verify(answer.access_token()).await.expect("a session");
        loop {
            let error = user.upstream().access_token().await.expect_err("no token");
            if error.kind() == AuthErrorKind::InvalidToken || begun.elapsed() > limit {
                return (error.reason(), begun.elapsed());
            }
            sleep(error.retry_after().expect("when to come back")).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_that_is_refused_in_any_wording_ends_its_grant_within_two_minutes() {
    for shape in DEAD {
        let (fixture, answer) = expired().await;
        fixture.idp.set_fault(Endpoint::Token, fault(shape));
        let user = fixture.verify(answer.access_token()).await.expect("a session");
        let first = user.upstream().access_token().await.expect_err("refused");
        assert_eq!(first.kind(), AuthErrorKind::Unavailable, "{shape:?}: one refusal proves nothing");
        sleep(Duration::from_secs(6)).await;
        fixture.accept_another(shape).await;

        let (reason, after) = fixture.poll(&answer, Duration::from_secs(600)).await;
        assert_eq!(reason, Reason::GrantEnded, "{shape:?}");
        assert!((54..120).contains(&after.as_secs()), "{shape:?}: {after:?}");
        assert!(user.revocation().is_revoked(), "{shape:?}: its contexts are withdrawn");
        let refused = fixture.verify(answer.access_token()).await.expect_err("ended");
        assert_eq!(refused.reason(), Reason::GrantEnded, "{shape:?}: 401 with a challenge");
        fixture.idp.heal(Endpoint::Token);
        let refreshed = fixture.app().await.refresh(answer.refresh_token()).await.expect("a response");
        assert_eq!(refreshed.error(), Some("invalid_grant"), "{shape:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_fails_or_refuses_this_server_ends_no_grant() {
    for shape in ALIVE {
        let (fixture, answer) = expired().await;
        fixture.idp.set_fault(Endpoint::Token, fault(shape));
        let user = fixture.verify(answer.access_token()).await.expect("a session");
        assert_eq!(user.upstream().access_token().await.expect_err("fails").kind(), AuthErrorKind::Unavailable);
        sleep(Duration::from_secs(6)).await;
        fixture.accept_another(shape).await;
        let (reason, _) = fixture.poll(&answer, Duration::from_secs(600)).await;
        assert_eq!(reason.kind(), AuthErrorKind::Unavailable, "{shape:?}");
        let refreshed = fixture.app().await.refresh(answer.refresh_token()).await.expect("a response");
        assert_eq!(refreshed.status(), 200, "{shape:?}: the session goes on");
        fixture.idp.heal(Endpoint::Token);
        sleep(Duration::from_secs(60)).await;
        user.upstream().access_token().await.expect("the provider is well again");
    }
}

#[tokio::test(start_paused = true)]
async fn without_an_accepted_request_nothing_shows_whether_the_grant_or_the_set_up_is_at_fault() {
    let log = LogCapture::of_all_threads();
    for shape in DEAD {
        let (fixture, answer) = expired().await;
        fixture.idp.set_fault(Endpoint::Token, fault(shape));
        // The bridge's access token lives for ten minutes, two of which have passed.
        let (reason, _) = fixture.poll(&answer, Duration::from_secs(300)).await;
        assert_eq!(reason.kind(), AuthErrorKind::Unavailable, "{shape:?}");
        assert!(fixture.verify(answer.access_token()).await.is_ok(), "{shape:?}");
        // The operator corrects the configuration.
        fixture.idp.heal(Endpoint::Token);
        sleep(Duration::from_secs(60)).await;
        let user = fixture.verify(answer.access_token()).await.expect("a session");
        user.upstream().access_token().await.expect("the grant is still there");
    }
    let text = log.text();
    let complaints: Vec<_> = text.lines().filter(|line| line.contains("error in bridge.dead_grant_errors")).collect();
    assert!(complaints.iter().all(|line| line.contains("ERROR")), "{complaints:?}");
    assert_eq!(complaints.iter().filter(|line| line.contains("status=BAD_REFRESH_TOKEN")).count(), 1, "{complaints:?}");
}
