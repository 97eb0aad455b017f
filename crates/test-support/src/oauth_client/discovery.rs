//! How a client learns where the endpoints are.

use bytes::Bytes;
use http::Request;
use serde_json::Value;
use url::Url;

use super::{answer::Answer, client_error::ClientError};
use crate::Network;

/// The metadata of `issuer`, from where [RFC 8414 section 3](https://www.rfc-editor.org/rfc/rfc8414#section-3) says, else from
/// where OpenID Connect Discovery does.
pub(super) async fn metadata(network: &Network, issuer: &str) -> Result<Value, ClientError> {
    let url = Url::parse(issuer).map_err(|_| ClientError::NotAUrl(issuer.to_owned()))?;
    let path = url.path().trim_end_matches('/');
    let by_rfc_8414 = format!("{}/.well-known/oauth-authorization-server{path}", url.origin().ascii_serialization());
    let by_openid = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let mut status = 0;
    for url in [by_rfc_8414, by_openid] {
        let request = Request::get(&url).header("accept", "application/json").body(Bytes::new());
        let answer = Answer::new(network.send(request.map_err(|_| ClientError::NotAUrl(url))?).await?);
        if answer["issuer"] == issuer {
            return Ok(answer.json().clone());
        }
        status = answer.status().as_u16();
    }
    Err(ClientError::NoMetadata { issuer: issuer.to_owned(), status })
}
