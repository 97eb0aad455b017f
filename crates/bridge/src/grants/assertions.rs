//! [`Assertions`]: identity assertions are judged, each once.

use std::{collections::HashMap, sync::Arc};

use portcullis_core::{AuthError, AuthErrorKind, Clock, Issuer};
use portcullis_grants::{
    StoreError,
    records::{Collection, RecordKey, SealedStore},
};
use portcullis_oauth::assertion::{self, IdJag, IdJagPolicy};
use portcullis_remote::RemoteKeySet;
use secrecy::SecretString;

use crate::{
    BridgeConfig,
    oauth_error::{ErrorCode, OAuthError},
};

/// Identity assertions are judged, each once.
#[derive(Debug)]
pub(crate) struct Assertions {
    trusted: HashMap<Issuer, (IdJagPolicy, RemoteKeySet)>,
    records: SealedStore,
    clock: Arc<dyn Clock>,
}

impl Assertions {
    pub(crate) fn new(config: &BridgeConfig, records: SealedStore, clock: Arc<dyn Clock>) -> Self {
        let policy = |issuer: &Issuer| IdJagPolicy::new(issuer.clone(), config.issuer.clone());
        let trusted = config.trusted_issuers.iter();
        let trusted = trusted.map(|issuer| (issuer.issuer.clone(), (policy(&issuer.issuer), issuer.keys.clone())));
        Self { trusted: trusted.collect(), records, clock }
    }

    /// Judges `assertion`, which `client_id` presents.
    ///
    /// # Errors
    /// `invalid_grant`; `temporarily_unavailable` if nobody can tell.
    pub(crate) async fn judge(&self, assertion: &SecretString, client_id: &str) -> Result<IdJag, OAuthError> {
        self.judged(assertion, client_id).await.map_err(|error| {
            let reason = error.reason();
            tracing::info!(%reason, "an identity assertion was refused");
            match error.kind() {
                AuthErrorKind::Unavailable => {
                    OAuthError::new(ErrorCode::TemporarilyUnavailable, "the assertion cannot be verified now")
                }
                _ => OAuthError::invalid_grant("the assertion is not good here"),
            }
        })
    }

    async fn judged(&self, assertion: &SecretString, client_id: &str) -> Result<IdJag, AuthError> {
        let jwt = assertion::parse(assertion)?;
        let trusted = self.trusted.get(jwt.claimed_issuer()?);
        let (policy, keys) = trusted.ok_or_else(|| AuthError::new(portcullis_core::Reason::UnknownIssuer))?;
        let signed = keys.verified(policy.check_header(jwt)?).await?;
        policy.check(signed, client_id, self.clock.now())
    }

    /// Whether an assertion was used up. If not, that can change at any moment.
    pub(crate) async fn is_used(&self, id_jag: &IdJag) -> Result<bool, StoreError> {
        Ok(self.records.load::<()>(key(id_jag)).await?.inspect(|_| warn(id_jag)).is_some())
    }

    /// Uses an assertion up, until it is refused for its age. Of any number at once, one is told that it did; the others get nothing
    /// for it.
    pub(crate) async fn use_up(&self, id_jag: &IdJag) -> Result<bool, StoreError> {
        let used = self.records.create(key(id_jag), &(), id_jag.accepted_until()).await?.is_some();
        if !used {
            warn(id_jag);
        }
        Ok(used)
    }
}

fn key(id_jag: &IdJag) -> RecordKey {
    let parts: [&[u8]; 3] = [b"id-jag", id_jag.issuer().as_str().as_bytes(), id_jag.jti().as_bytes()];
    RecordKey::of(Collection::REPLAYS, &parts)
}

fn warn(id_jag: &IdJag) {
    tracing::warn!(issuer = %id_jag.issuer(), "an identity assertion was presented again");
}
