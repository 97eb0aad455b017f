//! [`Assertions`]: identity assertions are judged, each once.

use std::{collections::HashMap, sync::Arc};

use portcullis_core::{AuthError, AuthErrorKind, Clock, Issuer};
use portcullis_grants::records::{RecordKey, Records, Table};
use portcullis_keys::RemoteKeySet;
use portcullis_oauth::assertion::{self, IdJag, IdJagPolicy};
use secrecy::SecretString;

use crate::{
    BridgeConfig,
    oauth_error::{ErrorCode, OAuthError},
};

/// Identity assertions are judged, each once.
#[derive(Debug)]
pub(crate) struct Assertions {
    trusted: HashMap<Issuer, (IdJagPolicy, RemoteKeySet)>,
    records: Records,
    clock: Arc<dyn Clock>,
}

impl Assertions {
    pub(crate) fn new(config: &BridgeConfig, records: Records, clock: Arc<dyn Clock>) -> Self {
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
        let signed = keys.verified(policy.screen(jwt)?).await?;
        policy.check(signed, client_id, self.clock.now())
    }

    /// Uses an assertion up. Whoever is second is refused, until the assertion is refused for its age.
    ///
    /// # Errors
    /// `invalid_grant`; `temporarily_unavailable` if nobody can tell.
    pub(crate) async fn use_up(&self, id_jag: &IdJag) -> Result<(), OAuthError> {
        let parts: [&[u8]; 3] = [b"id-jag", id_jag.issuer().as_str().as_bytes(), id_jag.jti().as_bytes()];
        let key = RecordKey::of(Table::Replays, &parts);
        match self.records.create(key, &(), id_jag.accepted_until()).await? {
            Some(_) => Ok(()),
            None => {
                tracing::warn!(issuer = %id_jag.issuer(), "an identity assertion was presented again");
                Err(OAuthError::invalid_grant("the assertion was used before"))
            }
        }
    }
}
