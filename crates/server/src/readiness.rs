//! [`Readiness`]: whether users could get in.

use std::sync::Arc;

use futures_util::future::join_all;
use portcullis::{Issuer, verify::RemoteKeySet};

use crate::{bridge::OpenStore, late::LateRoutes};

/// Whether users could get in.
#[derive(Clone, Debug)]
pub(crate) enum Readiness {
    /// If the keys of every issuer are at hand.
    Keys(Arc<[(Issuer, RemoteKeySet)]>),
    /// If the provider has said where its endpoints are, and the store answers.
    Bridge(LateRoutes, OpenStore),
}

impl Readiness {
    /// What users wait for, a line each, after one more try to get it.
    pub(crate) async fn waiting(&self) -> Vec<String> {
        match self {
            Self::Keys(key_sets) => {
                let tries = key_sets.iter().map(async |(issuer, keys)| keys.prefetch().await.err().map(|_| issuer));
                let waiting = join_all(tries).await.into_iter().flatten();
                waiting.map(|issuer| format!("no keys of {issuer}")).collect()
            }
            Self::Bridge(routes, store) => {
                let provider = (!routes.are_known()).then(|| "no metadata of the provider".to_owned());
                let store = store.check().await.err().map(|error| error.to_string());
                provider.into_iter().chain(store).collect()
            }
        }
    }
}
