//! [`UserInfoEndpoint`]: where a provider says who the user of a token is.

use std::sync::Arc;

use http::Uri;
use portcullis_core::{AuthError, BearerToken, Clock, Issuer};
use portcullis_egress::{Egress, Purpose};
use portcullis_oauth::user_info::{self, UserInfo, UserInfoFormat};

use crate::provider::{Endpoint, Line, Wanted};

/// Where a provider says who the user of a token is.
///
/// It says *who*, never *for whom*: to get in, a token needs an [`AudienceCheck`](crate::AudienceCheck) or a verifier of its
/// own as well.
#[derive(Clone, Debug)]
pub struct UserInfoEndpoint {
    issuer: Issuer,
    endpoint: Endpoint,
    line: Line,
    format: UserInfoFormat,
}

impl UserInfoEndpoint {
    /// The UserInfo endpoint of `issuer`, found in its metadata.
    #[must_use]
    pub fn new(issuer: Issuer, egress: Egress, clock: Arc<dyn Clock>) -> Self {
        Self {
            endpoint: Endpoint::discovered(issuer.clone(), Wanted::UserInfo, egress.clone()),
            issuer,
            line: Line::new(egress, clock, Purpose::new("userinfo")),
            format: UserInfoFormat::default(),
        }
    }

    /// Asks at `url` instead of looking it up.
    #[must_use]
    pub fn with_url(mut self, url: Uri) -> Self {
        self.endpoint = Endpoint::Given(url);
        self
    }

    /// How the provider writes about a user. Default: [`UserInfoFormat::OpenIdConnect`].
    #[must_use]
    pub const fn with_format(mut self, format: UserInfoFormat) -> Self {
        self.format = format;
        self
    }

    /// Whose users.
    #[must_use]
    pub const fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    pub(crate) async fn fetch(&self, token: &BearerToken) -> Result<UserInfo, AuthError> {
        let url = self.endpoint.url().await?;
        let format = self.format;
        self.line.send(user_info::request(&url, token), |response| user_info::process(response, format)).await
    }
}
