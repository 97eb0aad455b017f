//! The client that a request comes from.

use http::request::Parts;

use crate::{
    Bridge, Client,
    clients::Clients,
    inner::Inner,
    oauth_error::{ErrorCode, OAuthError},
    parameters::Parameters,
};

/// The client that a request comes from, which has proved who it is as it has to; unless too many wrong credentials for it came from
/// there, for then right ones are not looked at either.
///
/// # Errors
/// `invalid_client` if it has not, 429 if it was wrong too often, `temporarily_unavailable` if nobody can tell.
pub(super) async fn authenticated(bridge: &Bridge, head: &Parts, form: &Parameters) -> Result<Client, OAuthError> {
    let Inner { clients, limits, .. } = bridge.inner();
    let caller = limits.caller(&head.headers, &head.extensions);
    let Some(claimed) = Clients::claimed(&head.headers, form) else {
        // Nothing is guessed.
        return clients.authenticate(&head.headers, form, &caller).await;
    };
    limits.may_authenticate(&claimed, &caller)?;
    clients.authenticate(&head.headers, form, &caller).await.inspect_err(|error| {
        if error.code == ErrorCode::InvalidClient {
            limits.authentication_failed(&claimed, &caller);
        }
    })
}
