//! The part of the page that is about the bridge.

use super::results::{CALLERS, Results, SESSIONS, USERS};
use crate::report::machine;

/// All of it, in Markdown.
pub(crate) fn text(results: &Results) -> String {
    let rows = [
        (format!("whole logins, {USERS} users at once, without the provider's share, a second"), results.logins),
        (
            "the same with the provider, which has the other half of the machine".to_owned(),
            results.logins_with_provider,
        ),
        (format!("refresh tokens rotated, {CALLERS} clients at once, a second"), results.refreshes),
        (format!("access tokens checked in the store, {CALLERS} at once, a second"), results.bearer_cold),
        (format!("access tokens checked behind the cache, {CALLERS} at once, a second"), results.bearer_warm),
        ("memory of the process before the first login, MiB".to_owned(), results.rss_before),
        ("memory of the process with all sessions and their grants, MiB".to_owned(), results.rss),
        ("the database, MiB".to_owned(), results.database),
    ];
    let rows: String = rows.iter().map(|(what, number)| format!("| {what} | {number:.0} |\n")).collect();
    let sessions = SESSIONS / 1000;
    format!(
        "## The bridge\n\n{sessions},000 sessions in SQLite, as it ships: what is said to be written is on the disk.\n\n\
         | | measured |\n|---|---:|\n{rows}\n{METHOD}\nThe machine: {}.\n",
        machine()
    )
}

const METHOD: &str = "\
    A login is all of it: the consent page, the consent, the way to the provider and back, the code exchange there, the ID token, the\n\
    profile, the session and the grant on the disk, the code, the tokens. The bridge is called as a service, without sockets; the\n\
    provider is a process of its own, and is called over loopback. Its share is what the same number of logins takes of which the bridge\n\
    does nothing: the login page, and the calls of the provider that the bridge makes. Sessions are picked at random.\n";
