//! The section of the page about the bridge.

use super::results::{CALLERS, Results, SESSIONS, USERS};
use crate::report::machine;

/// Returns the section in Markdown.
pub(crate) fn text(results: &Results) -> String {
    let rows = [
        (format!("whole logins, {USERS} users at once, without the provider's share, a second"), results.logins),
        (
            "the same with the provider, which uses the other half of the machine".to_owned(),
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
        "## The bridge\n\n{sessions},000 sessions in SQLite with the default settings: each write is durable before it is reported.\n\n\
         | | measured |\n|---|---:|\n{rows}\n{METHOD}\nThe machine: {}.\n",
        machine()
    )
}

const METHOD: &str = "\
    A login consists of the consent page, the consent, the redirects to the provider and back, the code exchange there, the ID token, the\n\
    profile, the stored session and grant, the code, and the tokens. The bridge is called as a service, without sockets. The provider is a\n\
    separate process, called over loopback. Its share is the time of the same number of logins without the work of the bridge: the login\n\
    page, and the requests of the bridge to the provider. Sessions are selected at random.\n";
