//! [`Discovery`]: from the URL of an MCP server to its authorization server, and the metadata of both.

use std::{error::Error as _, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, Uri};
use portcullis_core::{AuthError, Challenge, Issuer, Reason, ResourceUri};
use portcullis_egress::{Egress, RequestKind};
use portcullis_oauth::{
    ProtocolError,
    metadata::{self, AuthorizationServerMetadata},
    protected_resource::{self, ProtectedResourceMetadata},
};
use portcullis_remote::{discover_for_client, max_age};
use tower::ServiceExt as _;
use url::Url;

use crate::metadata_cache::{Freshness, MetadataCache};

/// The metadata of protected resources and of authorization servers, cached. Clones share the cache.
///
/// 1. Each document is fetched by one task for all callers, and used for the lifetime that its `Cache-Control` states: at most 24 h, and 1 h
///    if it states none. While it cannot be fetched again, the last one remains in use.
/// 2. The metadata of a resource is used only for the URLs that it describes: its `resource` equals the URL, or is a parent of it.
/// 3. The metadata of an authorization server is used only if its `issuer` is the one asked for, byte for byte.
/// 4. Every request goes through the [`Egress`], which blocks private networks and follows no redirects.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use portcullis_client::{Discovery, ResourceUri};
/// use portcullis_egress::{Egress, EgressConfig};
///
/// let discovery = Discovery::new(Egress::new(EgressConfig::new())?);
/// let metadata_service = ResourceUri::new("https://169.254.169.254/latest")?;
/// assert!(discovery.resource(&metadata_service, None).await.is_err(), "not a public address");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Discovery(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    egress: Egress,
    resources: MetadataCache<Option<Described>>,
    servers: MetadataCache<AuthorizationServerMetadata>,
}

/// The metadata of a resource, and the URL that it has been fetched from.
#[derive(Debug)]
struct Described {
    metadata: ProtectedResourceMetadata,
    location: Uri,
}

/// Why metadata that was fetched is not used.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoveryError {
    /// The metadata describes another resource than the one in use
    /// ([RFC 9728 section 3.3](https://www.rfc-editor.org/rfc/rfc9728#section-3.3)).
    #[error(
        "the metadata of the resource describes {found:?}, which is neither the URL in use, {url:?}, nor a parent of it: use the URL that the metadata names, or correct `resource` there"
    )]
    OtherResource {
        /// The URL in use.
        url: String,
        /// The resource in the metadata.
        found: String,
    },
    /// The parameter `resource_metadata` of a challenge is not an absolute URL, and there is no metadata at the well-known URLs.
    #[error(
        "the challenge of the resource names its metadata (resource_metadata) at {0:?}, which is not an absolute URL, and there is none at the well-known URLs"
    )]
    InvalidLocation(String),
    /// The metadata cannot be fetched where the challenge says, and there is none at the well-known URLs.
    #[error(
        "the challenge of the resource names its metadata (resource_metadata) at {location:?}, which cannot be fetched, and there is none at the well-known URLs: {error}"
    )]
    Unfetched {
        /// The URL in the challenge.
        location: String,
        /// Why it cannot be fetched.
        #[source]
        error: AuthError,
    },
}

impl Discovery {
    /// Creates an empty cache. Requests are sent by `egress`.
    #[must_use]
    pub fn new(egress: Egress) -> Self {
        Self(Arc::new(Inner { egress, resources: MetadataCache::new(), servers: MetadataCache::new() }))
    }

    /// Returns the metadata of the resource at `url`; `None` if it publishes none, as servers of the revision 2025-03-26 of MCP.
    ///
    /// The metadata is at the URL that the `challenge` names, else at the well-known location with the path of `url` inserted, else at
    /// that of the origin. With a challenge it is always fetched again: the authorization server may have changed. The well-known locations
    /// are asked as well if there is nothing at the URL of the challenge, if it cannot be fetched, or if the egress does not allow it.
    ///
    /// # Errors
    /// An error of [`Reason::ClientRefused`], with a [`DiscoveryError`] as its source, if the metadata describes another resource; others if
    /// it cannot be fetched or is invalid. A URL in the challenge that cannot be fetched is an error if there is no metadata elsewhere: the
    /// resource says that it has some.
    pub async fn resource(
        &self,
        url: &ResourceUri,
        challenge: Option<&Challenge>,
    ) -> Result<Option<ProtectedResourceMetadata>, AuthError> {
        let hint = challenge.and_then(|challenge| challenge.param("resource_metadata")).map(Hint::new);
        let freshness = if challenge.is_some() { Freshness::Revalidated } else { Freshness::Cached };
        let (egress, own_url) = (self.0.egress.clone(), url.clone());
        let fetch = move |known: Option<Arc<Option<Described>>>| async move {
            let known = known.as_deref().and_then(Option::as_ref);
            let hint = hint.or_else(|| known.map(|described| Hint::At(described.location.clone())));
            match fetch_resource(&egress, &own_url, hint).await? {
                // A resource that has published metadata does not become one without because of a 404.
                (None, _) if known.is_some() => Err(absent()),
                found => Ok(found),
            }
        };
        let found = self.0.resources.get(url.as_str(), freshness, fetch).await?;
        Ok(found.as_ref().as_ref().map(|described| described.metadata.clone()))
    }

    /// Returns the metadata of the authorization server `issuer`.
    ///
    /// # Errors
    /// If it cannot be fetched, is invalid or of another issuer.
    pub async fn server(&self, issuer: &Issuer) -> Result<Arc<AuthorizationServerMetadata>, AuthError> {
        self.fetch_server(issuer, Defaults::Unknown).await
    }

    /// Returns the metadata of the authorization server `issuer` of `resource`. If the issuer is the origin of the resource and publishes no
    /// metadata, it has the default endpoints of the revision 2025-03-26 of MCP.
    ///
    /// # Errors
    /// As [`server`](Self::server).
    pub async fn server_of(
        &self,
        issuer: &Issuer,
        resource: &ResourceUri,
    ) -> Result<Arc<AuthorizationServerMetadata>, AuthError> {
        let is_own = issuer.as_str() == resource.origin();
        self.fetch_server(issuer, if is_own { Defaults::AtOrigin } else { Defaults::Unknown }).await
    }

    /// Lets the next caller fetch the metadata of `issuer` again: after `invalid_client`, or if an endpoint is not where it was.
    pub fn invalidate_server(&self, issuer: &Issuer) {
        self.0.servers.invalidate(issuer.as_str());
    }

    async fn fetch_server(
        &self,
        issuer: &Issuer,
        defaults: Defaults,
    ) -> Result<Arc<AuthorizationServerMetadata>, AuthError> {
        let (egress, own_issuer) = (self.0.egress.clone(), issuer.clone());
        let fetch = move |known: Option<Arc<AuthorizationServerMetadata>>| async move {
            let error = match discover_for_client(&egress, &own_issuer).await {
                Err(error) if defaults == Defaults::AtOrigin && is_absent(&error) => error,
                found => return found,
            };
            let assumed = AuthorizationServerMetadata::with_default_endpoints(&own_issuer)?;
            // A server that has published another token endpoint does not become one without metadata because of a 404.
            let is_same = known.is_none_or(|known| known.token_endpoint() == assumed.token_endpoint());
            if is_same { Ok((assumed, None)) } else { Err(error) }
        };
        self.0.servers.get(issuer.as_str(), Freshness::Cached, fetch).await
    }
}

/// Whether an authorization server without metadata has endpoints at known places.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Defaults {
    Unknown,
    AtOrigin,
}

/// Where the metadata of a resource is said to be.
enum Hint {
    At(Uri),
    /// Not an absolute URL.
    Invalid(String),
}

impl Hint {
    fn new(text: &str) -> Self {
        let url = text.parse::<Uri>().ok().filter(|url| url.scheme().is_some() && url.host().is_some());
        url.map_or_else(|| Self::Invalid(text.to_owned()), Self::At)
    }
}

type Fetched = (Option<Described>, Option<Duration>);

/// Fetches the metadata of the resource at `url`: from `hint`, else from the well-known locations.
async fn fetch_resource(egress: &Egress, url: &ResourceUri, hint: Option<Hint>) -> Result<Fetched, AuthError> {
    let (hinted, mut problem) = match hint {
        None => (None, None),
        Some(Hint::Invalid(text)) => {
            let error = DiscoveryError::InvalidLocation(text);
            (None, Some(AuthError::new(Reason::ClientRefused).with_source(error)))
        }
        Some(Hint::At(location)) => match fetch_at(egress, url, &location).await {
            Ok(None) => (Some(location), None),
            Ok(Some(found)) => return Ok(found),
            // It was fetched, and must not be used.
            Err(Failure::Unusable(error)) => return Err(error),
            Err(Failure::Unfetched(error)) => {
                let (reason, retry_after) = (error.reason(), error.retry_after());
                let error = DiscoveryError::Unfetched { location: location.to_string(), error };
                let error = AuthError::new(reason).with_source(error);
                (Some(location), Some(retry_after.into_iter().fold(error, AuthError::with_retry_after)))
            }
        },
    };
    let paths = protected_resource::well_known_paths(url);
    let well_known = paths.iter().filter_map(|path| format!("{}{path}", url.origin()).parse::<Uri>().ok());
    for location in well_known.filter(|location| hinted.as_ref() != Some(location)) {
        match fetch_at(egress, url, &location).await {
            Ok(None) => {}
            Ok(Some(found)) => return Ok(found),
            Err(Failure::Unusable(error)) => return Err(error),
            // A page for everything, such as that of a login, is at other locations than the document.
            Err(Failure::Unfetched(error)) if is_unexpected(&error) => {
                problem.get_or_insert(error);
            }
            Err(Failure::Unfetched(error)) => return Err(problem.unwrap_or(error)),
        }
    }
    problem.map_or(Ok((None, None)), Err)
}

/// Why there is no metadata at a location.
enum Failure {
    /// The location cannot be reached, or answers neither with a document nor that there is none.
    Unfetched(AuthError),
    /// The document must not be used.
    Unusable(AuthError),
}

/// Fetches the metadata of the resource at `url` from `location`; `None` if there is no document.
async fn fetch_at(egress: &Egress, url: &ResourceUri, location: &Uri) -> Result<Option<Fetched>, Failure> {
    let response = send(egress, metadata::request(location)).await.map_err(Failure::Unfetched)?;
    match protected_resource::process(&response) {
        Ok(metadata) if describes(metadata.resource(), url) => {
            let described = Described { metadata, location: location.clone() };
            Ok(Some((Some(described), max_age(response.headers()))))
        }
        Ok(metadata) => {
            let (url, found) = (url.to_string(), metadata.resource().to_string());
            let error = DiscoveryError::OtherResource { url, found };
            Err(Failure::Unusable(AuthError::new(Reason::ClientRefused).with_source(error)))
        }
        Err(error) if is_no_document(&error) => Ok(None),
        Err(error @ ProtocolError::InvalidMember(_)) => Err(Failure::Unusable(error.into())),
        Err(error) => Err(Failure::Unfetched(error.into())),
    }
}

async fn send(egress: &Egress, mut request: Request<Bytes>) -> Result<Response<Bytes>, AuthError> {
    request.extensions_mut().insert(RequestKind::new("resource_metadata"));
    Ok(egress.clone().oneshot(request).await?)
}

/// Reports whether there is no document at a location: it answers 4xx, or with a page.
fn is_no_document(error: &ProtocolError) -> bool {
    match error {
        ProtocolError::UnexpectedStatus(status) => status.is_client_error(),
        ProtocolError::NotJson { .. } => true,
        _ => false,
    }
}

/// Reports whether a location answers with a status that is neither an outage nor the absence of a document, such as a redirect.
fn is_unexpected(error: &AuthError) -> bool {
    let protocol = error.source().and_then(|source| source.downcast_ref());
    matches!(protocol, Some(ProtocolError::UnexpectedStatus(_)))
}

/// Reports whether an issuer has no metadata at all, in contrast to metadata that cannot be fetched or used.
fn is_absent(error: &AuthError) -> bool {
    error.source().and_then(|source| source.downcast_ref()).is_some_and(is_no_document)
}

fn absent() -> AuthError {
    ProtocolError::UnexpectedStatus(http::StatusCode::NOT_FOUND).into()
}

/// Reports whether `resource` is `url` or a parent of it: the same origin, and a path that is the beginning of the other one, up to a slash.
fn describes(resource: &ResourceUri, url: &ResourceUri) -> bool {
    let (Ok(resource), Ok(url)) = (Url::parse(resource.as_str()), Url::parse(url.as_str())) else { return false };
    let parent = resource.path().trim_end_matches('/');
    let is_below = url.path().strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let has_query = resource.query().is_none() || resource.query() == url.query();
    resource.origin() == url.origin() && is_below && has_query
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_described_by_its_own_name_and_by_that_of_a_parent() {
        let is_described = |resource: &str, url: &str| {
            describes(&ResourceUri::new(resource).expect(resource), &ResourceUri::new(url).expect(url))
        };
        for resource in [
            "https://a.example/x/mcp",
            "https://A.example:443/x/mcp/",
            "https://a.example/x",
            "https://a.example/",
            "https://a.example",
        ] {
            assert!(is_described(resource, "https://a.example/x/mcp"), "{resource}");
        }
        for resource in [
            "https://a.example/x/m",
            "https://a.example/x/mcp/more",
            "https://a.example/X/mcp",
            "https://a.example:8443/x/mcp",
            "https://a.example.evil.example/x/mcp",
            "https://b.example/x/mcp",
            "https://a.example/x/mcp?tenant=1",
        ] {
            assert!(!is_described(resource, "https://a.example/x/mcp"), "{resource}");
        }
        assert!(is_described("https://a.example/x?tenant=1", "https://a.example/x?tenant=1"));
    }
}
