//! [`User`]: an extractor for the authenticated user.

use std::{ops::Deref, sync::Arc};

use axum::{
    extract::{FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, Response},
};
use http::{StatusCode, request::Parts};
use portcullis_core::UserContext;

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
