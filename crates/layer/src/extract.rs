//! Extractors for axum, and a rejection that handlers return.

use std::{ops::Deref, sync::Arc};

use axum::{
    body::Body,
    extract::{FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, Response},
};
use http::{StatusCode, request::Parts};
use portcullis_core::{AccessToken, AuthError, UserContext};

use crate::response::Rejection;

/// An extractor for the [`UserContext`] of the authenticated user.
///
/// `async fn tool(user: User) -> String { user.subject().to_owned() }`. On a route without
/// [`AuthLayer`](crate::AuthLayer) the response is 500 and an error is logged, so that a missing layer never results in an anonymous
/// user. (`UserContext` itself cannot be an extractor, because of the orphan rule.)
#[derive(Clone, Debug)]
pub struct User(Arc<UserContext>);

impl User {
    /// Returns the context, which may outlive the request.
    #[must_use]
    pub fn into_context(self) -> Arc<UserContext> {
        self.0
    }
}

impl Deref for User {
    type Target = UserContext;

    fn deref(&self) -> &UserContext {
        &self.0
    }
}

impl<S: Sync> FromRequestParts<S> for User {
    type Rejection = MissingAuthLayer;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, MissingAuthLayer> {
        let user = parts.extensions.get::<Arc<UserContext>>();
        user.cloned().map(Self).ok_or_else(|| {
            tracing::error!(
                path = parts.uri.path(),
                "the request has no user context: add AuthLayer to the route of this handler"
            );
            MissingAuthLayer(())
        })
    }
}

/// Extracts `None` on routes that are also served without a token (see [`AuthConfig::with_open_path`](crate::AuthConfig::with_open_path)).
impl<S: Sync> OptionalFromRequestParts<S> for User {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Self::Rejection> {
        Ok(parts.extensions.get::<Arc<UserContext>>().cloned().map(Self))
    }
}

/// The rejection of [`User`] on a route without [`AuthLayer`](crate::AuthLayer): 500.
#[derive(Debug)]
pub struct MissingAuthLayer(());

impl IntoResponse for MissingAuthLayer {
    fn into_response(self) -> Response {
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}

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
