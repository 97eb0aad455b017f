//! [`Location`]: where the key set of an issuer is fetched, and the telemetry of those fetches.

use std::{error::Error as _, fmt};

use bytes::Bytes;
use http::{Response, Uri};
use metrics::{Counter, counter};
use portcullis_core::{AuthError, Issuer};
use portcullis_egress::{Egress, RequestKind};
use portcullis_oauth::{ProtocolError, jwt::KeySet};

use crate::discovery;

/// Where the key set of an issuer is.
#[derive(Clone, Debug)]
pub(crate) enum Location {
    /// At the URL in the issuer's metadata. The metadata is fetched each time, because an issuer may move its keys.
    DiscoveredFrom(Issuer),
    /// At a configured URL.
    At(Uri),
}

impl Location {
    /// Fetches the key set and returns it with the response that contained it.
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

/// For the log: without the query, which may contain an API key.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DiscoveredFrom(issuer) => issuer.fmt(f),
            Self::At(url) => url.to_string().split('?').next().unwrap_or_default().fmt(f),
        }
    }
}

/// Counters and log entries of fetches. The names are a stable interface. The metrics recorder must be installed before.
pub(crate) struct FetchTelemetry {
    success: Counter,
    failure: Counter,
}

impl FetchTelemetry {
    pub(crate) fn new() -> Self {
        let fetches = |outcome: &'static str| counter!("portcullis_key_set_fetches_total", "outcome" => outcome);
        Self { success: fetches("success"), failure: fetches("failure") }
    }

    pub(crate) fn record(&self, location: &Location, outcome: Result<&KeySet, &AuthError>) {
        match outcome {
            Ok(keys) => {
                self.success.increment(1);
                for skipped in keys.skipped() {
                    tracing::warn!(%location, index = skipped.index, problem = skipped.problem, "key of the set skipped");
                }
                tracing::debug!(%location, keys = keys.len(), "key set fetched");
            }
            Err(error) => {
                self.failure.increment(1);
                tracing::warn!(%location, reason = %error.reason(), cause = error.source(), "key set could not be fetched");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_of_a_url_is_not_logged() {
        let location = Location::At(Uri::from_static("https://idp.example.com/keys?api_key=s3cret"));
        assert_eq!(location.to_string(), "https://idp.example.com/keys");
    }
}
