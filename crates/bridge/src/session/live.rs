//! [`ActiveTokens`]: the tokens of a session.

use std::time::Duration;

use portcullis_core::{ScopeSet, UnixTime};
use serde::{Deserialize, Serialize};

use super::{
    Session, Stage, base64_bytes,
    grace::GraceUse,
    model::{RedeemedCode, seconds},
    secret::{Secret, SecretHash},
};

/// How long what lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetimes {
    pub(crate) access_token: Duration,
    pub(crate) refresh_token: Duration,
    /// For how long a refresh token that was rotated gets the same successors.
    pub(crate) rotation_grace: Duration,
}

/// The tokens of a session, as hashes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ActiveTokens {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<RedeemedCode>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) refresh: Option<Refresh>,
    /// Those that have not expired, the oldest first.
    access: Vec<AccessEntry>,
}

/// The refresh token, and the one before it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Refresh {
    pub(super) token: SecretHash,
    #[serde(with = "seconds")]
    pub(super) expires_at: UnixTime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) previous: Option<Previous>,
    /// How often the grace period was needed.
    #[serde(default, skip_serializing_if = "GraceUse::is_unused")]
    pub(super) grace: GraceUse,
}

/// The refresh token before the present one: whoever repeats it, because no answer came, gets the same answer for a while.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Previous {
    pub(super) token: SecretHash,
    /// By which its successors follow from it.
    pub(super) salt: SecretSalt,
    #[serde(with = "seconds")]
    pub(super) rotated_at: UnixTime,
}

/// Random bytes that are of no use without a secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SecretSalt(#[serde(with = "base64_bytes")] pub(super) [u8; 32]);

/// An access token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AccessEntry {
    pub(crate) token: SecretHash,
    #[serde(with = "seconds")]
    pub(crate) issued_at: UnixTime,
    #[serde(with = "seconds")]
    pub(crate) expires_at: UnixTime,
    /// If it is for less than the session is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) scopes: Option<ScopeSet>,
}

/// What is handed out together.
#[derive(Debug)]
pub(crate) struct TokenPair {
    pub(crate) access: Secret,
    pub(crate) refresh: Option<Secret>,
    pub(crate) issued_at: UnixTime,
    pub(crate) access_expires_at: UnixTime,
    /// What the access token is for.
    pub(crate) scopes: ScopeSet,
}

/// So many access tokens of a session may be alive. Whoever gets more of them than one in ten seconds does not need them.
const MAX_ACCESS_TOKENS: usize = 64;

impl ActiveTokens {
    /// The tokens that `code` was good for.
    pub(super) fn of_code(code: RedeemedCode) -> Self {
        Self { code: Some(code), ..Self::default() }
    }

    pub(super) const fn code(&self) -> Option<&RedeemedCode> {
        self.code.as_ref()
    }

    /// Takes an access token back. Whether there was one.
    pub(crate) fn take_back(&mut self, token: SecretHash) -> bool {
        let before = self.access.len();
        self.access.retain(|entry| entry.token != token);
        self.access.len() < before
    }

    /// When nothing of it works any more.
    pub(super) fn expires_at(&self) -> UnixTime {
        let access = self.access.iter().map(|entry| entry.expires_at);
        access.chain(self.refresh.as_ref().map(|refresh| refresh.expires_at)).max().unwrap_or_default()
    }

    /// The access token of this hash, if it is alive.
    pub(crate) fn access(&self, token: SecretHash, now: UnixTime) -> Option<&AccessEntry> {
        self.access.iter().find(|entry| entry.token == token && now < entry.expires_at)
    }

    /// Forgets what has expired; `false` if there is no room for another one then.
    pub(super) fn make_room(&mut self, now: UnixTime) -> bool {
        self.access.retain(|entry| now < entry.expires_at);
        self.access.len() < MAX_ACCESS_TOKENS
    }

    pub(super) fn push(&mut self, entry: AccessEntry) {
        self.access.push(entry);
    }
}

impl Session {
    /// Its tokens, if it has any.
    pub(crate) const fn live(&self) -> Option<&ActiveTokens> {
        match &self.stage {
            Stage::Live(live) => Some(live),
            Stage::Code(_) | Stage::Ended { .. } => None,
        }
    }

    /// Puts the hashes of `access` and `refresh` down in `live`.
    pub(super) fn issue(
        &self,
        live: &mut ActiveTokens,
        (access, refresh): (Secret, Option<Secret>),
        (previous, grace): (Option<Previous>, GraceUse),
        narrowed: Option<ScopeSet>,
        lifetimes: &Lifetimes,
        now: UnixTime,
    ) -> TokenPair {
        // Stored times are whole seconds: what is told must not be later than what is stored.
        let now = UnixTime::from_secs(now.as_secs());
        let expires_at = (now + lifetimes.access_token).min(self.ends_at);
        let token = access.hash();
        live.push(AccessEntry { token, issued_at: now, expires_at, scopes: narrowed.clone() });
        live.refresh = refresh.as_ref().map(|refresh| Refresh {
            token: refresh.hash(),
            expires_at: (now + lifetimes.refresh_token).min(self.ends_at),
            previous,
            grace,
        });
        let scopes = narrowed.unwrap_or_else(|| self.scopes.clone());
        TokenPair { access, refresh, issued_at: now, access_expires_at: expires_at, scopes }
    }
}
