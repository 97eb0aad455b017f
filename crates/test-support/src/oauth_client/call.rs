//! [`Call`], [`Answer`] and [`ClientError`]: a request to an endpoint, and its outcome.

use std::{fmt, future::IntoFuture, ops::Index, pin::Pin};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};
use serde_json::Value;

use crate::{BrowserError, Network, NetworkError, fields::Fields};

/// A request to an endpoint, about to be sent: `.await` sends it. Until then everything about it can be changed.
///
/// `Debug` prints the names of its parameters only.
#[derive(Clone)]
#[must_use = "it is sent by `.await`"]
pub struct Call {
    network: Network,
    endpoint: Result<String, &'static str>,
    parameters: Fields,
    headers: HeaderMap,
    body: Option<Bytes>,
}

impl Call {
    pub(super) fn new(network: Network, endpoint: Result<String, &'static str>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        Self { network, endpoint, parameters: Fields::default(), headers, body: None }
    }

    pub(super) fn with_json(mut self, body: &Value) -> Self {
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.body = Some(body.to_string().into());
        self
    }

    /// Sets this parameter, in place of those of its name.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.parameters.set(name, value);
        self
    }

    /// Adds this parameter, also if there is one of its name.
    pub fn with_another(mut self, name: &str, value: &str) -> Self {
        self.parameters.add(name, value);
        self
    }

    /// Removes the parameters of this name.
    pub fn without(mut self, name: &str) -> Self {
        self.parameters.remove(name);
        self
    }

    /// Sets this header.
    ///
    /// # Panics
    /// If the value is not a header value.
    pub fn with_header(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).expect("the value of a header");
        self.headers.insert(HeaderName::from_static(name), value);
        self
    }

    /// Removes the credentials: neither header, nor `client_id`, nor `client_secret`.
    pub fn without_credentials(mut self) -> Self {
        self.headers.remove(AUTHORIZATION);
        self.without("client_id").without("client_secret")
    }

    /// With these bytes as its body, whatever its parameters are.
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }

    async fn send(self) -> Result<Answer, ClientError> {
        let endpoint = self.endpoint.map_err(ClientError::NoEndpoint)?;
        let form = || self.parameters.encoded().into();
        let request = Request::post(&endpoint).body(self.body.unwrap_or_else(form));
        let mut request = request.map_err(|_| ClientError::NotAUrl(endpoint))?;
        *request.headers_mut() = self.headers;
        Ok(Answer::new(self.network.send(request).await?))
    }
}

impl IntoFuture for Call {
    type Output = Result<Answer, ClientError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("endpoint", &self.endpoint)
            .field("parameters", &self.parameters)
            .finish_non_exhaustive()
    }
}

/// The response of an authorization server. `Debug` prints neither headers nor values.
///
/// `answer["access_token"]` is a member of the body, and `null` if there is none.
#[derive(Clone)]
pub struct Answer {
    response: Response<Bytes>,
    json: Value,
}

impl Answer {
    pub(super) fn new(response: Response<Bytes>) -> Self {
        let json = serde_json::from_slice(response.body()).unwrap_or_default();
        Self { response, json }
    }

    /// Returns the status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// Returns the headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// Returns the body if that is JSON, else `null`.
    #[must_use]
    pub const fn json(&self) -> &Value {
        &self.json
    }

    /// Returns the body.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        self.response.body()
    }

    /// Returns a member of the body that must be a string: a token.
    ///
    /// # Panics
    /// If there is none: with the status and the error.
    #[must_use]
    #[track_caller]
    pub fn text(&self, name: &str) -> &str {
        let text = self.json[name].as_str();
        text.ok_or_else(|| format!("no {name} in {self:?}")).expect("an answer of success")
    }

    /// Returns the access token.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    #[track_caller]
    pub fn access_token(&self) -> &str {
        self.text("access_token")
    }

    /// Returns the refresh token.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    #[track_caller]
    pub fn refresh_token(&self) -> &str {
        self.text("refresh_token")
    }

    /// Returns the member `error`, if there is one.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.json["error"].as_str()
    }
}

impl Index<&str> for Answer {
    type Output = Value;

    fn index(&self, name: &str) -> &Value {
        &self.json[name]
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status())
            .field("error", &self.error())
            .field("error_description", &self.json["error_description"].as_str())
            .field("members", &self.json.as_object().map(|members| members.keys().collect::<Vec<_>>()))
            .finish_non_exhaustive()
    }
}

/// The reason why a client does not continue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// There was no response.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The browser could not continue.
    #[error(transparent)]
    Browser(#[from] BrowserError),
    /// There is no metadata, or it names another issuer.
    #[error("no metadata of {issuer}: status {status}")]
    NoMetadata {
        /// The issuer.
        issuer: String,
        /// The status of the response.
        status: u16,
    },
    /// The metadata has no such member.
    #[error("the metadata has no {0}")]
    NoEndpoint(&'static str),
    /// The authorization response does not match the request.
    #[error("the authorization response has the wrong {0}")]
    CallbackMismatch(&'static str),
    /// The authorization response is an error.
    #[error("{error}: {description}")]
    Refused {
        /// The error.
        error: String,
        /// Its description.
        description: String,
    },
    /// This cannot be sent as a request.
    #[error("{0} is no URL to send something to")]
    NotAUrl(String),
}
