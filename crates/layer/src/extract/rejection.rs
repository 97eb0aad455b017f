//! [`AuthRejection`]: an authentication error that a handler returns.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use portcullis_core::AuthError;

use crate::rejection::Rejection;

/// An authentication error that a handler returns: the error type for `?`.
///
/// The outer [`AuthLayer`](crate::AuthLayer) converts it to the response of the [wire table](portcullis_core::wire): 401 with
/// a challenge if the grant has ended, 403 with all scopes that are needed, 503 if the provider is unavailable. Without an `AuthLayer`
/// the response has the status alone.
///
/// ```
/// use portcullis_core::{AuthError, ScopeSet};
/// use portcullis_layer::extract::{AuthRejection, User};
///
/// # async fn call(_: &portcullis_core::AccessToken) -> http::StatusCode { http::StatusCode::OK }
/// async fn calendar(user: User) -> Result<String, AuthRejection> {
///     let token = user.upstream().access_token().await?;
///     let mut status = call(&token).await;
///     if status == http::StatusCode::UNAUTHORIZED {
///         status = call(&user.upstream().rejected(&token).await?).await;
///     }
///     if status == http::StatusCode::FORBIDDEN {
///         Err(AuthError::insufficient_scope(ScopeSet::parse("calendar:read").unwrap_or_default()))?;
///     }
///     Ok(status.to_string())
/// }
///
/// # let app: axum::Router = axum::Router::new().route("/calendar", axum::routing::get(calendar));
/// ```
#[derive(Clone, Debug)]
pub struct AuthRejection(AuthError);

impl AuthRejection {
    /// Returns the underlying error.
    #[must_use]
    pub const fn error(&self) -> &AuthError {
        &self.0
    }
}

impl From<AuthError> for AuthRejection {
    fn from(error: AuthError) -> Self {
        Self(error)
    }
}

impl IntoResponse for AuthRejection {
    fn into_response(self) -> Response {
        Rejection::from(self.0).into_response().map(Body::from)
    }
}
