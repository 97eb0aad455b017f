//! [`SessionUpstream`]: sessions without a grant at the provider.

use std::sync::Arc;

use portcullis_core::{AuthError, Generation, Reason, Revocation, Upstream, UpstreamFuture, UpstreamSource};

/// The way to the provider of a session that has none: nothing to ask for, but it ends as others do.
#[derive(Debug)]
pub(crate) struct SessionUpstream(Option<Arc<Revocation>>);

impl SessionUpstream {
    /// As if `grant`, of the session's id, were there: only its end is listened to.
    pub(crate) fn none(grant: &Upstream) -> Upstream {
        Upstream::new(Self(grant.revocation()))
    }
}

impl UpstreamSource for SessionUpstream {
    fn access_token(&self, _: Option<Generation>) -> UpstreamFuture {
        UpstreamFuture::ready(Err(AuthError::new(Reason::NoUpstream)))
    }

    fn revocation(&self) -> Option<Arc<Revocation>> {
        self.0.clone()
    }
}
