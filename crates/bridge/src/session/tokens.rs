//! [`ActiveTokens`]: the tokens of a session, as hashes.

use std::time::Duration;

use portcullis_core::{ScopeSet, UnixTime};
use serde::{Deserialize, Serialize};

use super::{
    GraceUse,
    secret::{Secret, SecretHash, base64_bytes},
};

/// The lifetimes of tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetimes {
    pub(crate) access_token: Duration,
    pub(crate) refresh_token: Duration,
    /// How long a rotated refresh token still returns the same new tokens.
    pub(crate) rotation_grace: Duration,
}

/// The tokens of a session, as hashes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ActiveTokens {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<RedeemedCode>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refresh: Option<RefreshEntry>,
    /// Access tokens that have not expired, the oldest first.
    access: Vec<AccessEntry>,
}

/// The current refresh token, and the previous one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RefreshEntry {
    pub(crate) token: SecretHash,
    #[serde(with = "seconds")]
    pub(crate) expires_at: UnixTime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) previous: Option<PreviousToken>,
    /// Counts repetitions within the grace period.
    #[serde(default, skip_serializing_if = "GraceUse::is_unused")]
    pub(crate) grace: GraceUse,
}

/// The previous refresh token, which a client may repeat within the grace period.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PreviousToken {
    pub(crate) token: SecretHash,
    /// The salt that the current tokens are derived with.
    pub(crate) salt: SecretSalt,
    #[serde(with = "seconds")]
    pub(crate) rotated_at: UnixTime,
}

/// A random salt. It is useless without the secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SecretSalt(#[serde(with = "base64_bytes")] pub(crate) [u8; 32]);

/// An access token, as a hash.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AccessEntry {
    pub(crate) token: SecretHash,
    #[serde(with = "seconds")]
    pub(crate) issued_at: UnixTime,
    #[serde(with = "seconds")]
    pub(crate) expires_at: UnixTime,
    /// The scopes, if they are fewer than the session's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) scopes: Option<ScopeSet>,
}

/// Tokens that are issued together.
#[derive(Debug)]
pub(crate) struct TokenPair {
    pub(crate) access: Secret,
    pub(crate) refresh: Option<Secret>,
    pub(crate) issued_at: UnixTime,
    pub(crate) access_expires_at: UnixTime,
    /// The scopes of the access token.
    pub(crate) scopes: ScopeSet,
}

/// New tokens of a session.
#[derive(Debug)]
pub(crate) struct NewTokens {
    pub(crate) access: Secret,
    pub(crate) refresh: Option<Secret>,
    pub(crate) previous: Option<PreviousToken>,
    pub(crate) grace: GraceUse,
    /// The scopes of the access token, if they are fewer than the session's.
    pub(crate) scopes: Option<ScopeSet>,
}

/// An authorization code that was redeemed, for the detection of reuse.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RedeemedCode {
    pub(crate) code: SecretHash,
    pub(crate) challenge: Box<str>,
}

/// The maximum number of unexpired access tokens of a session, which is one per ten seconds.
const MAX_ACCESS_TOKENS: usize = 64;

impl ActiveTokens {
    /// Creates the tokens of a session whose code was redeemed.
    pub(crate) fn from_code(code: RedeemedCode) -> Self {
        Self { code: Some(code), ..Self::default() }
    }

    pub(crate) const fn code(&self) -> Option<&RedeemedCode> {
        self.code.as_ref()
    }

    /// Removes an access token. Returns whether it existed.
    pub(crate) fn revoke_access_token(&mut self, token: SecretHash) -> bool {
        let before = self.access.len();
        self.access.retain(|entry| entry.token != token);
        self.access.len() < before
    }

    /// Returns the time after which no token is valid.
    pub(super) fn expires_at(&self) -> UnixTime {
        let access = self.access.iter().map(|entry| entry.expires_at);
        access.chain(self.refresh.as_ref().map(|refresh| refresh.expires_at)).max().unwrap_or_default()
    }

    /// Returns the access token with this hash, if it has not expired.
    pub(crate) fn access(&self, token: SecretHash, now: UnixTime) -> Option<&AccessEntry> {
        self.access.iter().find(|entry| entry.token == token && now < entry.expires_at)
    }

    /// Removes expired access tokens. Returns whether there is room for another one.
    pub(crate) fn make_room(&mut self, now: UnixTime) -> bool {
        self.access.retain(|entry| now < entry.expires_at);
        self.access.len() < MAX_ACCESS_TOKENS
    }

    pub(super) fn push(&mut self, entry: AccessEntry) {
        self.access.push(entry);
    }
}

impl NewTokens {
    /// The first tokens of a session.
    pub(crate) fn first(refresh: Option<Secret>) -> Self {
        Self { access: Secret::random(), refresh, previous: None, grace: GraceUse::default(), scopes: None }
    }
}

/// A time as whole seconds since the epoch.
pub(crate) mod seconds {
    use portcullis_core::UnixTime;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(time: &UnixTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(time.as_secs())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UnixTime, D::Error> {
        u64::deserialize(deserializer).map(UnixTime::from_secs)
    }
}
