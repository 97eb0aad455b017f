//! Client ID Metadata Documents: the client id is an `https` URL, and the document at that URL describes the client.
//!
//! draft-ietf-oauth-client-id-metadata-document; MCP, Client ID Metadata Documents.

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header};
use portcullis_core::UnixTime;
use portcullis_egress::{MaxBody, RequestKind};
use portcullis_remote::max_age;
use serde::{Deserialize, Serialize, de::IgnoredAny};
use url::{Host, Url};

use super::{
    Client, ClientAuthenticationMethod, ClientSource, GrantType,
    client::AuthenticationRequirement,
    metadata::{ClientMetadata, InvalidMetadata},
};

/// The maximum size of a document. draft-ietf-oauth-client-id-metadata-document, section 6.6.
const MAX_DOCUMENT_LEN: usize = 5 * 1024;

pub(super) const TOO_LARGE: &str = "client metadata document is too large";

/// The bounds of a document's lifetime, and the lifetime without `Cache-Control`.
const MIN_LIFETIME: Duration = Duration::from_mins(1);
const DEFAULT_LIFETIME: Duration = Duration::from_mins(10);
const MAX_LIFETIME: Duration = Duration::from_hours(24);

/// The maximum age of a document that cannot be fetched again.
const MAX_AGE: Duration = Duration::from_hours(24);

/// A document as it was fetched, with its times. Also the row in the store.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct FetchedDocument {
    pub(super) client: Client,
    /// In seconds since the epoch, as is `fresh_until`.
    fetched_at: u64,
    fresh_until: u64,
}

/// Why there is no document.
#[derive(Clone, Debug)]
pub(super) enum FetchError {
    /// The host answers that there is none, or returns an invalid one. For the client; the log has more.
    Rejected(Cow<'static, str>),
    /// The response is no document. It may come from a proxy in between, so it says nothing about a document that is cached.
    NotADocument(&'static str),
    /// There was no response, or one that reports a failure.
    Unavailable,
}

impl FetchedDocument {
    pub(super) const fn new(client: Client, fetched_at: UnixTime, fresh_until: UnixTime) -> Self {
        Self { client, fetched_at: fetched_at.as_secs(), fresh_until: fresh_until.as_secs() }
    }

    /// Reports whether the document may be used without another fetch.
    pub(super) fn is_fresh(&self, now: UnixTime) -> bool {
        now < UnixTime::from_secs(self.fresh_until)
    }

    /// Reports whether the document may be used if another fetch fails.
    pub(super) fn is_usable(&self, now: UnixTime) -> bool {
        now < self.expires_at()
    }

    pub(super) const fn fetched_at(&self) -> UnixTime {
        UnixTime::from_secs(self.fetched_at)
    }

    pub(super) fn expires_at(&self) -> UnixTime {
        self.fetched_at() + MAX_AGE
    }
}

/// Creates the request for the document at `url`.
pub(super) fn request(url: &ClientUrl) -> Request<Bytes> {
    let mut request = Request::new(Bytes::new());
    *request.uri_mut() = url.uri().clone();
    request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    request.extensions_mut().insert(RequestKind::new("client_document"));
    request.extensions_mut().insert(MaxBody::new(MAX_DOCUMENT_LEN));
    request
}

/// Processes the `response` to the request that was sent at `requested_at`.
///
/// # Errors
/// [`FetchError::Rejected`] if the host answers that there is no document, or returns an invalid one;
/// [`FetchError::NotADocument`] for other responses, such as bot checks and maintenance pages;
/// [`FetchError::Unavailable`] for a response that reports a failure.
pub(super) fn process(
    url: &ClientUrl,
    response: &Response<Bytes>,
    requested_at: UnixTime,
    http_hosts: &[Box<str>],
) -> Result<FetchedDocument, FetchError> {
    match response.status() {
        StatusCode::OK => {}
        status if status.is_redirection() => {
            return Err(FetchError::NotADocument("client metadata document is a redirect"));
        }
        status @ (StatusCode::NOT_FOUND | StatusCode::GONE) => {
            tracing::info!(
                client = url.as_str(),
                found = status.as_u16(),
                expected = 200,
                "client metadata document rejected"
            );
            return Err(FetchError::Rejected("client metadata document does not exist".into()));
        }
        _ => return Err(FetchError::Unavailable),
    }
    if response.body().len() > MAX_DOCUMENT_LEN {
        return Err(FetchError::NotADocument(TOO_LARGE));
    }
    if !is_json(response.headers()) {
        return Err(FetchError::NotADocument("client metadata document has a Content-Type other than JSON"));
    }
    if serde_json::from_slice::<IgnoredAny>(response.body()).is_err() {
        return Err(FetchError::NotADocument("client metadata document is not JSON"));
    }
    let members = ClientMetadata::parse(response.body());
    let members = members.map_err(|error| {
        let expected = "a JSON object with unique members";
        tracing::info!(client = url.as_str(), found = %error, expected, "client metadata document rejected");
        FetchError::Rejected("client metadata document is not a JSON object with unique members".into())
    })?;
    let invalid = |invalid: InvalidMetadata| {
        let InvalidMetadata { member, why, found, key } = &invalid;
        let (client, found) = (url.as_str(), found.as_deref());
        tracing::info!(client, member, found, expected = why, key, "client metadata document rejected");
        FetchError::Rejected(format!("client metadata document is invalid: {invalid}").into())
    };
    let client = client(url, &members, http_hosts).map_err(invalid)?;
    let lifetime = max_age(response.headers()).unwrap_or(DEFAULT_LIFETIME).clamp(MIN_LIFETIME, MAX_LIFETIME);
    Ok(FetchedDocument::new(client, requested_at, requested_at + lifetime))
}

fn client(url: &ClientUrl, members: &ClientMetadata, http_hosts: &[Box<str>]) -> Result<Client, InvalidMetadata> {
    if members.text("client_id")? != Some(url.as_str()) {
        return Err(members.invalid("client_id", "must be the URL of the document"));
    }
    let name = members.name().ok_or_else(|| members.invalid("client_name", "must be a string that is not empty"))?;
    let (authentication, authentication_requirement) = authentication(members)?;
    Ok(Client {
        id: url.as_str().into(),
        name: Some(name),
        uri: members.home_page(),
        redirect_uris: members.redirect_uris(http_hosts)?.accepted,
        grant_types: grant_types(members)?,
        authentication,
        authentication_requirement,
        source: ClientSource::Document,
        scopes: None,
        kept_until: None,
        is_used: false,
    })
}

/// Returns the supported grant types. Refresh tokens are implied by authorization codes, as in a registration.
fn grant_types(members: &ClientMetadata) -> Result<Vec<GrantType>, InvalidMetadata> {
    const MEMBER: &str = "grant_types";
    let written = members.texts(MEMBER)?.filter(|written| !written.is_empty());
    let Some(written) = written else { return Ok(GrantType::REGISTERED.to_vec()) };
    let mut known: Vec<_> = written.into_iter().filter_map(GrantType::parse).collect();
    if known.is_empty() {
        return Err(members.invalid(MEMBER, "has no supported value"));
    }
    if known.contains(&GrantType::AuthorizationCode) && !known.contains(&GrantType::RefreshToken) {
        known.push(GrantType::RefreshToken);
    }
    Ok(known)
}

/// Returns the authentication method, and whether it is required: a client that also offers `none`
/// (`token_endpoint_auth_methods_supported`) may send requests without authentication, and needs no usable keys. The document is public, so
/// a client secret is invalid.
fn authentication(
    members: &ClientMetadata,
) -> Result<(ClientAuthenticationMethod, AuthenticationRequirement), InvalidMetadata> {
    use AuthenticationRequirement::{Optional, Required};
    use ClientAuthenticationMethod::{None as Public, PrivateKeyJwt};

    for member in ["client_secret", "client_secret_expires_at"] {
        if members.has(member) {
            return Err(InvalidMetadata::new(member, "is not allowed in a document"));
        }
    }
    const MEMBER: &str = "token_endpoint_auth_method";
    let named = members.text(MEMBER)?.unwrap_or("none");
    let offered = members.texts("token_endpoint_auth_methods_supported")?.unwrap_or_default();
    let has = |method| named == method || offered.contains(&method);
    match (has("private_key_jwt"), has("none")) {
        (true, true) => Ok(match members.keys() {
            Ok(keys) => (PrivateKeyJwt(keys), Optional),
            Err(InvalidMetadata { member, why, found, .. }) => {
                let client = members.text("client_id").ok().flatten();
                tracing::info!(client, member, found, expected = why, "keys of a client metadata document ignored");
                (Public, Required)
            }
        }),
        (true, false) => Ok((PrivateKeyJwt(members.keys()?), Required)),
        (false, true) => Ok((Public, Required)),
        (false, false) => Err(members.invalid(MEMBER, "must be none or private_key_jwt")),
    }
}

/// Reports whether the content type is `application/json` or `application/*+json`.
fn is_json(headers: &HeaderMap) -> bool {
    let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// A policy that selects the accepted client metadata documents.
///
/// A host is written as in the URL, with its port if the URL has one: `claude.ai`, `localhost:8080`. It does **not** include its
/// subdomains.
///
/// ```
/// use portcullis_bridge::ClientMetadataDocumentPolicy;
///
/// // Accepts clients of two hosts. Those of one host are trusted like configured clients.
/// let policy = ClientMetadataDocumentPolicy::new().with_allowed_hosts(["claude.ai", "app.example.com"]).with_trusted_hosts(["app.example.com"]);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ClientMetadataDocumentPolicy {
    pub(crate) is_enabled: bool,
    allowed_hosts: Option<Vec<Box<str>>>,
    trusted_hosts: Vec<Box<str>>,
    pub(super) allows_loopback: bool,
}

impl ClientMetadataDocumentPolicy {
    /// Accepts the documents of every public host, and trusts no host.
    pub const fn new() -> Self {
        Self { is_enabled: true, allowed_hosts: None, trusted_hosts: Vec::new(), allows_loopback: false }
    }

    /// Rejects client ids that are URLs, except those of configured clients.
    pub const fn disabled() -> Self {
        let mut policy = Self::new();
        policy.is_enabled = false;
        policy
    }

    /// Sets the hosts whose documents are accepted. Default: every public host.
    pub fn with_allowed_hosts<'a>(mut self, hosts: impl IntoIterator<Item = &'a str>) -> Self {
        self.allowed_hosts = Some(collected(hosts));
        self
    }

    /// Sets the trusted hosts. Errors redirect to their clients without an interstitial page, as to configured clients. Trusted hosts
    /// must be allowed as well. Default: none.
    pub fn with_trusted_hosts<'a>(mut self, hosts: impl IntoIterator<Item = &'a str>) -> Self {
        self.trusted_hosts = collected(hosts);
        self
    }

    /// Accepts loopback hosts, also with `http`: for tests and demos. The [`Egress`](portcullis_egress::Egress) has to allow them as
    /// well. Default: they are rejected.
    pub const fn with_loopback_allowed(mut self) -> Self {
        self.allows_loopback = true;
        self
    }

    /// Reports whether documents of `host` are accepted.
    pub(super) fn is_host_allowed(&self, host: &str) -> bool {
        self.is_enabled
            && self.allowed_hosts.as_ref().is_none_or(|hosts| hosts.iter().any(|allowed| **allowed == *host))
    }

    /// Reports whether the operator has configured `host`, which is [allowed](Self::is_host_allowed).
    pub(super) fn is_host_configured(&self, host: &str) -> bool {
        self.allowed_hosts.is_some() || self.is_host_trusted(host)
    }

    /// Reports whether `host` is trusted.
    pub(super) fn is_host_trusted(&self, host: &str) -> bool {
        self.trusted_hosts.iter().any(|trusted| **trusted == *host)
    }
}

fn collected<'a>(hosts: impl IntoIterator<Item = &'a str>) -> Vec<Box<str>> {
    hosts.into_iter().map(|host| host.to_ascii_lowercase().into()).collect()
}

impl Default for ClientMetadataDocumentPolicy {
    fn default() -> Self {
        Self::new()
    }
}

/// The maximum length. Ids are stored and shown.
const MAX_URL_LEN: usize = 1024;

/// A client id that is the URL of a document: `https`, with a path that is not the root, in its canonical form.
///
/// It has no user name, default port, dot segments, query or fragment. So two ids never name the same document, and every parser finds
/// the same host. draft-ietf-oauth-client-id-metadata-document, section 3.
#[derive(Clone, Debug)]
pub(super) struct ClientUrl {
    text: Box<str>,
    uri: Uri,
    host: Box<str>,
}

/// Why a client id is not the URL of an accepted document. The reason is sent to the client.
#[derive(Debug)]
pub(super) struct RejectedUrl {
    pub(super) why: &'static str,
    pub(super) key: Option<&'static str>,
}

impl ClientUrl {
    /// Parses the client id `id`, and checks that `policy` allows its host.
    ///
    /// # Errors
    /// The reason, and the configuration key that decides.
    pub(super) fn parse(id: &str, policy: &ClientMetadataDocumentPolicy) -> Result<Self, RejectedUrl> {
        const NOT_CANONICAL: RejectedUrl =
            RejectedUrl { why: "client_id is not a canonical URL without query or fragment", key: None };
        let url =
            Url::parse(id).ok().filter(|url| url.as_str() == id && id.len() <= MAX_URL_LEN).ok_or(NOT_CANONICAL)?;
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err(NOT_CANONICAL);
        }
        if matches!(url.path(), "" | "/") {
            return Err(RejectedUrl { why: "client_id is a URL without a path", key: None });
        }
        let is_loopback = is_loopback(&url);
        match url.scheme() {
            "https" if policy.allows_loopback || !is_loopback => {}
            "http" if policy.allows_loopback && is_loopback => {}
            _ => {
                let key = is_loopback.then_some("egress.allow_loopback_for_clients");
                return Err(RejectedUrl { why: "client_id is not a public https URL", key });
            }
        }
        let host = host(&url).ok_or(NOT_CANONICAL)?;
        if !policy.is_host_allowed(&host) {
            let key = if policy.is_enabled { "bridge.documents.hosts" } else { "bridge.documents.enabled" };
            return Err(RejectedUrl { why: "clients of this host are not allowed", key: Some(key) });
        }
        let uri = id.parse().map_err(|_| NOT_CANONICAL)?;
        Ok(Self { text: id.into(), uri, host: host.into() })
    }

    /// Returns the URL as it was written.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) const fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Returns the host, with the port unless it is the default one.
    pub(super) fn host(&self) -> &str {
        &self.host
    }
}

fn host(url: &Url) -> Option<String> {
    let host = url.host_str()?;
    Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
