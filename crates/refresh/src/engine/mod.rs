//! The refresh engine: for each grant a state machine, and at most one refresh task at a time.
//!
//! A token is asked for in [`entry`] (the token is fresh: the answer is immediate) or in [`refresh_task`] (a refresh is needed or
//! may be needed). From there on each file uses only those below it:
//!
//! | file | what it does |
//! |---|---|
//! | [`pool`] | finds the entry of a grant, and forgets entries that are not in use |
//! | [`refresh_task`] | performs one refresh on a task of its own: read, lease, read again, present the refresh token, save |
//! | [`save`] | writes new tokens before they are handed out, and retries a save that failed |
//! | [`lease`] | holds the exclusive right to refresh a grant, across processes |
//! | [`entry`] | holds the state of one grant behind a lock that is never held across an await |
//! | [`shared`] | what all refreshes have in common: store, token refresh service, clock, configuration, metrics, tasks |
//! | [`state`] | decides; it performs no I/O, reads no clock and starts no task |
//! | [`refusal_evidence`] | decides whether refusals that no standard explains prove that a refresh token is dead |
//! | [`current_tokens`] | the tokens of a grant in this process, and their deadlines |
//! | [`runtime`] | locks, tasks and pauses; shuttle's in the unit tests, which explore the interleavings of this code |

mod current_tokens;
mod entry;
mod lease;
mod pool;
mod refresh_task;
mod refusal_evidence;
mod runtime;
mod save;
mod shared;
mod state;

#[cfg(test)]
mod tests;

pub(crate) use entry::{GrantEntry, SharedRefresh};
pub(crate) use pool::RefreshPool;
pub(crate) use refresh_task::{ask, ask_again};
pub(crate) use shared::Shared;
pub(crate) use state::{Decision, Row};
