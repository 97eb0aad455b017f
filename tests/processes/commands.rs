//! What a process is told, and what it says.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where a process finds its [`Commands`].
pub(crate) const COMMANDS: &str = "PORTCULLIS_TEST_COMMANDS";

/// With this begins a line that is a [`Report`].
pub(crate) const MARK: &str = "@ ";

/// Where tokens are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Kept {
    InDatabase,
    InFile,
}

/// Who asks for tokens.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Asks {
    /// A server, for the grants of its users.
    Refresher,
    /// A desktop program: a token manager for each login.
    Manager,
}

/// What a process is to do.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Commands {
    pub(crate) database: PathBuf,
    pub(crate) kept: Kept,
    pub(crate) asks: Asks,
    pub(crate) issuer: String,
    /// The grants that are asked for, and the subject of the binding of each.
    pub(crate) grants: Vec<(String, String)>,
    pub(crate) tasks_per_grant: usize,
    /// Between two questions of a task, at most.
    pub(crate) pause_ms: u64,
    pub(crate) exchange_timeout_ms: u64,
    /// By how many seconds its clock is ahead.
    pub(crate) ahead: u64,
    /// It says so when it has new tokens, and never saves them.
    pub(crate) stops_before_saving: bool,
}

/// What a process says, before it goes on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// It is about to ask.
    Ready,
    /// A token was handed out to a task that asked at that time, in nanoseconds.
    Handed { grant: String, generation: u64, asked_at: u64, expires_at: u64 },
    /// What the provider said of it: `alive`, or the reason of the refusal.
    Used { grant: String, generation: u64, outcome: String },
    /// There is no token for now.
    Failed { grant: String, reason: String },
    /// There is none any more.
    Ended { grant: String, reason: String, is_login_needed: bool },
    /// The exchange has been answered.
    Saving,
    /// It has ended as it should; `lost` grants were never saved.
    Done { lost: usize },
}

/// What is said of a token that works.
pub(crate) const ALIVE: &str = "alive";
