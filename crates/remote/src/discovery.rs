//! Discovery: asks an issuer for its metadata.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use portcullis_core::{AuthError, Issuer};
use portcullis_egress::{Egress, RequestKind};
use portcullis_oauth::{
    ProtocolError,
    metadata::{self, AuthorizationServerMetadata},
};
use tower::ServiceExt;

/// Fetches the metadata of `issuer` from the first of its well-known locations that has it.
///
/// A location that answers anything else (404, an HTML page, metadata of another issuer) is skipped. If the issuer fails or does not
/// answer, the remaining locations are not tried. Nothing is cached.
///
/// # Errors
/// Always transient. If no location has the metadata: the last error that is not "not found".
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

/// Sends `request` as one of `kind`.
pub(crate) async fn send(
    egress: &Egress,
    mut request: Request<Bytes>,
    kind: RequestKind,
) -> Result<Response<Bytes>, AuthError> {
    request.extensions_mut().insert(kind);
    Ok(egress.clone().oneshot(request).await?)
}
