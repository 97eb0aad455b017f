//! [`Site`]: a provider that is also the resource.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode, header::AUTHORIZATION};
use portcullis::{egress::Egress, types::Clock as _};
use portcullis_testkit::{Endpoint, Fault, IdentityProvider, IssuedGrant, TestClock, TokenPolicy};
use tower::ServiceExt as _;

use super::super::fixture::endpoint;

/// A provider whose refresh tokens are good once, and end the grant when they come twice. Its UserInfo is the resource.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) idp: IdentityProvider,
    pub(crate) clock: TestClock,
    /// The way to both.
    pub(crate) egress: Egress,
}

/// The tokens that a contender holds when a scenario begins.
pub(crate) struct Held {
    pub(crate) grant: IssuedGrant,
    /// How long ago they came.
    pub(crate) age: Duration,
    /// How long the access token was said to live when it came.
    pub(crate) lifetime: Duration,
    /// By how much the clock of the contender is put back once it holds them.
    pub(crate) put_back: Duration,
}

/// How long an access token lives, unless a scenario says otherwise.
pub(crate) const LIFETIME: Duration = Duration::from_secs(600);

impl Site {
    /// Where `egress` leads to `idp`; a token request takes 20 ms, a call of the resource 5 ms.
    pub(crate) fn new(
        idp: IdentityProvider,
        clock: TestClock,
        egress: impl FnOnce(&IdentityProvider) -> Egress,
    ) -> Self {
        let idp = idp.with_clock(Arc::new(clock.clone()));
        idp.set_latency(Endpoint::Token, Duration::from_millis(20));
        idp.set_latency(Endpoint::UserInfo, Duration::from_millis(5));
        let egress = egress(&idp);
        let site = Self { idp, clock, egress };
        site.set_policy(TokenPolicy::new());
        site
    }

    /// Access tokens live for ten minutes unless `policy` is set for shorter ones.
    pub(crate) fn set_policy(&self, policy: TokenPolicy) {
        self.idp.set_token_policy(policy.with_access_token_lifetime(LIFETIME));
    }

    /// The lifetime of new tokens.
    pub(crate) fn set_lifetime(&self, lifetime: Duration) {
        self.idp.set_token_policy(TokenPolicy::new().with_access_token_lifetime(lifetime));
    }

    /// Tokens that came `age` ago and lived for ten minutes then. The provider goes by its own clock: it takes them.
    pub(crate) fn held_for(&self, age: Duration) -> Held {
        let grant = self.idp.issue_grant("alice", "openid");
        Held { grant, age, lifetime: LIFETIME, put_back: Duration::ZERO }
    }

    /// Tokens that are on record as having expired, and that the resource refuses.
    pub(crate) fn expired(&self) -> Held {
        let held = self.held_for(LIFETIME * 2);
        self.idp.revoke(&held.grant.access_token);
        held
    }

    /// Tokens that look fresh, and that the resource refuses.
    pub(crate) fn refused(&self) -> Held {
        let held = self.held_for(Duration::ZERO);
        self.idp.revoke(&held.grant.access_token);
        held
    }

    /// Token requests are answered 503 after 50 ms.
    pub(crate) fn fail(&self) {
        self.idp.set_latency(Endpoint::Token, Duration::from_millis(50));
        self.idp.set_fault(Endpoint::Token, Fault::status(503));
    }

    /// One call of the resource.
    pub(crate) async fn call_resource(
        &self,
        access_token: &str,
    ) -> Result<StatusCode, portcullis::egress::EgressError> {
        let request = Request::get(endpoint(&self.idp, Endpoint::UserInfo));
        let request = request.header(AUTHORIZATION, format!("Bearer {access_token}")).body(Bytes::new());
        Ok(self.egress.clone().oneshot(request.expect("a request")).await?.status())
    }

    pub(crate) fn received_at(&self, held: &Held) -> portcullis::types::UnixTime {
        self.clock.now().saturating_sub(held.age)
    }
}
