//! 10,000 requests at once, before anything is remembered.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::join_all;
use http::StatusCode;
use portcullis_testkit::{Endpoint, IdentityProvider};
use tower::ServiceExt;

use crate::concurrent_requests::Crowd;

const CALLERS: usize = 10_000;
const ROUNDS: usize = 3;
/// What the provider takes for an answer.
const LATENCY: Duration = Duration::from_millis(50);

/// What came of it. Of several rounds, the worst.
pub(crate) struct Stampede {
    /// Calls to the provider for one cold token.
    pub(crate) cold_calls: usize,
    /// The same when every second caller goes away.
    pub(crate) disconnect_calls: usize,
    /// How many callers stayed and were served then.
    pub(crate) disconnect_served: usize,
    /// How long 10,000 different tokens took in each round, in milliseconds.
    pub(crate) different_ms: Vec<f64>,
    /// How long the provider alone takes for as many calls, in milliseconds.
    pub(crate) provider_ms: Vec<f64>,
}

/// Runs on all processors.
pub(crate) fn run() -> Result<Stampede, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut worst = Stampede {
            cold_calls: 0,
            disconnect_calls: 0,
            disconnect_served: CALLERS,
            different_ms: Vec::new(),
            provider_ms: Vec::new(),
        };
        for _ in 0..ROUNDS {
            worst.cold_calls = worst.cold_calls.max(one_token().await?);
            let (calls, served) = disconnecting().await?;
            worst.disconnect_calls = worst.disconnect_calls.max(calls);
            worst.disconnect_served = worst.disconnect_served.min(served);
            worst.different_ms.push(different_tokens().await?);
            worst.provider_ms.push(provider_alone().await?);
        }
        Ok(worst)
    })
}

async fn one_token() -> Result<usize, Box<dyn Error>> {
    let crowd = Crowd::new(LATENCY).await?;
    let before = crowd.calls();
    let answers = crowd.call_all(vec![crowd.token(); CALLERS]).await;
    assert!(answers.iter().all(|answer| answer.status == StatusCode::OK), "everybody is served");
    Ok(crowd.calls() - before)
}

/// The calls, and how many were served.
async fn disconnecting() -> Result<(usize, usize), Box<dyn Error>> {
    // Slow enough that all callers wait when the first of them goes away.
    let crowd = Crowd::new(10 * LATENCY).await?;
    let before = crowd.calls();
    let token = crowd.token();
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (crowd, token) = (crowd.clone(), token.clone());
            tokio::spawn(async move { crowd.call(token).await })
        })
        .collect();
    tokio::time::sleep(3 * LATENCY).await;
    // The first caller, whose request began it all, is among those who go.
    callers.iter().step_by(2).for_each(|caller| caller.abort());
    let mut served = 0;
    for outcome in join_all(callers).await {
        match outcome {
            Ok(answer) => served += usize::from(answer.status == StatusCode::OK),
            Err(gone) => assert!(gone.is_cancelled(), "nobody panics"),
        }
    }
    Ok((crowd.calls() - before, served))
}

async fn different_tokens() -> Result<f64, Box<dyn Error>> {
    let crowd = Crowd::new(LATENCY).await?;
    let tokens = crowd.tokens(CALLERS);
    let begun = Instant::now();
    let answers = crowd.call_all(tokens).await;
    let elapsed = begun.elapsed();
    assert!(answers.iter().all(|answer| answer.status == StatusCode::OK), "everybody is served");
    Ok(elapsed.as_secs_f64() * 1e3)
}

/// As many introspections, without anything in front.
async fn provider_alone() -> Result<f64, Box<dyn Error>> {
    let crowd = Crowd::new(LATENCY).await?;
    let tokens = crowd.tokens(CALLERS);
    let begun = Instant::now();
    let tasks = tokens.into_iter().map(|token| {
        let request = introspection(&token);
        tokio::spawn(crowd.provider.clone().oneshot(request))
    });
    for response in join_all(tasks).await {
        assert_eq!(response??.status(), StatusCode::OK);
    }
    let elapsed = begun.elapsed();
    assert_eq!(crowd.provider.calls(Endpoint::Introspection), CALLERS + 1);
    Ok(elapsed.as_secs_f64() * 1e3)
}

fn introspection(token: &str) -> http::Request<Bytes> {
    let (id, secret) = (IdentityProvider::CLIENT_ID, IdentityProvider::CLIENT_SECRET);
    http::Request::post(format!("{}/introspect", IdentityProvider::ISSUER))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("token={token}&client_id={id}&client_secret={secret}").into())
        .expect("a request")
}
