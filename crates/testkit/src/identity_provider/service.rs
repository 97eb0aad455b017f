//! An identity provider as a tower service: a request in, latency, a fault or an answer out.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use tower_service::Service;

use super::{Disconnected, Endpoint, Fault, IdentityProvider, SeenRequest, answer::empty, respond::respond};

impl Service<Request<Bytes>> for IdentityProvider {
    type Response = Response<Bytes>;
    type Error = Disconnected;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Bytes>, Disconnected>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Disconnected>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        Box::pin(self.clone().answer(request))
    }
}

impl IdentityProvider {
    async fn answer(self, request: Request<Bytes>) -> Result<Response<Bytes>, Disconnected> {
        let Some(endpoint) = self.arrive(&request) else { return Ok(empty(StatusCode::NOT_FOUND)) };
        let processing = self.process(endpoint, request);
        let outcome = if endpoint.has_effects() {
            // What was sent is processed, whether or not its sender waits for the answer.
            tokio::spawn(processing).await.expect("processing does not panic")
        } else {
            processing.await
        };
        match outcome {
            Outcome::Failed(fault) => fault.respond().await,
            Outcome::Processed { response, lost, latency } => {
                if !latency.is_zero() {
                    tokio::time::sleep(latency).await;
                }
                match lost {
                    Some(fault) => fault.respond().await,
                    None => Ok(response),
                }
            }
        }
    }

    async fn process(self, endpoint: Endpoint, request: Request<Bytes>) -> Outcome {
        let latency = self.state().switches(endpoint).latency;
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        let fault = self.state().switches(endpoint).strike();
        match fault {
            Some(fault) if !fault.comes_after_processing() => Outcome::Failed(fault),
            lost => Outcome::Processed {
                response: respond(&self, endpoint, &request),
                lost,
                latency: self.state().switches(endpoint).answer_latency,
            },
        }
    }

    /// Finds the endpoint and counts the call.
    fn arrive(&self, request: &Request<Bytes>) -> Option<Endpoint> {
        let mut state = self.state();
        let issuer: Uri = state.issuer.parse().ok()?;
        let endpoint = Endpoint::at(request.uri().path(), issuer.path().trim_end_matches('/'), state.dialect.paths())?;
        let endpoint = state.dialect.meant(endpoint, request.method());
        let switches = state.switches(endpoint);
        switches.calls += 1;
        switches.last = Some(SeenRequest::of(request));
        Some(endpoint)
    }
}

/// What came of a request.
enum Outcome {
    /// Nothing was done.
    Failed(Fault),
    /// It was done; the answer may be late, or lost.
    Processed { response: Response<Bytes>, lost: Option<Fault>, latency: Duration },
}
