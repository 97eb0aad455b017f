//! [`Location`]: where the keys of an issuer are.

use std::fmt;

use bytes::Bytes;
use http::{Response, Uri};
use portcullis_core::{AuthError, Issuer};
use portcullis_egress::{Egress, RequestKind};
use portcullis_oauth::{ProtocolError, jwt::KeySet};

use crate::discovery;

/// Where the keys of an issuer are.
#[derive(Clone, Debug)]
pub(crate) enum Location {
    /// Where its metadata says. It is asked every time: an issuer may move its keys.
    DiscoveredFrom(Issuer),
    /// Where the operator says.
    At(Uri),
}

impl Location {
    /// Fetches the keys, and the response they came in.
    pub(crate) async fn fetch(&self, egress: &Egress) -> Result<(KeySet, Response<Bytes>), AuthError> {
        let url = match self {
            Self::At(url) => url.clone(),
            Self::DiscoveredFrom(issuer) => {
                let metadata = discovery::discover(egress, issuer).await?;
                metadata.jwks_uri().cloned().ok_or(ProtocolError::InvalidMember("jwks_uri"))?
            }
        };
        let response = discovery::send(egress, KeySet::request(&url), RequestKind::new("key_set")).await?;
        Ok((KeySet::process(&response)?, response))
    }
}

/// For the log: without the query, in which there may be a key to an API.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DiscoveredFrom(issuer) => issuer.fmt(f),
            Self::At(url) => url.to_string().split('?').next().unwrap_or_default().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_query_is_logged() {
        let location = Location::At(Uri::from_static("https://idp.example.com/keys?api_key=s3cret"));
        assert_eq!(location.to_string(), "https://idp.example.com/keys");
    }
}
