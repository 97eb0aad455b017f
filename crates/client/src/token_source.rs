//! [`TokenSource`]: tokens that another party issues to this program, read each time that one is needed.

use std::{
    fmt,
    fs::File,
    future::Future,
    io::{self, Read as _},
    path::PathBuf,
    pin::Pin,
    sync::Arc,
};

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, Uri, header};
use portcullis_core::{AuthError, Reason};
use portcullis_egress::{Egress, RequestKind};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use tower::ServiceExt as _;
use zeroize::Zeroizing;

use crate::GrantError;

type TokenFuture = Pin<Box<dyn Future<Output = Result<SecretString, GrantError>> + Send>>;

/// A source of tokens that another party issues to this program: the platform that runs a workload, or the session of a user. Nothing is
/// kept: the token is read again each time, because its owner replaces it.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use portcullis_client::TokenSource;
///
/// let kubernetes = TokenSource::file("/var/run/secrets/tokens/mcp");
/// let session = TokenSource::from_fn(|| async { Ok("the user's ID token".into()) });
/// assert_eq!(format!("{kubernetes:?}"), r#"TokenSource(file "/var/run/secrets/tokens/mcp")"#);
/// # drop(session);
/// # });
/// ```
#[derive(Clone)]
pub struct TokenSource {
    name: Arc<str>,
    read: Arc<dyn Fn() -> TokenFuture + Send + Sync>,
}

/// Where the token is in the response of a [URL](TokenSource::url).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TokenPlace {
    /// The whole body, as at Google Cloud's metadata server.
    Body,
    /// This member of a JSON object: `value` for GitHub Actions, `access_token` for Azure.
    Member(&'static str),
}

/// The largest token, in bytes.
const MAX_LEN: u64 = 64 * 1024;

impl TokenSource {
    /// Creates a source that calls `read` for each token.
    ///
    /// If there is no token because the user has to log in, its error is [`GrantError::refused`]; if there is none at present,
    /// [`GrantError::not_sent`].
    pub fn from_fn<F, T>(read: F) -> Self
    where
        F: Fn() -> T + Send + Sync + 'static,
        T: Future<Output = Result<SecretString, GrantError>> + Send + 'static,
    {
        Self::named("function", move || Box::pin(read()))
    }

    /// Creates a source that reads a file: a projected service account token of Kubernetes, or what a sidecar writes.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self::named(&format!("file {path:?}"), move || {
            let path = path.clone();
            Box::pin(async move {
                let read = tokio::task::spawn_blocking(move || read_file(&path)).await;
                read.unwrap_or_else(|panicked| Err(io::Error::other(panicked))).map_err(unavailable)
            })
        })
    }

    /// Creates a source that sends `request` by `egress`, which may have headers that authorize it: a metadata server.
    ///
    /// The addresses of metadata servers are not public: allow the network (`169.254.169.254/32`), and plain `http` for that host, in the
    /// configuration of the egress.
    #[must_use]
    pub fn url(egress: Egress, request: Request<()>, place: TokenPlace) -> Self {
        let request = request.map(|()| Bytes::new());
        Self::named(&format!("url {:?}", request.uri().host().unwrap_or_default()), move || {
            let (egress, mut request) = (egress.clone(), request.clone());
            request.extensions_mut().insert(RequestKind::new("workload_token"));
            Box::pin(async move {
                let response = egress.oneshot(request).await.map_err(|error| GrantError::not_sent(error.into()))?;
                if response.status() != StatusCode::OK {
                    return Err(unavailable(format!("the source of the token answers {}", response.status())));
                }
                token_in(response.body(), place)
            })
        })
    }

    /// Creates a source for a job of GitHub Actions: an ID token for `audience`. `url` and `request_token` are what the job finds in
    /// `ACTIONS_ID_TOKEN_REQUEST_URL` and `ACTIONS_ID_TOKEN_REQUEST_TOKEN`.
    ///
    /// # Errors
    /// [`http::Error`] if they are not a URL and a token.
    pub fn github_actions(
        egress: Egress,
        url: &str,
        request_token: &SecretString,
        audience: &str,
    ) -> Result<Self, http::Error> {
        let audience = url::form_urlencoded::byte_serialize(audience.as_bytes()).collect::<String>();
        let separator = if url.contains('?') { '&' } else { '?' };
        let url: Uri = format!("{url}{separator}audience={audience}").parse()?;
        let credentials = Zeroizing::new(format!("Bearer {}", request_token.expose_secret()));
        let mut credentials = HeaderValue::from_str(&credentials)?;
        credentials.set_sensitive(true);
        let request = Request::get(url).header(header::AUTHORIZATION, credentials).body(())?;
        Ok(Self::url(egress, request, TokenPlace::Member("value")))
    }

    fn named(name: &str, read: impl Fn() -> TokenFuture + Send + Sync + 'static) -> Self {
        Self { name: name.into(), read: Arc::new(read) }
    }

    /// Reads a token.
    pub(crate) async fn token(&self) -> Result<SecretString, GrantError> {
        (self.read)().await
    }
}

fn read_file(path: &PathBuf) -> io::Result<SecretString> {
    let mut text = Zeroizing::new(String::new());
    File::open(path)?.take(MAX_LEN).read_to_string(&mut text)?;
    match text.trim() {
        "" => Err(io::Error::other("the file is empty")),
        token => Ok(token.into()),
    }
}

fn token_in(body: &[u8], place: TokenPlace) -> Result<SecretString, GrantError> {
    let text = std::str::from_utf8(body).map_err(unavailable)?;
    let token = match place {
        TokenPlace::Body => text.trim().to_owned(),
        TokenPlace::Member(name) => {
            // The message of serde is dropped: it may quote what was read.
            let members: Value = serde_json::from_str(text).map_err(|_| unavailable("the response is not JSON"))?;
            members.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
        }
    };
    if token.is_empty() { Err(unavailable("the response has no token")) } else { Ok(token.into()) }
}

/// Nothing was presented: the source has no token at present.
fn unavailable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> GrantError {
    GrantError::not_sent(AuthError::new(Reason::ProviderUnavailable).with_source(source))
}

/// Prints where the tokens come from.
impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenSource({})", self.name)
    }
}
