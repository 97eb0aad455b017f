//! [`IdentityAssertions`]: verification of identity assertions (ID-JAG), and [`TrustedIssuer`].

use std::{collections::HashMap, sync::Arc};

use portcullis_core::{AuthError, AuthErrorKind, Clock, Issuer, Reason};
use portcullis_oauth::assertion::{self, IdJag, IdJagPolicy};
use portcullis_remote::RemoteKeySet;
use portcullis_store::{RecordKey, SealedStore, StoreError};
use secrecy::SecretString;

use crate::{
    BridgeConfig, collections,
    response::{ErrorCode, OAuthError},
};

/// An identity provider of an enterprise, whose identity assertions (ID-JAG) clients may exchange for access tokens. Its administrator,
/// not the user, authorizes clients. MCP, Enterprise-Managed Authorization.
///
/// Its users are identified by (issuer, subject). They have no grant at the bridge's provider, so the
/// [`Upstream`](portcullis_core::Upstream) of such a user has no token.
///
/// ```
/// use portcullis_bridge::TrustedIssuer;
/// use portcullis_core::Issuer;
/// use portcullis_egress::{Egress, EgressConfig};
/// use portcullis_remote::RemoteKeySet;
///
/// let issuer = Issuer::new("https://idp.example.com")?;
/// let keys = RemoteKeySet::discovered(issuer.clone(), Egress::new(EgressConfig::new())?);
/// let trusted = TrustedIssuer::new(issuer, keys);
/// # drop(trusted);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct TrustedIssuer {
    issuer: Issuer,
    keys: RemoteKeySet,
}

impl TrustedIssuer {
    /// Creates a trusted issuer whose assertions are signed with `keys`.
    pub const fn new(issuer: Issuer, keys: RemoteKeySet) -> Self {
        Self { issuer, keys }
    }
}

/// Verifies identity assertions, and detects replays.
#[derive(Debug)]
pub(super) struct IdentityAssertions {
    trusted: HashMap<Issuer, (IdJagPolicy, RemoteKeySet)>,
    records: SealedStore,
    clock: Arc<dyn Clock>,
}

impl IdentityAssertions {
    pub(super) fn new(config: &BridgeConfig, records: SealedStore, clock: Arc<dyn Clock>) -> Self {
        let policy = |issuer: &Issuer| IdJagPolicy::new(issuer.clone(), config.issuer.clone());
        let trusted = config.trusted_issuers.iter();
        let trusted = trusted.map(|issuer| (issuer.issuer.clone(), (policy(&issuer.issuer), issuer.keys.clone())));
        Self { trusted: trusted.collect(), records, clock }
    }

    /// Verifies `assertion`, which the client `client_id` presents.
    ///
    /// # Errors
    /// `invalid_grant`; `temporarily_unavailable` if the issuer's keys cannot be fetched.
    pub(super) async fn verify(&self, assertion: &SecretString, client_id: &str) -> Result<IdJag, OAuthError> {
        self.check(assertion, client_id).await.map_err(|error| {
            let rejected = match error.kind() {
                AuthErrorKind::Unavailable => {
                    OAuthError::new(ErrorCode::TemporarilyUnavailable, "assertion cannot be verified at present")
                }
                _ => OAuthError::invalid_grant("assertion is invalid or not accepted"),
            };
            let found = format!("{}: {}", error.reason(), error.causes().unwrap_or_default());
            let issuers: Vec<_> = self.trusted.keys().map(Issuer::as_str).collect();
            let expected = format!("an assertion for this server and this client of {}", issuers.join(" "));
            rejected.with_found(&found, &expected).with_key("bridge.trusted_issuers")
        })
    }

    async fn check(&self, assertion: &SecretString, client_id: &str) -> Result<IdJag, AuthError> {
        let jwt = assertion::parse(assertion)?;
        let trusted = self.trusted.get(jwt.claimed_issuer()?);
        let (policy, keys) = trusted.ok_or_else(|| AuthError::new(Reason::UnknownIssuer))?;
        let signed = keys.verified(policy.check_header(jwt)?).await?;
        policy.check(signed, client_id, self.clock.now())
    }

    /// Reports whether an assertion was used before. `false` can become `true` at any moment.
    pub(super) async fn is_used(&self, id_jag: &IdJag) -> Result<bool, StoreError> {
        Ok(self.records.load::<()>(key(id_jag)).await?.inspect(|_| log_replay(id_jag)).is_some())
    }

    /// Marks an assertion as used until it expires. Of concurrent calls, one returns `true`.
    pub(super) async fn mark_used(&self, id_jag: &IdJag) -> Result<bool, StoreError> {
        let is_first = self.records.create(key(id_jag), &(), id_jag.accepted_until()).await?.is_some();
        if !is_first {
            log_replay(id_jag);
        }
        Ok(is_first)
    }
}

fn key(id_jag: &IdJag) -> RecordKey {
    let parts: [&[u8]; 3] = [b"id-jag", id_jag.issuer().as_str().as_bytes(), id_jag.jti().as_bytes()];
    RecordKey::of(collections::REPLAYS, &parts)
}

fn log_replay(id_jag: &IdJag) {
    tracing::warn!(issuer = %id_jag.issuer(), "identity assertion replayed");
}
