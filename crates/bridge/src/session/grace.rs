//! [`GraceUse`]: counts repetitions of refresh tokens within the grace period, and detects signs of a stolen copy.

use std::{net::IpAddr, time::Duration};

use portcullis_core::UnixTime;
use serde::{Deserialize, Serialize};

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
