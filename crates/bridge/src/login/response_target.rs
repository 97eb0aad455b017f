//! [`ResponseTarget`]: where an authorization response goes.

use portcullis_core::Issuer;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use url::form_urlencoded;

use crate::{RedirectUri, oauth_error::OAuthError};

/// Where an authorization response goes: the presented redirect URI and the client's `state`.
///
/// Every response has `iss` ([RFC 9207](https://www.rfc-editor.org/rfc/rfc9207)), so that a client of several authorization servers
/// does not send a code to the wrong one.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct ResponseTarget {
    pub(crate) redirect_uri: RedirectUri,
    /// The client's `state`, unchanged; omitted from the response if the request had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<Box<str>>,
}

impl ResponseTarget {
    /// Returns the URL of a response with `code`. RFC 6749 section 4.1.2.
    pub(crate) fn with_code(&self, code: &SecretString, issuer: &Issuer) -> String {
        self.with(&[("code", code.expose_secret())], issuer)
    }

    /// Returns the URL of a response with `error`. RFC 6749 section 4.1.2.1.
    pub(crate) fn with_error(&self, error: &OAuthError, issuer: &Issuer) -> String {
        self.with(&[("error", error.code.as_str()), ("error_description", &error.description)], issuer)
    }

    /// Appends `parameters` to the query. The redirect URI is not normalized.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn response(redirect_uri: &str, state: Option<&str>) -> String {
        let redirect_uri = RedirectUri::new(redirect_uri).expect("a redirect URI");
        let target = ResponseTarget { redirect_uri, state: state.map(Into::into) };
        target.with_code(&"c0de".into(), &Issuer::new("https://mcp.example.com").expect("an issuer"))
    }

    #[test]
    fn parameters_are_appended_to_the_unchanged_redirect_uri() {
        const ADDED: &str = "code=c0de&iss=https%3A%2F%2Fmcp.example.com";
        for (redirect_uri, separator) in [
            ("https://client.example.com", "?"),
            ("https://client.example.com/%7Ecb/../x", "?"),
            ("https://client.example.com/cb?a=b%20c", "&"),
            ("https://client.example.com/cb?", ""),
            ("https://client.example.com/cb?a=b&", ""),
            ("http://[::1]:1234/cb", "?"),
            ("cursor://anysphere.cursor-mcp/oauth/callback", "?"),
            ("com.example.app:/callback", "?"),
            ("com.example.app:/callback?x", "&"),
        ] {
            assert_eq!(response(redirect_uri, None), format!("{redirect_uri}{separator}{ADDED}"));
        }
    }

    #[test]
    fn state_cannot_add_parameters() {
        let url = response("https://client.example.com/cb", Some("a&code=theirs#x y"));
        assert_eq!(
            url,
            "https://client.example.com/cb?code=c0de&state=a%26code%3Dtheirs%23x+y&iss=https%3A%2F%2Fmcp.example.com"
        );
    }
}
