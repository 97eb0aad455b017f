//! Rate limits per client and per source address, which is a [`Caller`].
//!
//! Hosted clients send requests for thousands of users from a few addresses, so successful requests are not limited by address. Failures
//! are limited per client and address; expensive operations without a result are limited per address alone, with large quotas.

use std::{
    convert::Infallible,
    hash::Hash,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Arc, Once},
    time::Duration,
};

use axum::extract::{ConnectInfo, FromRef, FromRequestParts};
use http::{Extensions, HeaderMap, HeaderName, request::Parts};
use portcullis_core::{Issuer, forwarded_address};
use portcullis_egress::{Rate, RateLimiter};

use crate::{
    BridgeConfig,
    clients::for_log,
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
pub(crate) struct RateLimits(Arc<Limiters>);

#[derive(Debug)]
struct Limiters {
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
        Self(Arc::new(Limiters {
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
        self.outcome(
            RateLimitKind::Authentication,
            Limited::client(client_id).of(caller),
            self.0.authentication.check((client_id, caller)),
        )
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
        self.outcome(
            RateLimitKind::Grants,
            Limited::client(client_id).of(caller),
            self.0.grants.check((client_id, caller)),
        )
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
        self.outcome(
            RateLimitKind::Registrations,
            Limited::default().of(caller),
            self.0.registrations.check(caller, ()),
        )?;
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
        self.outcome(
            RateLimitKind::Documents,
            Limited::host(host).of(caller),
            self.0.new_documents.acquire(caller, host, is_configured),
        )
    }

    /// Counts another fetch of a cached document from `host`.
    ///
    /// # Errors
    /// 429 if there are too many.
    pub(crate) fn acquire_document_refetch(&self, host: &str) -> Result<(), OAuthError> {
        self.outcome(RateLimitKind::Documents, Limited::host(host), self.0.known_documents.acquire(host))
    }

    /// Counts the first fetch of a client's key set.
    ///
    /// # Errors
    /// 429 if there are too many, of this caller, from this host, or in all.
    pub(crate) fn acquire_key_set_fetch(&self, caller: &Caller, host: &str) -> Result<(), OAuthError> {
        self.outcome(
            RateLimitKind::KeySets,
            Limited::host(host).of(caller),
            self.0.new_key_sets.acquire(caller, host, false),
        )
    }

    /// Counts another fetch of a client's key set.
    ///
    /// # Errors
    /// 429 if there are too many.
    pub(crate) fn acquire_key_set_refetch(&self, host: &str) -> Result<(), OAuthError> {
        self.outcome(RateLimitKind::KeySets, Limited::host(host), self.0.known_key_sets.acquire(host))
    }

    /// Checks the limit before a client assertion is stored; `is_used` if users have received tokens through the client.
    ///
    /// # Errors
    /// 429 if there are too many.
    pub(crate) fn check_assertion(&self, client_id: &str, is_used: bool) -> Result<(), OAuthError> {
        self.outcome(
            RateLimitKind::Assertions,
            Limited::client(client_id),
            self.assertions_of(is_used).check(client_id),
        )
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
        self.outcome(
            RateLimitKind::Assertions,
            Limited::client(client_id),
            self.0.id_jags.check((issuer.as_str(), subject, client_id)),
        )
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
        self.outcome(RateLimitKind::Logins, Limited::client(client_id).of(caller), room)?;
        all.record(caller, ());
        of_client.record(caller, client_id);
        Ok(())
    }

    /// Removes a pending login from the count.
    pub(crate) fn refund_login(&self, caller: &Caller, client_id: &str) {
        self.0.logins.refund(caller, ());
        self.0.logins_of_client.refund(caller, client_id);
    }

    fn outcome(&self, what: RateLimitKind, of: Limited<'_>, outcome: Result<(), Duration>) -> Result<(), OAuthError> {
        outcome.map_err(|wait| {
            self.0.telemetry.limited(what);
            if self.0.logged.acquire(what).is_ok() {
                let Limited { client_id, host, caller } = of;
                let (client_id, host) = (client_id.map(for_log), host.map(for_log));
                let address = caller.and_then(Caller::address).map(tracing::field::display);
                tracing::warn!(
                    what = what.as_str(),
                    client_id,
                    host,
                    address,
                    retry_after = wait.as_secs() + 1,
                    "rate limit exceeded (logged once per minute and kind)"
                );
            }
            OAuthError::rate_limited(wait.as_secs() + 1)
        })
    }
}

/// What a rate limit was reached by, for the log.
#[derive(Clone, Copy, Default)]
struct Limited<'a> {
    client_id: Option<&'a str>,
    host: Option<&'a str>,
    caller: Option<&'a Caller>,
}

impl<'a> Limited<'a> {
    fn client(client_id: &'a str) -> Self {
        Self { client_id: Some(client_id).filter(|id| !id.is_empty()), ..Self::default() }
    }

    fn host(host: &'a str) -> Self {
        Self { host: Some(host), ..Self::default() }
    }

    const fn of(self, caller: &'a Caller) -> Self {
        Self { caller: Some(caller), ..self }
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

/// The source address of a request: an IPv4 address, or the /64 network of an IPv6 address, which a single machine can use.
///
/// All requests without a known address are one caller. Limits per client apply to them, and limits per address alone do not, because
/// one caller could exhaust them for all.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Caller(Option<IpAddr>);

/// The part of an IPv6 address that is assigned to a machine: 64 bits.
const MACHINE_MASK: u128 = !0 << 64;

/// The part of an IPv6 address that is assigned to a customer: 48 bits.
const NETWORK_MASK: u128 = !0 << 80;

impl Caller {
    /// Returns the last address in `header`, which a reverse proxy sets. Without the header, the request did not pass the proxy, and the
    /// address is the peer of the connection, from axum's `ConnectInfo<SocketAddr>`.
    pub(crate) fn of(headers: &HeaderMap, extensions: &Extensions, header: Option<&HeaderName>) -> Self {
        let connected = || extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip());
        let address = header.and_then(|header| forwarded_address(headers, header)).or_else(connected);
        Self(address.map(|address| masked(address.to_canonical(), MACHINE_MASK)))
    }

    pub(crate) const fn is_known(&self) -> bool {
        self.0.is_some()
    }

    /// Returns the address, or the /64 network of an IPv6 address.
    pub(crate) const fn address(&self) -> Option<IpAddr> {
        self.0
    }

    /// Returns the address, or the /48 network of an IPv6 address, which one customer can have.
    pub(crate) fn network(&self) -> Option<IpAddr> {
        self.0.map(|address| masked(address, NETWORK_MASK))
    }
}

fn masked(address: IpAddr, mask: u128) -> IpAddr {
    match address {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask)),
        v4 @ IpAddr::V4(_) => v4,
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller
where
    RateLimits: FromRef<S>,
{
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        Ok(RateLimits::from_ref(state).caller(&parts.headers, &parts.extensions))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const FORWARDED: HeaderName = HeaderName::from_static("x-forwarded-for");

    fn behind_a_proxy(values: &[&'static str]) -> Caller {
        let values = values.iter().map(|value| (FORWARDED, HeaderValue::from_static(value)));
        let mut extensions = Extensions::new();
        extensions.insert(ConnectInfo(SocketAddr::from(([10, 0, 0, 1], 80))));
        Caller::of(&values.collect(), &extensions, Some(&FORWARDED))
    }

    fn at(address: &str) -> Caller {
        Caller(Some(address.parse().expect("an address")))
    }

    #[test]
    fn without_a_configured_header_the_caller_is_the_peer_of_the_connection() {
        let headers = HeaderMap::from_iter([(FORWARDED, HeaderValue::from_static("192.0.2.1"))]);
        let mut extensions = Extensions::new();
        assert!(!Caller::of(&headers, &extensions, None).is_known());
        extensions.insert(ConnectInfo(SocketAddr::from(([198, 51, 100, 7], 4711))));
        assert_eq!(Caller::of(&headers, &extensions, None), at("198.51.100.7"));
    }

    #[test]
    fn behind_a_proxy_the_caller_is_the_last_address_in_the_header() {
        assert_eq!(behind_a_proxy(&["192.0.2.1"]), at("192.0.2.1"));
        assert_eq!(behind_a_proxy(&["203.0.113.9, 192.0.2.1"]), at("192.0.2.1"), "clients can forge the first address");
        assert_eq!(behind_a_proxy(&["203.0.113.9", "192.0.2.1"]), at("192.0.2.1"));
        assert_eq!(behind_a_proxy(&["192.0.2.1:4711"]), at("192.0.2.1"));
        assert_eq!(behind_a_proxy(&["[2001:db8::1]:4711"]), at("2001:db8::"));
        assert_eq!(behind_a_proxy(&["[2001:db8::1]"]), at("2001:db8::"));
    }

    #[test]
    fn a_request_that_did_not_pass_the_proxy_has_the_address_of_the_peer() {
        for missing in [&[][..], &["unknown"], &["192.0.2.1,"]] {
            assert_eq!(behind_a_proxy(missing), at("10.0.0.1"), "{missing:?}");
        }
        assert!(!Caller::of(&HeaderMap::new(), &Extensions::new(), Some(&FORWARDED)).is_known());
    }

    #[test]
    fn the_addresses_of_one_network_are_one_caller() {
        assert_eq!(behind_a_proxy(&["2001:db8:0:1::1"]), behind_a_proxy(&["2001:db8:0:1:ffff::2"]));
        assert_ne!(behind_a_proxy(&["2001:db8:0:1::1"]), behind_a_proxy(&["2001:db8:0:2::1"]));
        assert_eq!(behind_a_proxy(&["::ffff:192.0.2.1"]), at("192.0.2.1"), "an IPv4-mapped address");
        assert_ne!(behind_a_proxy(&["192.0.2.1"]), behind_a_proxy(&["192.0.2.2"]));
    }

    #[test]
    fn the_addresses_of_one_customer_are_one_network() {
        let network = |address| at(address).network().expect("an address");
        assert_eq!(network("2001:db8:0:1::"), network("2001:db8:0:2::"));
        assert_ne!(network("2001:db8:0:1::"), network("2001:db8:1:1::"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }
}
