//! [`TokenCheck`]: asks GitHub whether a token was issued to our app.

use std::sync::Arc;

use http::Uri;
use portcullis_core::{AuthError, BearerToken, Clock, Issuer};
use portcullis_egress::{Egress, RequestKind};
use portcullis_oauth::{Claims, ClientAuthentication, Verified, token_check};

use crate::provider::Line;

/// Asks GitHub whether a token was issued to our app.
///
/// `POST /applications/{client_id}/token`, authenticated by the app's own id and secret: a token of another app is
/// unknown there. [GitHub, Check a token](https://docs.github.com/en/rest/apps/oauth-applications#check-a-token)
#[derive(Clone, Debug)]
pub struct TokenCheck {
    issuer: Issuer,
    endpoint: Uri,
    client: Arc<ClientAuthentication>,
    line: Line,
}

impl TokenCheck {
    /// Asks at `endpoint`, such as `https://api.github.com/applications/{client_id}/token`, as the app `client`.
    #[must_use]
    pub fn new(
        issuer: Issuer,
        endpoint: Uri,
        client: ClientAuthentication,
        egress: Egress,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let line = Line::new(egress, clock, RequestKind::new("token_check"));
        Self { issuer, endpoint, client: Arc::new(client), line }
    }

    pub(crate) const fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    pub(crate) async fn check(&self, token: &BearerToken) -> Result<Verified<Claims>, AuthError> {
        let request = token_check::request(&self.endpoint, &self.client, token);
        self.line.send(token, request, |response| token_check::process(&self.issuer, &self.client, response)).await
    }
}
