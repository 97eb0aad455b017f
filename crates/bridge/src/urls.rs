//! [`Urls`]: the URLs of the endpoints.

use std::collections::BTreeSet;

use portcullis_core::Issuer;

/// The URLs of the endpoints, which are below the issuer. The `Host` of a request does not matter.
#[derive(Clone, Debug)]
pub(crate) struct Urls {
    base: String,
    path: String,
}

pub(crate) const AUTHORIZE: &str = "/authorize";
pub(crate) const CONSENT: &str = "/consent";
pub(crate) const CALLBACK: &str = "/callback";
pub(crate) const TOKEN: &str = "/token";
pub(crate) const REGISTER: &str = "/register";
pub(crate) const REVOKE: &str = "/revoke";
pub(crate) const INTROSPECT: &str = "/introspect";
pub(crate) const JWKS: &str = "/jwks";

impl Urls {
    pub(crate) fn new(issuer: &Issuer) -> Self {
        let base = issuer.as_str().trim_end_matches('/');
        let authority = base.find("://").map_or(0, |at| at + 3);
        let path = base[authority..].find('/').map_or("", |at| &base[authority + at..]);
        Self { base: base.to_owned(), path: path.to_owned() }
    }

    /// Returns the URL of `endpoint`.
    pub(crate) fn url(&self, endpoint: &str) -> String {
        format!("{}{endpoint}", self.base)
    }

    /// Returns the path of `endpoint`, for a router.
    pub(crate) fn path(&self, endpoint: &str) -> String {
        format!("{}{endpoint}", self.path)
    }

    /// Returns the path of the metadata. RFC 8414 section 3.1.
    pub(crate) fn metadata(&self) -> String {
        format!("/.well-known/oauth-authorization-server{}", self.path)
    }

    /// Returns the paths of OpenID Connect Discovery. MCP, Authorization Server Discovery.
    pub(crate) fn openid_metadata(&self) -> BTreeSet<String> {
        let Self { path, .. } = self;
        BTreeSet::from([
            format!("/.well-known/openid-configuration{path}"),
            format!("{path}/.well-known/openid-configuration"),
        ])
    }

    /// Returns scheme, host and port.
    pub(crate) fn origin(&self) -> &str {
        &self.base[..self.base.len() - self.path.len()]
    }

    /// Reports whether the issuer is `https`; else it is `http` on loopback.
    pub(crate) fn is_https(&self) -> bool {
        self.base.starts_with("https:")
    }
}
