//! Discovery: asking an issuer where its endpoints are.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use portcullis_core::{AuthError, Issuer};
use portcullis_egress::{Egress, RequestKind};
use portcullis_oauth::{
    ProtocolError,
    metadata::{self, AuthorizationServerMetadata},
};
use tower::ServiceExt;

/// The metadata of `issuer`, from the first of its well-known places that has it.
///
/// A place that answers something else (404, a page, the metadata of somebody else) is passed over; an issuer that fails or
/// does not answer is not asked for more. Nothing is remembered here.
///
/// # Errors
/// Always transient: what went wrong, preferably something else than "not found".
pub async fn discover(egress: &Egress, issuer: &Issuer) -> Result<AuthorizationServerMetadata, AuthError> {
    let mut problem = ProtocolError::UnexpectedStatus(StatusCode::NOT_FOUND);
    for url in metadata::well_known_urls(issuer) {
        let response = send(egress, metadata::request(&url), RequestKind::new("discovery")).await?;
        match metadata::process(issuer, &response) {
            Ok(metadata) => return Ok(metadata),
            Err(error @ (ProtocolError::ServerError { .. } | ProtocolError::RateLimited { .. })) => {
                return Err(error.into());
            }
            Err(ProtocolError::UnexpectedStatus(StatusCode::NOT_FOUND)) => {}
            Err(error) => problem = error,
        }
    }
    Err(problem.into())
}

/// Sends `request`, saying what it is for.
pub(crate) async fn send(
    egress: &Egress,
    mut request: Request<Bytes>,
    purpose: RequestKind,
) -> Result<Response<Bytes>, AuthError> {
    request.extensions_mut().insert(purpose);
    Ok(egress.clone().oneshot(request).await?)
}
