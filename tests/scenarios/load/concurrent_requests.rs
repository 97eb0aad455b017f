//! Many who call at once: what they get, and after what time.

use std::{collections::HashSet, time::Duration};

use axum::body::Body;
use futures_util::future::join_all;
use http::{
    Request, StatusCode,
    header::{AUTHORIZATION, RETRY_AFTER},
};
use http_body_util::BodyExt as _;
use tokio::{task::JoinHandle, time::Instant};
use tower::ServiceExt as _;

use super::fixture::Stack;

/// What one request got.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// When to come again, in seconds.
    pub(crate) retry_after: Option<u64>,
    /// After what time it came.
    pub(crate) after: Duration,
    /// The access token that the tool got, if it ran.
    body: String,
}

impl Answer {
    pub(crate) fn is_served(&self) -> bool {
        self.status == StatusCode::OK
    }
}

impl Stack {
    /// One request with Alice's token.
    pub(crate) async fn call(&self) -> Answer {
        self.start().await.expect("no panic")
    }

    /// Sends `count` requests at once, all with Alice's token.
    pub(crate) async fn call_all(&self, count: usize) -> Vec<Answer> {
        let calls: Vec<_> = (0..count).map(|_| self.start()).collect();
        join_all(calls).await.into_iter().map(|answer| answer.expect("no panic")).collect()
    }

    /// A request with Alice's token, on a task of its own.
    pub(crate) fn start(&self) -> JoinHandle<Answer> {
        let router = self.router.clone();
        let request = Request::post("/mcp").header(AUTHORIZATION, "Bearer alices-token").body(Body::empty());
        tokio::spawn(async move {
            let begun = Instant::now();
            let response = router.oneshot(request.expect("a request")).await.expect("an answer");
            let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            let (status, after) = (response.status(), begun.elapsed());
            let body = response.into_body().collect().await.expect("a body").to_bytes();
            Answer { status, retry_after, after, body: String::from_utf8_lossy(&body).into_owned() }
        })
    }

    /// How many of `answers` came with an access token that is dead.
    pub(crate) async fn with_dead_tokens(&self, answers: &[Answer]) -> usize {
        let mut dead = HashSet::new();
        for token in answers.iter().filter(|answer| answer.is_served()).map(|answer| &answer.body) {
            if !dead.contains(token) && !self.is_alive(token).await {
                dead.insert(token.clone());
            }
        }
        answers.iter().filter(|answer| dead.contains(&answer.body)).count()
    }
}

/// After what time the last of them had its answer.
pub(crate) fn last(answers: &[Answer]) -> Duration {
    answers.iter().map(|answer| answer.after).max().unwrap_or_default()
}
