//! 10,000 requests at once, with an empty cache.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::join_all;
use http::StatusCode;
use portcullis_testkit::{Endpoint, IdentityProvider};
use tower::ServiceExt;

use crate::concurrent_requests::ConcurrentRequests;

const CALLERS: usize = 10_000;
const ROUNDS: usize = 3;
/// The latency of the provider.
const LATENCY: Duration = Duration::from_millis(50);

/// The results, in the worst of several rounds.
pub(crate) struct Stampede {
    /// The calls of the provider for one new token.
    pub(crate) cold_calls: usize,
    /// The same when every second caller disconnects.
    pub(crate) disconnect_calls: usize,
    /// The number of callers that stayed and were served.
    pub(crate) disconnect_served: usize,
    /// The time for 10,000 different tokens in each round, in milliseconds.
    pub(crate) different_ms: Vec<f64>,
    /// The time of the provider alone for the same number of calls, in milliseconds.
    pub(crate) provider_ms: Vec<f64>,
}

/// Runs the measurement on all processors.
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
    let concurrent = ConcurrentRequests::new(LATENCY).await?;
    let before = concurrent.calls();
    let answers = concurrent.call_all(vec![concurrent.token(); CALLERS]).await;
    assert!(answers.iter().all(|answer| answer.status == StatusCode::OK), "every caller is served");
    Ok(concurrent.calls() - before)
}

/// Returns the number of calls, and of served callers.
async fn disconnecting() -> Result<(usize, usize), Box<dyn Error>> {
    // Slow enough that all callers wait when the first of them disconnects.
    let concurrent = ConcurrentRequests::new(10 * LATENCY).await?;
    let before = concurrent.calls();
    let token = concurrent.token();
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (concurrent, token) = (concurrent.clone(), token.clone());
            tokio::spawn(async move { concurrent.call(token).await })
        })
        .collect();
    tokio::time::sleep(3 * LATENCY).await;
    // The first caller, whose request started the resolution, also disconnects.
    callers.iter().step_by(2).for_each(|caller| caller.abort());
    let mut served = 0;
    for outcome in join_all(callers).await {
        match outcome {
            Ok(answer) => served += usize::from(answer.status == StatusCode::OK),
            Err(gone) => assert!(gone.is_cancelled(), "no caller panics"),
        }
    }
    Ok((concurrent.calls() - before, served))
}

async fn different_tokens() -> Result<f64, Box<dyn Error>> {
    let concurrent = ConcurrentRequests::new(LATENCY).await?;
    let tokens = concurrent.tokens(CALLERS);
    let begun = Instant::now();
    let answers = concurrent.call_all(tokens).await;
    let elapsed = begun.elapsed();
    assert!(answers.iter().all(|answer| answer.status == StatusCode::OK), "every caller is served");
    Ok(elapsed.as_secs_f64() * 1e3)
}

/// Measures the same number of introspections without the authentication layer.
async fn provider_alone() -> Result<f64, Box<dyn Error>> {
    let concurrent = ConcurrentRequests::new(LATENCY).await?;
    let tokens = concurrent.tokens(CALLERS);
    let begun = Instant::now();
    let tasks = tokens.into_iter().map(|token| {
        let request = introspection(&token);
        tokio::spawn(concurrent.provider.clone().oneshot(request))
    });
    for response in join_all(tasks).await {
        assert_eq!(response??.status(), StatusCode::OK);
    }
    let elapsed = begun.elapsed();
    assert_eq!(concurrent.provider.calls(Endpoint::Introspection), CALLERS + 1);
    Ok(elapsed.as_secs_f64() * 1e3)
}

fn introspection(token: &str) -> http::Request<Bytes> {
    let (id, secret) = (IdentityProvider::CLIENT_ID, IdentityProvider::CLIENT_SECRET);
    http::Request::post(format!("{}/introspect", IdentityProvider::ISSUER))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("token={token}&client_id={id}&client_secret={secret}").into())
        .expect("a request")
}
