//! What one refresh token or code provokes at a token endpoint is no statement about others.

use std::{future, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use portcullis_core::{BearerToken, ScopeSet};
use portcullis_egress::{Egress, EgressError, EgressErrorKind};
use portcullis_oauth::{ClientAuthentication, CodeVerifier, TokenResponse};
use portcullis_refresh::{RefreshError, TokenSet};
use portcullis_testkit::{StrictService, TestClock};
use portcullis_upstream::ProviderClient;
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until};
use tower::ServiceExt as _;

use crate::script::oidc;

const SECOND: Duration = Duration::from_secs(1);

/// What the provider does with a request that presents what has `dead` in its name.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Status(u16, &'static str),
    Timeout,
    TooLarge,
}

const FAULTS: [Fault; 7] = [
    Fault::Status(401, ""),
    Fault::Status(401, r#"{"error":"invalid_token"}"#),
    Fault::Status(403, ""),
    Fault::Status(500, ""),
    Fault::Status(429, ""),
    Fault::Timeout,
    Fault::TooLarge,
];

async fn answer(fault: Fault, request: Request<Bytes>) -> Result<Response<Bytes>, EgressError> {
    sleep(Duration::from_millis(20)).await;
    let presented = String::from_utf8_lossy(request.body());
    let (status, body) = match fault {
        _ if request.uri().path() != "/token" || !presented.contains("dead") => {
            (200, json!({"access_token": "at-1", "token_type": "Bearer", "expires_in": 60, "sub": "alice"}).to_string())
        }
        Fault::Status(status, body) => (status, body.to_owned()),
        Fault::Timeout => future::pending().await,
        Fault::TooLarge => return Err(EgressError::new(EgressErrorKind::BodyTooLarge, request.uri())),
    };
    let response = Response::builder().status(status).header("content-type", "application/json");
    Ok(response.body(Bytes::from(body)).expect("response"))
}

fn client(fault: Fault) -> ProviderClient {
    let provider = StrictService::new(move |request| answer(fault, request));
    let app = ClientAuthentication::basic("app", "s3cret".into());
    ProviderClient::new(oidc(), app, Egress::from_service(provider)).with_clock(Arc::new(TestClock::new()))
}

async fn refresh(client: ProviderClient, refresh_token: String) -> Result<TokenResponse, RefreshError> {
    let mut response = TokenResponse::new(BearerToken::issued("at-0").expect("token"));
    response.refresh_token = Some(refresh_token.into());
    client.oneshot(Arc::new(TokenSet::from_login(response, &ScopeSet::default(), TestClock::START))).await
}

/// A login and the refresh of a grant in each three seconds, and `dead` grants polled each second from the first second on: how many
/// logins and refreshes succeed.
async fn successes(fault: Fault, dead: u32, logins: u32) -> (usize, usize) {
    let (client, start) = (client(fault), Instant::now());
    for nth in 0..dead {
        let client = client.clone();
        tokio::spawn(async move {
            for second in 1..logins * 3 {
                sleep_until(start + SECOND * second + Duration::from_millis(u64::from(nth) * 10)).await;
                tokio::spawn(refresh(client.clone(), format!("dead-{nth}")));
            }
        });
    }
    let others = (0..logins).map(|nth| {
        let client = client.clone();
        tokio::spawn(async move {
            sleep_until(start + SECOND * nth * 3 + SECOND / 2).await;
            let (code, verifier) = (format!("code-{nth}").into(), CodeVerifier::new([7; 32]));
            let (asked, redirect_uri) = (ScopeSet::default(), "https://mcp.example/callback");
            let login = client.login(&code, redirect_uri, &verifier, "nonce", &asked);
            let (login, refresh) = tokio::join!(login, refresh(client.clone(), format!("working-{nth}")));
            (login.is_ok(), refresh.is_ok())
        })
    });
    let (mut logins, mut refreshes) = (0, 0);
    for other in others.collect::<Vec<_>>() {
        let (login, refresh) = other.await.expect("no panic");
        logins += usize::from(login);
        refreshes += usize::from(refresh);
    }
    (logins, refreshes)
}

#[tokio::test(start_paused = true)]
async fn dead_grants_that_are_polled_fail_no_login_and_no_refresh_of_others() {
    for fault in FAULTS {
        let one = successes(fault, 1, 19).await;
        let ten = successes(fault, 10, 25).await;
        assert_eq!((one, ten.0), ((19, 19), 25), "{fault:?}");
        // Ten refresh tokens that were never presented before compete, once, with that of another grant for one probe a second.
        assert!((24..=25).contains(&ten.1), "{fault:?}: {ten:?}");
    }
}
