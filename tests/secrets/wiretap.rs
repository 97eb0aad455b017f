//! [`Wiretap`]: all that is said between a bridge and others.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use axum::{Router, body::Body, extract::Request, middleware};
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, request::Parts};
use http_body_util::BodyExt as _;
use portcullis::egress::{Egress, EgressError};
use tower::{ServiceExt as _, service_fn};

/// A request and what was answered.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    /// By the bridge to the provider, or to the bridge.
    pub(crate) is_upstream: bool,
    pub(crate) uri: String,
    pub(crate) request_headers: HeaderMap,
    pub(crate) request: Bytes,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// All that is said between a bridge and others.
#[derive(Clone, Default)]
pub(crate) struct Wiretap {
    exchanges: Arc<Mutex<Vec<Exchange>>>,
    /// Whether the provider says in its errors what it was asked.
    pub(crate) echoes: Arc<AtomicBool>,
}

impl Wiretap {
    pub(crate) fn exchanges(&self) -> Vec<Exchange> {
        self.exchanges.lock().expect("no panic").clone()
    }

    fn note(&self, is_upstream: bool, head: &Parts, request: &Bytes, response: &Response<Bytes>) {
        self.exchanges.lock().expect("no panic").push(Exchange {
            is_upstream,
            uri: head.uri.to_string(),
            request_headers: head.headers.clone(),
            request: request.clone(),
            status: response.status(),
            headers: response.headers().clone(),
            body: response.body().clone(),
        });
    }

    /// What comes to `router`.
    pub(crate) fn of_router(&self, router: Router) -> Router {
        let tap = self.clone();
        router.layer(middleware::from_fn(move |request: Request, next: middleware::Next| {
            let tap = tap.clone();
            async move {
                let (head, body) = request.into_parts();
                let request = body.collect().await.expect("a body").to_bytes();
                let response = next.run(Request::from_parts(head.clone(), Body::from(request.clone()))).await;
                let (parts, body) = response.into_parts();
                let response = Response::from_parts(parts, body.collect().await.expect("a body").to_bytes());
                tap.note(false, &head, &request, &response);
                response.map(Body::from)
            }
        }))
    }

    /// What goes out by `egress`.
    pub(crate) fn of_egress(&self, egress: Egress) -> Egress {
        let tap = self.clone();
        Egress::from_service(service_fn(move |request: http::Request<Bytes>| {
            let (tap, egress) = (tap.clone(), egress.clone());
            async move {
                let (head, body) = request.into_parts();
                let response = if tap.echoes.load(Relaxed) {
                    echo(&head, &body)
                } else {
                    egress.oneshot(http::Request::from_parts(head.clone(), body.clone())).await?
                };
                tap.note(true, &head, &body, &response);
                Ok::<_, EgressError>(response)
            }
        }))
    }
}

/// A provider that says in its errors whatever it was asked.
fn echo(head: &Parts, body: &Bytes) -> Response<Bytes> {
    let asked = format!("{} {:?} {}", head.uri, head.headers, String::from_utf8_lossy(body));
    let error = serde_json::json!({"error": asked, "error_description": asked, "error_uri": asked});
    let response = Response::builder().status(400).header("content-type", "application/json");
    response.header("www-authenticate", "Bearer").body(error.to_string().into()).expect("a response")
}
