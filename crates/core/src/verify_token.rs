//! [`VerifyToken`]: the one idea.

use std::sync::Arc;

use tower_service::Service;

use crate::{AuthError, BearerToken, UserContext};

/// **A tower service from a token to a user.** An alias: every such service has it.
///
/// A verifier (JWT, introspection, your own), a layer around one (the cache; tower's limits, see
/// [`AuthError::recover`]), or a choice between several.
///
/// The outcome is three-way and must stay so: the user, an [`AuthError`] that says the token is no good, or one
/// that [is transient](AuthError::is_transient) because nobody can tell.
pub trait VerifyToken: Service<BearerToken, Response = Arc<UserContext>, Error = AuthError> {}

impl<V> VerifyToken for V where V: Service<BearerToken, Response = Arc<UserContext>, Error = AuthError> + ?Sized {}
