//! How many files, and so how many connections, the process may have open.

/// What is left for everything that is no connection of a client: the admin listener, stores, providers, files.
const RESERVE: usize = 256;

/// Raises the limit of open files as far as this process may, and says how many it is now. Where there is none, or it cannot be
/// read, that is `usize::MAX`.
pub fn raise_descriptor_limit() -> usize {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => usize::try_from(limit).unwrap_or(usize::MAX),
        Err(error) => {
            tracing::warn!(%error, "the limit of open files cannot be read or raised (ulimit -n)");
            usize::MAX
        }
    }
}

/// How many of `max` connections the limit of open files leaves room for.
pub(crate) fn affordable(max: usize) -> usize {
    let limit = raise_descriptor_limit();
    // Where there are very few files, half of them.
    let room = limit.saturating_sub(RESERVE).max(limit / 2);
    if room < max {
        tracing::warn!(
            max,
            room,
            "fewer connections than configured: the limit of open files (ulimit -n) leaves no more"
        );
    }
    room.min(max)
}
