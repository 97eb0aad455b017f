//! [`Call`]: a request to an endpoint, about to be sent.

use std::{fmt, future::IntoFuture, pin::Pin};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};

use super::{answer::Answer, client_error::ClientError};
use crate::{Network, fields::Fields};

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

    pub(super) fn with_json(mut self, body: &serde_json::Value) -> Self {
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.body = Some(body.to_string().into());
        self
    }

    /// With this parameter, added or replaced.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.parameters.set(name, value);
        self
    }

    /// With this parameter once more.
    pub fn with_another(mut self, name: &str, value: &str) -> Self {
        self.parameters.add(name, value);
        self
    }

    /// Without this parameter.
    pub fn without(mut self, name: &str) -> Self {
        self.parameters.remove(name);
        self
    }

    /// With this header, added or replaced.
    ///
    /// # Panics
    /// If it is no header.
    pub fn with_header(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).expect("the value of a header");
        self.headers.insert(HeaderName::from_static(name), value);
        self
    }

    /// Without credentials: neither header, nor `client_id`, nor `client_secret`.
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
