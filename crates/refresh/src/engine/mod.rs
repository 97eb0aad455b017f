//! The refresh engine: for each grant a state machine, and at most one refresh task at a time.
//!
//! A token is asked for at the [`GrantEntry`] (the token is fresh: the answer is immediate) or in [`refresh_task`] (a refresh is
//! needed or may be needed). From there on each file uses only those below it:
//!
//! | file | what it does |
//! |---|---|
//! | [`refresh_task`] | performs one refresh on a task of its own: read, lease, read again, present the refresh token, save |
//! | [`exchange`] | calls the authorization server, once |
//! | [`commit`] | holds the lease of the grant meanwhile, and writes new tokens before they are handed out |
//! | [`pool`] | finds the entry of a grant, whose state is behind a lock that is never held across an await |
//! | [`state`] | decides; it performs no I/O, reads no clock and starts no task |
//! | [`refusal_evidence`] | decides whether refusals that no standard explains prove that a refresh token is dead |
//!
//! Locks, tasks and pauses are those of `runtime`. The unit tests of this crate have shuttle's instead, which run the engine under many
//! interleavings of its tasks; nothing else about the engine differs there.

mod commit;
mod exchange;
mod pool;
mod refresh_task;
mod refusal_evidence;
mod state;

#[cfg(test)]
mod tests;

#[cfg(test)]
use self::tests::runtime;
#[cfg(not(test))]
mod runtime {
    pub(crate) use std::sync::{Mutex, MutexGuard};

    pub(crate) use portcullis_remote::SharedTask;
    pub(crate) use tokio::{runtime::Handle, time::sleep};
}

pub(crate) use commit::replace;
pub(crate) use pool::{
    BoxedAcquisition, BoxedTokenRefresh, GrantEntry, RefreshPool, Shared, SharedRefresh, logged_out,
};
pub(crate) use refresh_task::{ask, ask_again};
pub(crate) use state::{Decision, Row};
