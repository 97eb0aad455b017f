//! [`UpstreamToken`]: a fresh token of the provider, as an argument of a handler.

use std::ops::Deref;

use axum::{
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::request::Parts;
use portcullis_core::AccessToken;

use super::{AuthRejection, MissingAuthLayer, User};

/// A token of the provider behind this server, fresh when the handler begins: an extractor that gives it an [`AccessToken`].
///
/// If the grant has ended the handler does not run, and the answer is 401 with a challenge; if nobody can tell, 503. A handler
/// that may be told by the provider that the token is dead takes [`User`] as well, and
/// [reports](portcullis_core::Upstream::rejected) it.
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

/// Why there is no [`UpstreamToken`].
#[derive(Debug)]
#[non_exhaustive]
pub enum UpstreamTokenRejection {
    /// Nobody has said who is calling. 500.
    MissingAuthLayer(MissingAuthLayer),
    /// There is no token that would do. 401 or 503.
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
