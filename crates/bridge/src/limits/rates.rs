//! [`Limits`]: how often whom.

use std::{
    sync::{Arc, Once},
    time::Duration,
};

use http::{Extensions, HeaderMap, HeaderName};

use super::{
    Caller, Limited,
    buckets::{Buckets, Rate},
};
use crate::{BridgeConfig, oauth_error::OAuthError, telemetry::Telemetry};

/// Wrong credentials, of a client from an address. Right ones are free, and other addresses are not concerned.
const AUTHENTICATION: Rate = Rate { at_once: 10, then_every: Duration::from_secs(6) };

/// Codes, refresh tokens and assertions that are not good, of a client from an address: many, because the users of a hosted client come from a
/// few, and all their refresh tokens may have ended at once.
const GRANTS: Rate = Rate { at_once: 1000, then_every: Duration::from_millis(10) };

/// Registrations from an address: many, because hosted clients may register for each user.
const REGISTRATIONS_FROM_ONE: Rate = Rate { at_once: 200, then_every: Duration::from_secs(10) };

/// Registrations from anywhere.
const REGISTRATIONS: Rate = Rate { at_once: 1000, then_every: Duration::from_secs(1) };

/// Documents fetched from a host: nobody is bothered by that.
const DOCUMENTS_OF_ONE: Rate = Rate { at_once: 30, then_every: Duration::from_secs(2) };

/// Documents fetched from anywhere.
const DOCUMENTS: Rate = Rate { at_once: 600, then_every: Duration::from_millis(100) };

/// Logins from which nobody has come back, of an address: this part of all that may be pending at once, and as many again while the first ones
/// are. So one address has a twentieth at most, which is half of what a client may have.
const SHARE_OF_LOGINS: u64 = 40;

/// How often whom. Clones share what they have counted, which is of this process.
#[derive(Clone, Debug)]
pub(crate) struct Limits(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    authentication: Buckets,
    grants: Buckets,
    registrations_from_one: Buckets,
    registrations: Buckets,
    documents_of_one: Buckets,
    documents: Buckets,
    logins: Buckets,
    header: Option<HeaderName>,
    unknown: Once,
    telemetry: Arc<Telemetry>,
}

impl Limits {
    pub(crate) fn new(config: &BridgeConfig, telemetry: Arc<Telemetry>) -> Self {
        let at_once = u32::try_from(config.max_pending_logins / SHARE_OF_LOGINS).unwrap_or(u32::MAX).max(1);
        Self(Arc::new(Parts {
            authentication: Buckets::new(AUTHENTICATION),
            grants: Buckets::new(GRANTS),
            registrations_from_one: Buckets::new(REGISTRATIONS_FROM_ONE),
            registrations: Buckets::new(REGISTRATIONS),
            documents_of_one: Buckets::new(DOCUMENTS_OF_ONE),
            documents: Buckets::new(DOCUMENTS),
            logins: Buckets::new(Rate { at_once, then_every: config.login_ttl / at_once }),
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
    pub(crate) fn may_authenticate(&self, client_id: &str, caller: &Caller) -> Result<(), OAuthError> {
        self.answer(Limited::Authentication, self.0.authentication.look((client_id, caller)))
    }

    /// They were wrong.
    pub(crate) fn authentication_failed(&self, client_id: &str, caller: &Caller) {
        self.0.authentication.count((client_id, caller));
    }

    /// Asked before a code, a refresh token or an assertion is looked at.
    ///
    /// # Errors
    /// Too many that were not good came from there.
    pub(crate) fn may_redeem(&self, client_id: &str, caller: &Caller) -> Result<(), OAuthError> {
        self.answer(Limited::Grants, self.0.grants.look((client_id, caller)))
    }

    /// It was not good.
    pub(crate) fn grant_refused(&self, client_id: &str, caller: &Caller) {
        self.0.grants.count((client_id, caller));
    }

    /// A registration, which is counted.
    ///
    /// # Errors
    /// Too many came from there, or from everywhere.
    pub(crate) fn may_register(&self, caller: &Caller) -> Result<(), OAuthError> {
        let (from_one, all) = (&self.0.registrations_from_one, &self.0.registrations);
        let room = if caller.is_known() { from_one.look(caller) } else { Ok(()) };
        self.answer(Limited::Registrations, room.and_then(|()| all.look(())))?;
        from_one.count(caller);
        all.count(());
        Ok(())
    }

    /// A fetch of a document from `host`, which is counted.
    ///
    /// # Errors
    /// Too many were fetched from there, or from everywhere.
    pub(crate) fn may_fetch(&self, host: &str) -> Result<(), OAuthError> {
        let (of_one, all) = (&self.0.documents_of_one, &self.0.documents);
        self.answer(Limited::Documents, of_one.look(host).and_then(|()| all.look(())))?;
        of_one.count(host);
        all.count(());
        Ok(())
    }

    /// The beginning of a login, which is counted until it [ends](Self::login_ended) or is forgotten.
    ///
    /// # Errors
    /// Too many from there are pending.
    pub(crate) fn may_log_in(&self, caller: &Caller) -> Result<(), OAuthError> {
        if caller.is_known() {
            self.answer(Limited::Logins, self.0.logins.look(caller))?;
            self.0.logins.count(caller);
        }
        Ok(())
    }

    /// The user has come back, and the login is pending no more: it does not count.
    pub(crate) fn login_ended(&self, caller: &Caller) {
        self.0.logins.give_back(caller);
    }

    fn answer(&self, what: Limited, outcome: Result<(), Duration>) -> Result<(), OAuthError> {
        outcome.map_err(|wait| {
            self.0.telemetry.limited(what);
            OAuthError::too_often(wait.as_secs() + 1)
        })
    }
}
