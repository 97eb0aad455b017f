//! [`ResponseTarget`]: where the answer to an authorization request goes.

use portcullis_core::Issuer;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use url::form_urlencoded;

use crate::{RedirectUri, oauth_error::OAuthError};

/// Where the answer to an authorization request goes: a redirect URI of the client, as it was presented, and what it is to get back.
///
/// Every answer names its issuer ([RFC 9207](https://www.rfc-editor.org/rfc/rfc9207)), so that a client that knows several
/// authorization servers takes no code of one to another.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct ResponseTarget {
    pub(crate) redirect_uri: RedirectUri,
    /// As the client sent it; if it sent none, it gets none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<Box<str>>,
}

impl ResponseTarget {
    /// The URL that takes `code` there. RFC 6749 section 4.1.2.
    pub(crate) fn with_code(&self, code: &SecretString, issuer: &Issuer) -> String {
        self.with(&[("code", code.expose_secret())], issuer)
    }

    /// The URL that tells of `error` there. RFC 6749 section 4.1.2.1.
    pub(crate) fn with_error(&self, error: &OAuthError, issuer: &Issuer) -> String {
        self.with(&[("error", error.code.as_str()), ("error_description", &error.description)], issuer)
    }

    /// The redirect URI stays as it is, byte for byte: what is added is added to its query.
    fn with(&self, parameters: &[(&str, &str)], issuer: &Issuer) -> String {
        let mut url = self.redirect_uri.as_str().to_owned();
        match url.find('?') {
            None => url.push('?'),
            Some(_) if url.ends_with(['?', '&']) => {}
            Some(_) => url.push('&'),
        }
        let query_start = url.len();
        let mut query = form_urlencoded::Serializer::for_suffix(url, query_start);
        query.extend_pairs(parameters);
        if let Some(state) = &self.state {
            query.append_pair("state", state);
        }
        query.append_pair("iss", issuer.as_str());
        query.finish()
    }
}
