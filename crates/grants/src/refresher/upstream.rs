//! The tokens of a grant, as a handler sees them.

use std::{error::Error, fmt, sync::Arc};

use portcullis_core::{AuthError, Generation, GrantId, Revocation, UpstreamFuture, UpstreamSource};
use tower::ServiceExt as _;
use tower_service::Service;

use super::{RefreshFuture, RefreshRequest};
use crate::{
    TokenSet,
    engine::{Cell, Hangar},
};

/// Straight from the refresher.
#[derive(Clone, Debug)]
pub(super) struct Direct {
    pub(super) hangar: Arc<Hangar>,
    pub(super) cell: Arc<Cell>,
}

impl UpstreamSource for Direct {
    fn access_token(&self, refused: Option<Generation>) -> UpstreamFuture {
        if let Some(token) = self.hangar.peek(&self.cell, refused) {
            return UpstreamFuture::ready(Ok(token));
        }
        let tokens = RefreshFuture::ask(Arc::clone(&self.hangar), Arc::clone(&self.cell), refused);
        UpstreamFuture::waiting(async { Ok(tokens.await?.access_token().clone()) })
    }

    fn grant(&self) -> Option<GrantId> {
        Some(self.cell.id)
    }

    fn revocation(&self) -> Option<Arc<Revocation>> {
        Some(Arc::clone(&self.cell.end))
    }
}

/// Through a stack of layers, unless the token is at hand.
pub(super) struct Through<R> {
    pub(super) direct: Direct,
    pub(super) stack: R,
}

impl<R> UpstreamSource for Through<R>
where
    R: Service<RefreshRequest, Response = Arc<TokenSet>> + Clone + Send + Sync + 'static,
    R::Error: Into<Box<dyn Error + Send + Sync>>,
    R::Future: Send,
{
    fn access_token(&self, refused: Option<Generation>) -> UpstreamFuture {
        // A token that works needs nobody's permission.
        if self.direct.hangar.works(&self.direct.cell, refused) {
            return self.direct.access_token(refused);
        }
        let mut request = RefreshRequest::new(self.direct.cell.id);
        if let Some(generation) = refused {
            request = request.with_refused(generation);
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
        f.debug_struct("Through").field("cell", &self.direct.cell).finish_non_exhaustive()
    }
}
