//! What is counted: `portcullis_egress_requests_total` and `portcullis_egress_seconds`.

use bytes::Bytes;
use http::Response;
use tokio::time::Instant;

use crate::{EgressError, RequestKind};

/// Counts one exchange that began at `start`. Hosts are no label: anybody's metadata may name one.
pub(crate) fn record(purpose: RequestKind, start: Instant, result: &Result<Response<Bytes>, EgressError>) {
    let outcome = match result {
        Ok(response) if response.status().is_server_error() => "server_error",
        Ok(response) if response.status().is_client_error() => "client_error",
        Ok(_) => "success",
        Err(error) => error.kind().as_str(),
    };
    metrics::counter!("portcullis_egress_requests_total", "purpose" => purpose.as_str(), "outcome" => outcome)
        .increment(1);
    metrics::histogram!("portcullis_egress_seconds", "purpose" => purpose.as_str()).record(start.elapsed());
}
