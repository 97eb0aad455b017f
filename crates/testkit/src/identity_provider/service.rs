//! An identity provider as a tower service: a request in, latency, a fault or an answer out.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use tower_service::Service;

use super::{
    Disconnected, Endpoint, IdentityProvider, SeenRequest,
    respond::{respond, status},
};

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
        let Some(endpoint) = self.arrive(&request) else { return Ok(status(StatusCode::NOT_FOUND)) };
        let latency = self.state().switches.get(&endpoint).map(|switches| switches.latency).unwrap_or_default();
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        let fault = self.state().switches.get(&endpoint).and_then(|switches| switches.fault.clone());
        match fault {
            Some(fault) => fault.respond().await,
            None => Ok(respond(&mut self.state(), endpoint, &request)),
        }
    }

    /// Finds the endpoint and counts the call.
    fn arrive(&self, request: &Request<Bytes>) -> Option<Endpoint> {
        let mut state = self.state();
        let issuer: Uri = state.issuer.parse().ok()?;
        let endpoint = Endpoint::at(request.uri().path(), issuer.path().trim_end_matches('/'))?;
        let switches = state.switches.entry(endpoint).or_default();
        switches.calls += 1;
        switches.last = Some(SeenRequest::of(request));
        Some(endpoint)
    }
}
