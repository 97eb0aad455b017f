//! [`RateLimits`]: how often whom.

use std::{
    sync::{Arc, Once},
    time::Duration,
};

use http::{Extensions, HeaderMap, HeaderName};
use portcullis_core::Issuer;
use portcullis_egress::{Rate, RateLimiter};

use super::{Caller, RateLimitKind, by_address::ByAddress, first_fetches::FirstFetches};
use crate::{BridgeConfig, oauth_error::OAuthError, telemetry::Telemetry};

/// Wrong credentials, of a client from an address. Right ones are free, and other addresses are not concerned.
const AUTHENTICATION: Rate = Rate::new(10, Duration::from_secs(6));

/// Codes, refresh tokens and assertions that are not good, of a client from an address: many, because the users of a hosted client come from a
/// few, and all their refresh tokens may have ended at once.
const GRANTS: Rate = Rate::new(1000, Duration::from_millis(10));

/// Registrations from an address: many, because hosted clients may register for each user. There is no limit for all together: whoever
/// reached it would stop everybody, and who registers and comes no more is forgotten first.
const REGISTRATIONS: Rate = Rate::new(200, Duration::from_secs(10));

/// Documents, and key sets, fetched from a host: nobody is bothered by that.
pub(super) const OF_ONE_HOST: Rate = Rate::new(30, Duration::from_secs(2));

/// Signed requests of a client that describes itself and that users log in through. That each was used is remembered for up to ten
/// minutes, and a hosted client signs for thousands of users.
const ASSERTIONS: Rate = Rate::new(1000, Duration::from_millis(20));

/// Those of a client through which no user has logged in: a login takes one, and any caller can register such clients.
const ASSERTIONS_OF_UNUSED: Rate = Rate::new(20, Duration::from_secs(30));

/// Identity assertions of one user, presented by one client: each gives a session of its own.
const ID_JAGS: Rate = Rate::new(200, Duration::from_secs(6));

/// What is limited is named in the log at most so often, each kind for itself.
const LOGGED: Rate = Rate::new(1, Duration::from_mins(1));

/// Logins from which nobody has come back, of an address and one client: this part of all that may be pending at once, and as many again
/// while the first ones are. An address has twice that, with all its clients together: a tenth at most of all logins.
const SHARE_OF_LOGINS: u64 = 40;

/// How often whom. Clones share what they have counted, which is of this process.
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
    assertions_of_unused: RateLimiter,
    id_jags: RateLimiter,
    logged: RateLimiter,
    logins: ByAddress,
    logins_of_client: ByAddress,
    header: Option<HeaderName>,
    unknown: Once,
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
            known_documents: RateLimiter::new(OF_ONE_HOST),
            new_key_sets: FirstFetches::new(),
            known_key_sets: RateLimiter::new(OF_ONE_HOST),
            assertions: RateLimiter::new(ASSERTIONS),
            assertions_of_unused: RateLimiter::new(ASSERTIONS_OF_UNUSED),
            id_jags: RateLimiter::new(ID_JAGS),
            logged: RateLimiter::new(LOGGED),
            logins: logins(share * 2),
            logins_of_client: logins(share),
            header: config.client_address_header.clone(),
            unknown: Once::new(),
            telemetry,
        }))
    }

    /// Where a request comes from.
    pub(crate) fn caller(&self, headers: &HeaderMap, extensions: &Extensions) -> Caller {
        let caller = Caller::of(headers, extensions, self.0.header.as_ref());
        if !caller.is_known() {
            self.0.unknown.call_once(|| {
                tracing::warn!("the bridge is not told where requests come from: nothing is limited by address alone");
            });
        }
        caller
    }

    /// Asked before a client's credentials are looked at.
    ///
    /// # Errors
    /// Too many wrong ones came from there.
    pub(crate) fn check_authentication(&self, client_id: &str, caller: &Caller) -> Result<(), OAuthError> {
        self.answer(RateLimitKind::Authentication, self.0.authentication.check((client_id, caller)))
    }

    /// They were wrong.
    pub(crate) fn record_failed_authentication(&self, client_id: &str, caller: &Caller) {
        self.0.authentication.record((client_id, caller));
    }

    /// Asked before a code, a refresh token or an assertion is looked at.
    ///
    /// # Errors
    /// Too many that were not good came from there.
    pub(crate) fn check_grant(&self, client_id: &str, caller: &Caller) -> Result<(), OAuthError> {
        self.answer(RateLimitKind::Grants, self.0.grants.check((client_id, caller)))
    }

    /// It was not good.
    pub(crate) fn record_invalid_grant(&self, client_id: &str, caller: &Caller) {
        self.0.grants.record((client_id, caller));
    }

    /// A registration, which is counted.
    ///
    /// # Errors
    /// Too many came from there.
    pub(crate) fn acquire_registration(&self, caller: &Caller) -> Result<(), OAuthError> {
        self.answer(RateLimitKind::Registrations, self.0.registrations.check(caller, ()))?;
        self.0.registrations.record(caller, ());
        Ok(())
    }

    /// A fetch of a document from `host` that is not known, which is counted. It is `caller` who has named it; and nobody else is
    /// concerned, unless hundreds do so together, or all for one host. Of a host that the operator has chosen, nobody else is at all.
    ///
    /// # Errors
    /// Too many were fetched for this caller, from there, or altogether.
    pub(crate) fn acquire_document_fetch(
        &self,
        caller: &Caller,
        host: &str,
        is_chosen: bool,
    ) -> Result<(), OAuthError> {
        self.answer(RateLimitKind::Documents, self.0.new_documents.acquire(caller, host, is_chosen))
    }

    /// Another fetch of a document from `host` that is known, which is counted.
    ///
    /// # Errors
    /// Too many were fetched from there.
    pub(crate) fn acquire_document_refetch(&self, host: &str) -> Result<(), OAuthError> {
        self.answer(RateLimitKind::Documents, self.0.known_documents.acquire(host))
    }

    /// As [`acquire_document_fetch`](Self::acquire_document_fetch), of the key set of a client.
    ///
    /// # Errors
    /// Too many were fetched for this caller, from there, or altogether.
    pub(crate) fn acquire_key_set_fetch(&self, caller: &Caller, host: &str) -> Result<(), OAuthError> {
        self.answer(RateLimitKind::KeySets, self.0.new_key_sets.acquire(caller, host, false))
    }

    /// As [`acquire_document_refetch`](Self::acquire_document_refetch), of the key set of a client.
    ///
    /// # Errors
    /// Too many were fetched from there.
    pub(crate) fn acquire_key_set_refetch(&self, host: &str) -> Result<(), OAuthError> {
        self.answer(RateLimitKind::KeySets, self.0.known_key_sets.acquire(host))
    }

    /// Asked before it is remembered that a client that describes itself has used an assertion; `is_used` if users log in through it.
    ///
    /// # Errors
    /// Too many are remembered of this client.
    pub(crate) fn check_assertion(&self, client_id: &str, is_used: bool) -> Result<(), OAuthError> {
        self.answer(RateLimitKind::Assertions, self.assertions_of(is_used).check(client_id))
    }

    /// It is remembered.
    pub(crate) fn record_assertion(&self, client_id: &str, is_used: bool) {
        self.assertions_of(is_used).record(client_id);
    }

    fn assertions_of(&self, is_used: bool) -> &RateLimiter {
        if is_used { &self.0.assertions } else { &self.0.assertions_of_unused }
    }

    /// Asked before an identity assertion of the user `subject` of `issuer`, which `client_id` presents, becomes a session.
    ///
    /// # Errors
    /// Too many of this user, by this client, did.
    pub(crate) fn check_id_jag(&self, issuer: &Issuer, subject: &str, client_id: &str) -> Result<(), OAuthError> {
        self.answer(RateLimitKind::Assertions, self.0.id_jags.check((issuer.as_str(), subject, client_id)))
    }

    /// It did.
    pub(crate) fn record_id_jag(&self, issuer: &Issuer, subject: &str, client_id: &str) {
        self.0.id_jags.record((issuer.as_str(), subject, client_id));
    }

    /// The beginning of a login of `client_id`, which is counted until it [ends](Self::refund_login) or is forgotten.
    ///
    /// # Errors
    /// Too many from there are pending, of this client or of all.
    pub(crate) fn acquire_login(&self, caller: &Caller, client_id: &str) -> Result<(), OAuthError> {
        let (all, of_client) = (&self.0.logins, &self.0.logins_of_client);
        let room = all.check(caller, ()).and_then(|()| of_client.check(caller, client_id));
        self.answer(RateLimitKind::Logins, room)?;
        all.record(caller, ());
        of_client.record(caller, client_id);
        Ok(())
    }

    /// The user has come back, and the login is pending no more: it does not count.
    pub(crate) fn refund_login(&self, caller: &Caller, client_id: &str) {
        self.0.logins.refund(caller, ());
        self.0.logins_of_client.refund(caller, client_id);
    }

    fn answer(&self, what: RateLimitKind, outcome: Result<(), Duration>) -> Result<(), OAuthError> {
        outcome.map_err(|wait| {
            self.0.telemetry.limited(what);
            if self.0.logged.acquire(what).is_ok() {
                tracing::warn!(
                    what = what.as_str(),
                    retry_after = wait.as_secs() + 1,
                    "a client or an address exceeds its share and is answered 429; others of this kind are not logged for a minute"
                );
            }
            OAuthError::rate_limited(wait.as_secs() + 1)
        })
    }
}
