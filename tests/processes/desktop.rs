//! A desktop program: a token manager for each login, in one store with other processes.

use std::{sync::Arc, time::Duration};

use portcullis::{
    oauth::TokenResponse,
    refresh::{GrantStore, TokenSet},
    types::{AuthError, BearerToken, Challenge, Clock, Issuer, ResourceUri, ScopeSet, SystemClock},
    upstream::ProviderClient,
};
use portcullis_client::{AcquireError, Binding, Grant, GrantFuture, TokenManager};
use portcullis_testkit::IdentityProvider;
use secrecy::SecretString;
use tower::ServiceExt as _;

/// The login of a user at the provider, which was in another process: this one has its refresh token.
#[derive(Debug)]
struct Login {
    client: ProviderClient,
    binding: Binding,
}

/// The binding of the user `subject`.
pub(crate) fn binding(issuer: &Issuer, subject: &str) -> Binding {
    let resource = ResourceUri::new("https://mcp.example.com/mcp").expect("a resource");
    Binding::new(resource, issuer.clone(), IdentityProvider::CLIENT_ID).with_subject(subject)
}

pub(crate) fn manager(
    client: &ProviderClient,
    subject: &str,
    store: GrantStore,
    clock: Arc<dyn Clock>,
    limit: Duration,
) -> TokenManager {
    let login = Login { client: client.clone(), binding: binding(client.provider().issuer(), subject) };
    TokenManager::builder(login).with_store(store).with_clock(clock).with_exchange_timeout(limit).build()
}

/// The cause of an error, by which a caller knows whether the user has to log in.
pub(crate) fn cause(error: &AcquireError) -> AuthError {
    match error {
        AcquireError::ReauthRequired(cause)
        | AcquireError::Unavailable(cause)
        | AcquireError::Store(cause)
        | AcquireError::Config(cause) => cause.clone(),
        error => panic!("{error}"),
    }
}

impl Grant for Login {
    fn resource(&self) -> &ResourceUri {
        &self.binding.resource
    }

    fn name(&self) -> &'static str {
        "authorization_code"
    }

    fn resolve<'a>(&'a self, _: Option<&'a Challenge>) -> GrantFuture<'a, Binding> {
        Box::pin(async { Ok(self.binding.clone()) })
    }

    fn obtain<'a>(&'a self, _: &'a Binding, _: &'a ScopeSet) -> GrantFuture<'a, TokenResponse> {
        Box::pin(async { panic!("the user is asked in place of a refresh") })
    }

    fn refresh<'a>(&'a self, _: &'a Binding, refresh_token: &'a SecretString) -> GrantFuture<'a, TokenResponse> {
        let mut known = TokenResponse::new(BearerToken::issued("spent").expect("a token"));
        known.refresh_token = Some(refresh_token.clone());
        let tokens = TokenSet::from_login(known, &ScopeSet::default(), SystemClock::new().now());
        Box::pin(self.client.clone().oneshot(Arc::new(tokens)))
    }

    fn is_interactive(&self) -> bool {
        true
    }
}
