//! Rate limits per client and per source address.
//!
//! Hosted clients send requests for thousands of users from a few addresses, so successful requests are not limited by address. Failures
//! are limited per client and address; expensive operations without a result are limited per address alone, with large quotas.

use std::{
    hash::Hash,
    sync::{Arc, Once},
    time::Duration,
};

use http::{Extensions, HeaderMap, HeaderName};
use portcullis_core::Issuer;
use portcullis_egress::{Rate, RateLimiter};

use crate::{
    BridgeConfig,
    caller::Caller,
    response::OAuthError,
    telemetry::{RateLimitKind, Telemetry},
};

/// Failed authentications per client and address.
const AUTHENTICATION: Rate = Rate::new(10, Duration::from_secs(6));

/// Invalid grants per client and address. High, because the users of a hosted client share a few addresses, and all their refresh tokens
/// may end at once.
const GRANTS: Rate = Rate::new(1000, Duration::from_millis(10));

/// Registrations per address. High, because hosted clients may register per user. There is no global limit, which one caller could
/// exhaust for all; unused registrations are removed first.
const REGISTRATIONS: Rate = Rate::new(200, Duration::from_secs(10));

/// Fetches of documents, and of key sets, per host.
const PER_HOST: Rate = Rate::new(30, Duration::from_secs(2));

/// Client assertions per client, for clients that are not configured and have users. Each assertion is stored for up to ten minutes, and
/// hosted clients sign for thousands of users.
const ASSERTIONS: Rate = Rate::new(1000, Duration::from_millis(20));

/// Client assertions per client without users: a login takes one, and any caller can register clients.
const UNUSED_CLIENT_ASSERTIONS: Rate = Rate::new(20, Duration::from_secs(30));

/// Identity assertions per user and client. Each creates a session.
const ID_JAGS: Rate = Rate::new(200, Duration::from_secs(6));

/// Log entries per kind.
const LOGGED: Rate = Rate::new(1, Duration::from_mins(1));

/// Pending logins per address and client, as a fraction of the maximum: 1/40 at once, and as many again during their lifetime. An address
/// has twice that for all clients, so at most a tenth of all logins.
const SHARE_OF_LOGINS: u64 = 40;

/// The rate limits of this process. Clones share their counters.
#[derive(Clone, Debug)]
pub(crate) struct RateLimits(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    authentication: RateLimiter,
    grants: RateLimiter,
    registrations: ByAddress,
    new_documents: FirstFetches,
    known_documents: RateLimiter,
    new_key_sets: FirstFetches,
    known_key_sets: RateLimiter,
    assertions: RateLimiter,
    unused_client_assertions: RateLimiter,
    id_jags: RateLimiter,
    logged: RateLimiter,
    logins: ByAddress,
    logins_of_client: ByAddress,
    header: Option<HeaderName>,
    unknown_address: Once,
    telemetry: Arc<Telemetry>,
}

impl RateLimits {
    pub(crate) fn new(config: &BridgeConfig, telemetry: Arc<Telemetry>) -> Self {
        let share = u32::try_from(config.max_pending_logins / SHARE_OF_LOGINS).unwrap_or(u32::MAX / 2).max(1);
        let logins = |burst| ByAddress::new(Rate::new(burst, config.login_ttl / burst));
        Self(Arc::new(Parts {
            authentication: RateLimiter::new(AUTHENTICATION),
            grants: RateLimiter::new(GRANTS),
            registrations: ByAddress::new(REGISTRATIONS),
            new_documents: FirstFetches::new(),
            known_documents: RateLimiter::new(PER_HOST),
            new_key_sets: FirstFetches::new(),
            known_key_sets: RateLimiter::new(PER_HOST),
            assertions: RateLimiter::new(ASSERTIONS),
            unused_client_assertions: RateLimiter::new(UNUSED_CLIENT_ASSERTIONS),
            id_jags: RateLimiter::new(ID_JAGS),
            logged: RateLimiter::new(LOGGED),
            logins: logins(share * 2),
            logins_of_client: logins(share),
            header: config.client_address_header.clone(),
            unknown_address: Once::new(),
            telemetry,
        }))
    }

    /// Returns the source of a request.
    pub(crate) fn caller(&self, headers: &HeaderMap, extensions: &Extensions) -> Caller {
        let caller = Caller::of(headers, extensions, self.0.header.as_ref());
        if !caller.is_known() {
            self.0.unknown_address.call_once(|| {
                tracing::warn!("client addresses are unknown: limits per address do not apply");
            });
        }
        caller
    }

    /// Checks the limit before client authentication.
    ///
    /// # Errors
    /// 429 after too many failures.
    pub(crate) fn check_authentication(&self, client_id: &str, caller: &Caller) -> Result<(), OAuthError> {
        self.outcome(RateLimitKind::Authentication, self.0.authentication.check((client_id, caller)))
    }

    /// Records a failed authentication.
    pub(crate) fn record_failed_authentication(&self, client_id: &str, caller: &Caller) {
        self.0.authentication.record((client_id, caller));
    }

    /// Checks the limit before a grant is redeemed.
    ///
    /// # Errors
    /// 429 after too many invalid grants.
    pub(crate) fn check_grant(&self, client_id: &str, caller: &Caller) -> Result<(), OAuthError> {
        self.outcome(RateLimitKind::Grants, self.0.grants.check((client_id, caller)))
    }

    /// Records an invalid grant.
    pub(crate) fn record_invalid_grant(&self, client_id: &str, caller: &Caller) {
        self.0.grants.record((client_id, caller));
    }

    /// Counts a registration.
    ///
    /// # Errors
    /// 429 if there are too many.
    pub(crate) fn acquire_registration(&self, caller: &Caller) -> Result<(), OAuthError> {
        self.outcome(RateLimitKind::Registrations, self.0.registrations.check(caller, ()))?;
        self.0.registrations.record(caller, ());
        Ok(())
    }

    /// Counts the first fetch of a document from `host`, which a request of `caller` names. The shared limits, per host and in all, do not
    /// apply to hosts that the operator has configured.
    ///
    /// # Errors
    /// 429 if there are too many, of this caller, from this host, or in all.
    pub(crate) fn acquire_document_fetch(
        &self,
        caller: &Caller,
        host: &str,
        is_configured: bool,
    ) -> Result<(), OAuthError> {
        self.outcome(RateLimitKind::Documents, self.0.new_documents.acquire(caller, host, is_configured))
    }

    /// Counts another fetch of a cached document from `host`.
    ///
    /// # Errors
    /// 429 if there are too many.
    pub(crate) fn acquire_document_refetch(&self, host: &str) -> Result<(), OAuthError> {
        self.outcome(RateLimitKind::Documents, self.0.known_documents.acquire(host))
    }

    /// Counts the first fetch of a client's key set.
    ///
    /// # Errors
    /// 429 if there are too many, of this caller, from this host, or in all.
    pub(crate) fn acquire_key_set_fetch(&self, caller: &Caller, host: &str) -> Result<(), OAuthError> {
        self.outcome(RateLimitKind::KeySets, self.0.new_key_sets.acquire(caller, host, false))
    }

    /// Counts another fetch of a client's key set.
    ///
    /// # Errors
    /// 429 if there are too many.
    pub(crate) fn acquire_key_set_refetch(&self, host: &str) -> Result<(), OAuthError> {
        self.outcome(RateLimitKind::KeySets, self.0.known_key_sets.acquire(host))
    }

    /// Checks the limit before a client assertion is stored; `is_used` if users have received tokens through the client.
    ///
    /// # Errors
    /// 429 if there are too many.
    pub(crate) fn check_assertion(&self, client_id: &str, is_used: bool) -> Result<(), OAuthError> {
        self.outcome(RateLimitKind::Assertions, self.assertions_of(is_used).check(client_id))
    }

    /// Records a stored client assertion.
    pub(crate) fn record_assertion(&self, client_id: &str, is_used: bool) {
        self.assertions_of(is_used).record(client_id);
    }

    fn assertions_of(&self, is_used: bool) -> &RateLimiter {
        if is_used { &self.0.assertions } else { &self.0.unused_client_assertions }
    }

    /// Checks the limit before an identity assertion of a user creates a session.
    ///
    /// # Errors
    /// 429 if there are too many for this user and client.
    pub(crate) fn check_id_jag(&self, issuer: &Issuer, subject: &str, client_id: &str) -> Result<(), OAuthError> {
        self.outcome(RateLimitKind::Assertions, self.0.id_jags.check((issuer.as_str(), subject, client_id)))
    }

    /// Records a redeemed identity assertion.
    pub(crate) fn record_id_jag(&self, issuer: &Issuer, subject: &str, client_id: &str) {
        self.0.id_jags.record((issuer.as_str(), subject, client_id));
    }

    /// Counts a pending login of `client_id`, until [`refund_login`](Self::refund_login) or its expiry.
    ///
    /// # Errors
    /// 429 if too many are pending, of this client or of all.
    pub(crate) fn acquire_login(&self, caller: &Caller, client_id: &str) -> Result<(), OAuthError> {
        let (all, of_client) = (&self.0.logins, &self.0.logins_of_client);
        let room = all.check(caller, ()).and_then(|()| of_client.check(caller, client_id));
        self.outcome(RateLimitKind::Logins, room)?;
        all.record(caller, ());
        of_client.record(caller, client_id);
        Ok(())
    }

    /// Removes a pending login from the count.
    pub(crate) fn refund_login(&self, caller: &Caller, client_id: &str) {
        self.0.logins.refund(caller, ());
        self.0.logins_of_client.refund(caller, client_id);
    }

    fn outcome(&self, what: RateLimitKind, outcome: Result<(), Duration>) -> Result<(), OAuthError> {
        outcome.map_err(|wait| {
            self.0.telemetry.limited(what);
            if self.0.logged.acquire(what).is_ok() {
                tracing::warn!(
                    what = what.as_str(),
                    retry_after = wait.as_secs() + 1,
                    "rate limit exceeded (logged once per minute and kind)"
                );
            }
            OAuthError::rate_limited(wait.as_secs() + 1)
        })
    }
}

/// Rate limiters by source address and by its network. Requests without a known address are not limited, because they would share one
/// bucket.
#[derive(Debug)]
pub(super) struct ByAddress {
    callers: RateLimiter,
    networks: RateLimiter,
}

/// The quota of an IPv6 /48 network, as a multiple of the quota of one /64.
const NETWORK_FACTOR: u32 = 4;

impl ByAddress {
    /// Creates limiters with `rate` per caller.
    pub(super) fn new(rate: Rate) -> Self {
        Self { callers: RateLimiter::new(rate), networks: RateLimiter::new(rate.times(NETWORK_FACTOR)) }
    }

    /// Checks the limit of `caller` without counting. The error is the time to wait.
    pub(super) fn check(&self, caller: &Caller, what: impl Hash) -> Result<(), Duration> {
        let Some(network) = caller.network() else { return Ok(()) };
        self.callers.check((caller, &what)).and_then(|()| self.networks.check((network, &what)))
    }

    /// Counts a request.
    pub(super) fn record(&self, caller: &Caller, what: impl Hash) {
        if let Some(network) = caller.network() {
            self.callers.record((caller, &what));
            self.networks.record((network, &what));
        }
    }

    /// Removes a request from the count.
    pub(super) fn refund(&self, caller: &Caller, what: impl Hash) {
        if let Some(network) = caller.network() {
            self.callers.refund((caller, &what));
            self.networks.refund((network, &what));
        }
    }
}

/// First fetches per caller.
const PER_CALLER: Rate = Rate::new(20, Duration::from_secs(10));

/// First fetches in all. Only hundreds of callers together can exhaust it.
const TOTAL: Rate = Rate::new(1000, Duration::from_millis(50));

/// Limits fetches of URLs that requests name for the first time.
#[derive(Debug)]
pub(super) struct FirstFetches {
    per_caller: ByAddress,
    per_host: RateLimiter,
    total: RateLimiter,
}

impl FirstFetches {
    pub(super) fn new() -> Self {
        let (per_host, total) = (RateLimiter::new(PER_HOST), RateLimiter::new(TOTAL));
        Self { per_caller: ByAddress::new(PER_CALLER), per_host, total }
    }

    /// Counts a fetch from `host` for `caller`. The limits per host and in all do not apply to a host that the operator has configured.
    ///
    /// The caller's own quota is checked before the shared ones.
    pub(super) fn acquire(&self, caller: &Caller, host: &str, is_configured: bool) -> Result<(), Duration> {
        self.per_caller.check(caller, ())?;
        if !is_configured {
            self.per_host.check(host).and_then(|()| self.total.check(()))?;
            self.per_host.record(host);
            self.total.record(());
        }
        self.per_caller.record(caller, ());
        Ok(())
    }
}
