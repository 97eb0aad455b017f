//! The tokens of a grant as a source of an [`Upstream`](portcullis_core::Upstream).

use std::{error::Error, fmt, sync::Arc};

use portcullis_core::{AuthError, Generation, GrantId, Revocation, UpstreamFuture, UpstreamSource};
use tower::ServiceExt as _;
use tower_service::Service;

use crate::{
    TokenSet,
    engine::GrantEntry,
    request::{RefreshFuture, RefreshRequest},
};

/// Asks the refresher itself.
#[derive(Clone, Debug)]
pub(crate) struct Direct(pub(crate) Arc<GrantEntry>);

impl UpstreamSource for Direct {
    fn access_token(&self, reported: Option<Generation>) -> UpstreamFuture {
        if let Some(token) = self.0.fresh_token(reported) {
            return UpstreamFuture::ready(Ok(token));
        }
        let tokens = RefreshFuture::new(Arc::clone(&self.0), reported);
        UpstreamFuture::waiting(async { Ok(tokens.await?.access_token().clone()) })
    }

    fn grant(&self) -> Option<GrantId> {
        Some(self.0.id)
    }

    fn revocation(&self) -> Option<Arc<Revocation>> {
        Some(Arc::clone(&self.0.revocation))
    }
}

/// Asks a stack of layers around the refresher, unless there is an access token that works.
pub(crate) struct Through<R> {
    pub(crate) direct: Direct,
    pub(crate) stack: R,
}

impl<R> UpstreamSource for Through<R>
where
    R: Service<RefreshRequest, Response = Arc<TokenSet>> + Clone + Send + Sync + 'static,
    R::Error: Into<Box<dyn Error + Send + Sync>>,
    R::Future: Send,
{
    fn access_token(&self, reported: Option<Generation>) -> UpstreamFuture {
        // The layers limit waiting and refreshing; a token that works needs neither.
        if self.direct.0.has_working_token(reported) {
            return self.direct.access_token(reported);
        }
        let mut request = RefreshRequest::new(self.direct.0.id);
        if let Some(generation) = reported {
            request = request.with_rejected(generation);
        }
        let stack = self.stack.clone();
        UpstreamFuture::waiting(async move {
            let tokens = stack.oneshot(request).await.map_err(|error| AuthError::recover(error.into()))?;
            Ok(tokens.access_token().clone())
        })
    }

    fn grant(&self) -> Option<GrantId> {
        self.direct.grant()
    }

    fn revocation(&self) -> Option<Arc<Revocation>> {
        self.direct.revocation()
    }
}

impl<R> fmt::Debug for Through<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Through").field("direct", &self.direct).finish_non_exhaustive()
    }
}
