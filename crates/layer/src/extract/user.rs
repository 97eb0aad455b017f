//! [`User`]: who is calling, as an argument of a handler.

use std::{ops::Deref, sync::Arc};

use axum::{
    extract::{FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, Response},
};
use http::{StatusCode, request::Parts};
use portcullis_core::UserContext;

/// Who is calling: an extractor that gives a handler its [`UserContext`].
///
/// `async fn tool(user: User) -> String { user.subject().to_owned() }`. On a route without
/// [`AuthLayer`](crate::AuthLayer) it answers 500 and logs an error: there is never an anonymous user by mistake.
/// (`UserContext` itself cannot be an extractor: it and axum's trait are both of other crates.)
#[derive(Clone, Debug)]
pub struct User(Arc<UserContext>);

impl User {
    /// The context, to be kept beyond the request.
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
            tracing::error!(path = parts.uri.path(), "a handler asks for the user, but no AuthLayer is on its route");
            MissingAuthLayer(())
        })
    }
}

/// For routes that are served with and without a token (see [`AuthConfig::with_open_path`](crate::AuthConfig::with_open_path)).
impl<S: Sync> OptionalFromRequestParts<S> for User {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Self::Rejection> {
        Ok(parts.extensions.get::<Arc<UserContext>>().cloned().map(Self))
    }
}

/// A handler asked for the [`User`], but no [`AuthLayer`](crate::AuthLayer) is on its route. 500.
#[derive(Debug)]
pub struct MissingAuthLayer(());

impl IntoResponse for MissingAuthLayer {
    fn into_response(self) -> Response {
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}
