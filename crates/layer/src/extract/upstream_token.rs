//! [`UpstreamToken`]: an extractor for a fresh token of the upstream provider.

use std::ops::Deref;

use axum::{
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::request::Parts;
use portcullis_core::AccessToken;

use super::{AuthRejection, MissingAuthLayer, User};

/// An extractor for an [`AccessToken`] of the upstream provider, which is fresh when the handler begins.
///
/// If the grant has ended, the handler does not run and the response is 401 with a challenge; if the provider is unavailable, 503. A
/// handler whose token the provider may reject takes [`User`] as well, and [reports](portcullis_core::Upstream::rejected) the token.
///
/// ```
/// use portcullis_layer::extract::UpstreamToken;
///
/// async fn calendar(token: UpstreamToken) -> String {
///     let authorization = token.authorization(); // for the request to the provider
///     assert!(authorization.is_sensitive());
///     "…".to_owned()
/// }
///
/// # let app: axum::Router = axum::Router::new().route("/calendar", axum::routing::get(calendar));
/// ```
#[derive(Clone, Debug)]
pub struct UpstreamToken(AccessToken);

impl Deref for UpstreamToken {
    type Target = AccessToken;

    fn deref(&self) -> &AccessToken {
        &self.0
    }
}

impl<S: Sync> FromRequestParts<S> for UpstreamToken {
    type Rejection = UpstreamTokenRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, UpstreamTokenRejection> {
        let user = <User as FromRequestParts<S>>::from_request_parts(parts, state).await;
        let user = user.map_err(UpstreamTokenRejection::MissingAuthLayer)?;
        let token = user.upstream().access_token().await;
        token.map(Self).map_err(|error| UpstreamTokenRejection::Refused(error.into()))
    }
}

/// The rejection of [`UpstreamToken`].
#[derive(Debug)]
#[non_exhaustive]
pub enum UpstreamTokenRejection {
    /// The request has no user context: 500.
    MissingAuthLayer(MissingAuthLayer),
    /// No valid token is available: 401 or 503.
    Refused(AuthRejection),
}

impl IntoResponse for UpstreamTokenRejection {
    fn into_response(self) -> Response {
        match self {
            Self::MissingAuthLayer(rejection) => rejection.into_response(),
            Self::Refused(rejection) => rejection.into_response(),
        }
    }
}
