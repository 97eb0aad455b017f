//! [`DpopKey`]: proofs of possession for requests to token endpoints and resources.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use portcullis_core::{BearerToken, Clock, SystemClock, UnixTime};
use portcullis_oauth::{
    dpop,
    jwt::{InvalidSigningKey, SigningKey},
};
use portcullis_store::{RecordKey, SealedStore, StoreError};
use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::collections::DPOP_KEYS;

/// A key to which tokens are bound, so that a token alone is of no use; and the nonces that servers have asked for. Clones share both.
///
/// Give one key to the [`TokenEndpoint`](crate::TokenEndpoint) that requests the tokens and to the component that presents them. A refresh
/// token of a public client is bound to the key of its login: a key that is to outlive the process is [stored](Self::stored).
///
/// The key is on P-256 (`ES256`), unless another one is imported. It never prints.
/// [RFC 9449](https://www.rfc-editor.org/rfc/rfc9449)
///
/// ```
/// use http::{HeaderMap, Method, StatusCode, Uri};
/// use portcullis_client::DpopKey;
/// use portcullis_core::BearerToken;
///
/// let key = DpopKey::generate();
/// let (url, token) = (Uri::from_static("https://mcp.example.com/mcp?a=b"), BearerToken::new("abc")?);
/// let mut headers = HeaderMap::new();
/// key.authorize(&mut headers, &Method::POST, &url, &token);
/// assert_eq!(headers["authorization"], "DPoP abc");
/// assert!(headers["dpop"].to_str()?.starts_with("eyJ"));
///
/// // Of each response, so that the next proof has the nonce of the server:
/// let mut response = HeaderMap::new();
/// response.insert("dpop-nonce", "n1".parse()?);
/// response.insert("www-authenticate", r#"DPoP error="use_dpop_nonce""#.parse()?);
/// key.note_nonce(&url, &response);
/// assert!(DpopKey::asks_for_nonce(StatusCode::UNAUTHORIZED, &response));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct DpopKey(Arc<Inner>);

struct Inner {
    key: SigningKey,
    clock: Arc<dyn Clock>,
    /// The newest nonce of each origin.
    nonces: Mutex<HashMap<Box<str>, Box<str>>>,
}

/// How many origins have a nonce. A client talks to a few; beyond this number all are forgotten, and servers ask again.
const MAX_ORIGINS: usize = 256;

impl DpopKey {
    /// Generates a key for this process.
    ///
    /// # Panics
    /// If the system has no randomness.
    #[must_use]
    pub fn generate() -> Self {
        Self::new(SigningKey::generate())
    }

    /// Imports the key in `pem`: PKCS#8, as `openssl genpkey` writes it.
    ///
    /// # Errors
    /// [`InvalidSigningKey`].
    pub fn from_pem(pem: &SecretString) -> Result<Self, InvalidSigningKey> {
        SigningKey::from_pem(pem).map(Self::new)
    }

    /// Loads the key called `name`, which is kept sealed. Generates it if there is none: all processes that share the store get the
    /// same key.
    ///
    /// # Errors
    /// [`StoreError`].
    ///
    /// # Panics
    /// If the system has no randomness.
    pub async fn stored(records: &SealedStore, name: &str) -> Result<Self, StoreError> {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let row = RecordKey::of(DPOP_KEYS, &[name.as_bytes()]);
        loop {
            if let Some(record) = records.load::<String>(row).await? {
                let unreadable = |error| StoreError::new("reading a DPoP key").with_source(error);
                let pem = SecretString::from(record.value);
                return Self::from_pem(&pem).map_err(unreadable);
            }
            let der = Zeroizing::new(STANDARD.encode(&*SigningKey::generate_pkcs8()));
            let pem = Zeroizing::new(format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", *der));
            // If another process was faster, its key is loaded.
            records.create(row, &*pem, UnixTime::MAX).await?;
        }
    }

    fn new(key: SigningKey) -> Self {
        Self(Arc::new(Inner { key, clock: Arc::new(SystemClock::new()), nonces: Mutex::default() }))
    }

    /// Sets the clock. Default: [`SystemClock`]. Set it before the key is shared.
    ///
    /// # Panics
    /// If the key has clones.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        Arc::get_mut(&mut self.0).expect("a key that is not shared yet").clock = clock;
        self
    }

    /// Returns the thumbprint of the public key (`jkt`), by which tokens name the key.
    /// [RFC 7638](https://www.rfc-editor.org/rfc/rfc7638)
    #[must_use]
    pub fn thumbprint(&self) -> &str {
        self.0.key.jwk().id()
    }

    /// Returns the value of the header `DPoP` for one request: a proof with the newest nonce of the origin of `url`. `access_token` is the
    /// token that the request presents; `None` at a token endpoint. A proof is for one request: a repeated request needs another.
    ///
    /// # Panics
    /// If the system has no randomness.
    #[must_use]
    pub fn proof(&self, method: &Method, url: &Uri, access_token: Option<&BearerToken>) -> HeaderValue {
        let nonce = self.nonces().get(&*origin(url)).cloned();
        let Inner { key, clock, .. } = &*self.0;
        dpop::proof(key, (method, url), access_token, nonce.as_deref(), &unique_id(), clock.now())
    }

    /// Adds the headers of a request that presents `token` at a resource: `Authorization` with the scheme `DPoP`, and the proof. They
    /// replace those of an earlier attempt.
    ///
    /// # Panics
    /// If the system has no randomness.
    pub fn authorize(&self, headers: &mut HeaderMap, method: &Method, url: &Uri, token: &BearerToken) {
        let text = Zeroizing::new(format!("DPoP {}", token.expose_secret()));
        let mut credentials = HeaderValue::from_str(&text).expect("a token is visible ASCII");
        credentials.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, credentials);
        headers.insert(dpop::PROOF, self.proof(method, url, Some(token)));
    }

    /// Remembers the nonce in the headers of a response from `url`, if there is one. Every response may have one, a success as well.
    pub fn note_nonce(&self, url: &Uri, headers: &HeaderMap) {
        let Some(nonce) = dpop::nonce(headers) else { return };
        let mut nonces = self.nonces();
        if nonces.len() >= MAX_ORIGINS {
            nonces.clear();
        }
        nonces.insert(origin(url), nonce.into());
    }

    /// Reports whether a resource has refused the request because its proof lacks the nonce in this response: the token is not refused. Send
    /// the request once more, with a new proof.
    #[must_use]
    pub fn asks_for_nonce(status: StatusCode, headers: &HeaderMap) -> bool {
        dpop::resource_asks_for_nonce(status, headers)
    }

    fn nonces(&self) -> MutexGuard<'_, HashMap<Box<str>, Box<str>>> {
        self.0.nonces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns a text that was never used before, for the claim `jti` of a proof or an assertion.
pub(crate) fn unique_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// Returns scheme, host and port.
fn origin(url: &Uri) -> Box<str> {
    let (scheme, authority) = (url.scheme_str().unwrap_or_default(), url.authority().map_or("", |host| host.as_str()));
    format!("{scheme}://{authority}").to_ascii_lowercase().into()
}

/// Prints the thumbprint.
impl fmt::Debug for DpopKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DpopKey").field("thumbprint", &self.thumbprint()).finish_non_exhaustive()
    }
}
