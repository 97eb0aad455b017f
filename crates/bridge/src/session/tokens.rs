//! [`ActiveTokens`]: the tokens of a session, as hashes. [`GraceUse`] counts repetitions of refresh tokens within the grace period, and
//! detects signs of a stolen copy.

use std::{net::IpAddr, time::Duration};

use portcullis_core::{ScopeSet, UnixTime};
use serde::{Deserialize, Serialize};

use super::secret::{Secret, SecretHash, base64_bytes};

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

/// An authorization code that was redeemed, for repetitions and for the detection of reuse.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RedeemedCode {
    pub(crate) code: SecretHash,
    pub(crate) challenge: Box<str>,
    /// The first tokens, which the client may request again. Rows of older versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) first: Option<Box<FirstTokens>>,
}

/// The tokens that a code was redeemed for. Only a holder of the code can derive them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct FirstTokens {
    pub(crate) salt: SecretSalt,
    #[serde(with = "seconds")]
    pub(crate) issued_at: UnixTime,
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

/// The number of consecutive repeated rotations that suggests two parties: responses are rarely lost three times in a row.
const SUSPICIOUS_ROTATIONS: u8 = 3;

/// The minimum time between two log entries about one session.
const LOGGED_EVERY: Duration = Duration::from_hours(1);

/// The repetitions of a session within the grace period. An attacker with a copy of the refresh token causes repetitions as well.
///
/// It is a part of the session's row, so all processes share it. Rows of older versions have none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct GraceUse {
    /// The address of the last rotation.
    #[serde(skip_serializing_if = "Option::is_none")]
    rotated_from: Option<IpAddr>,
    /// Whether its token was repeated.
    #[serde(skip_serializing_if = "is_false")]
    is_repeated: bool,
    /// Whether a repetition came from another address.
    #[serde(skip_serializing_if = "is_false")]
    is_from_elsewhere: bool,
    /// The number of consecutive rotations whose token was repeated.
    #[serde(skip_serializing_if = "is_zero")]
    in_a_row: u8,
    /// The time of the last log entry, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    logged_at: Option<u64>,
}

/// A sign of a stolen copy: a label of metrics, and a field of the log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum ReuseSign {
    /// The tokens of several consecutive rotations were repeated.
    EveryRotation,
    /// A token was rotated from one address and repeated from another one.
    TwoAddresses,
}

/// A repetition with signs of a stolen copy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SuspectedReuse {
    pub(crate) signs: Vec<ReuseSign>,
    /// The number of consecutive rotations whose token was repeated.
    pub(crate) in_a_row: u8,
    pub(crate) rotated_from: Option<IpAddr>,
    pub(crate) repeated_from: Option<IpAddr>,
    /// Whether a log entry is due.
    pub(crate) is_to_be_logged: bool,
}

impl ReuseSign {
    pub(crate) const ALL: [Self; 2] = [Self::EveryRotation, Self::TwoAddresses];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::EveryRotation => "every_rotation",
            Self::TwoAddresses => "two_addresses",
        }
    }
}

impl GraceUse {
    /// Reports whether it has the default value.
    pub(crate) fn is_unused(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the state after a rotation from the address `from`.
    pub(crate) fn after_rotation(&self, from: Option<IpAddr>) -> Self {
        let in_a_row = if self.is_repeated { self.in_a_row } else { 0 };
        Self { rotated_from: from, in_a_row, logged_at: self.logged_at, ..Self::default() }
    }

    /// Counts a repetition from the address `from`. Returns new signs, each at most once per rotation.
    pub(crate) fn repeat(&mut self, from: Option<IpAddr>, now: UnixTime) -> Option<SuspectedReuse> {
        let mut signs = Vec::new();
        if !self.is_repeated {
            self.is_repeated = true;
            self.in_a_row = self.in_a_row.saturating_add(1);
            signs.extend((self.in_a_row >= SUSPICIOUS_ROTATIONS).then_some(ReuseSign::EveryRotation));
        }
        let is_elsewhere = self.rotated_from.zip(from).is_some_and(|(rotated, repeated)| rotated != repeated);
        if is_elsewhere && !self.is_from_elsewhere {
            self.is_from_elsewhere = true;
            signs.push(ReuseSign::TwoAddresses);
        }
        if signs.is_empty() {
            return None;
        }
        let is_to_be_logged = self.logged_at.is_none_or(|at| now >= UnixTime::from_secs(at) + LOGGED_EVERY);
        if is_to_be_logged {
            self.logged_at = Some(now.as_secs());
        }
        let (in_a_row, rotated_from) = (self.in_a_row, self.rotated_from);
        Some(SuspectedReuse { signs, in_a_row, rotated_from, repeated_from: from, is_to_be_logged })
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_false(value: &bool) -> bool {
    !*value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_zero(value: &u8) -> bool {
    *value == 0
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
