//! [`VerifyToken`]: a tower service from a token to a user.

use std::sync::Arc;

use tower_service::Service;

use crate::{AuthError, BearerToken, UserContext};

/// A tower service from a [`BearerToken`] to a [`UserContext`]: an alias that every such service implements.
///
/// It is a verifier (JWT, introspection, your own), a layer around one (the cache; tower's limits, see
/// [`AuthError::recover`]), or a router between several.
///
/// There are three outcomes: the user, an [`AuthError`] that rejects the token, or one that
/// [is transient](AuthError::is_transient) because the token cannot be verified at present.
pub trait VerifyToken: Service<BearerToken, Response = Arc<UserContext>, Error = AuthError> {}

impl<V> VerifyToken for V where V: Service<BearerToken, Response = Arc<UserContext>, Error = AuthError> + ?Sized {}
