//! [`GraceUse`]: how often a session needs the grace period of its rotations, and what that suggests.

use std::{net::IpAddr, time::Duration};

use portcullis_core::UnixTime;
use serde::{Deserialize, Serialize};

/// So many rotations in a row whose token was presented again suggest that two parties refresh: answers are rarely lost three times
/// running.
const SUSPICIOUS_ROTATIONS: u8 = 3;

/// A session is named in the log at most so often.
const LOGGED_EVERY: Duration = Duration::from_hours(1);

/// How often a session has needed the grace period, which an attacker who has a copy of the refresh token would need as well.
///
/// It is part of the session's row, so that it is the same for every process. Rows of older versions have none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct GraceUse {
    /// Where the last rotation came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    rotated_from: Option<IpAddr>,
    /// Whether its token was presented again.
    #[serde(skip_serializing_if = "is_false")]
    is_repeated: bool,
    /// Whether that came from another address.
    #[serde(skip_serializing_if = "is_false")]
    is_from_elsewhere: bool,
    /// So many rotations in a row had their token presented again, the last one included.
    #[serde(skip_serializing_if = "is_zero")]
    in_a_row: u8,
    /// When the session was last named in the log, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    logged_at: Option<u64>,
}

/// What repetitions suggest: a label of metrics, and a field of the log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum ReuseSign {
    /// The grace period was needed at several rotations in a row.
    EveryRotation,
    /// A token was rotated from one address and presented again from another one.
    TwoAddresses,
}

/// A repetition that suggests that a copy of the refresh token is in use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SuspectedReuse {
    pub(crate) signs: Vec<ReuseSign>,
    /// Rotations in a row whose token was presented again.
    pub(crate) in_a_row: u8,
    pub(crate) rotated_from: Option<IpAddr>,
    pub(crate) repeated_from: Option<IpAddr>,
    /// Whether the log has not named the session for a while.
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
    /// Whether there is nothing to remember.
    pub(super) fn is_unused(&self) -> bool {
        *self == Self::default()
    }

    /// What is remembered after a rotation that came from `from`.
    pub(super) fn after_rotation(&self, from: Option<IpAddr>) -> Self {
        let in_a_row = if self.is_repeated { self.in_a_row } else { 0 };
        Self { rotated_from: from, in_a_row, logged_at: self.logged_at, ..Self::default() }
    }

    /// Notes that the token of the last rotation was presented again, from `from`. What that suggests: each sign once a rotation.
    pub(super) fn repeat(&mut self, from: Option<IpAddr>, now: UnixTime) -> Option<SuspectedReuse> {
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
