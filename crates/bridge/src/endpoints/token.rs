//! The token endpoint.

use std::sync::Arc;

use axum::extract::State;
use http::HeaderMap;

use crate::{
    GrantType,
    clients::Clients,
    extract::OAuthForm,
    limits::Caller,
    oauth_error::OAuthError,
    state::BackgroundTasks,
    telemetry::Telemetry,
    token::{TokenIssuer, TokenResponse},
};

/// `POST /token`. [RFC 6749 section 3.2](https://www.rfc-editor.org/rfc/rfc6749#section-3.2)
pub(crate) async fn token(
    State(clients): State<Arc<Clients>>,
    State(issuer): State<Arc<TokenIssuer>>,
    State(telemetry): State<Arc<Telemetry>>,
    State(background): State<BackgroundTasks>,
    caller: Caller,
    headers: HeaderMap,
    OAuthForm(form): OAuthForm,
) -> Result<TokenResponse, OAuthError> {
    // Runs to its end, so that a client that disconnects does not interrupt a rotation.
    let work = async move {
        let issue = async {
            let client = clients.authenticate(&headers, &form, &caller).await?;
            issuer.issue(&client, &form, &caller).await
        };
        let issued = issue.await;
        let grant_type = form.optional("grant_type").and_then(GrantType::parse);
        telemetry.tokens(grant_type, issued.as_ref().err().map(|error| error.code));
        issued
    };
    background.run(work).await
}
