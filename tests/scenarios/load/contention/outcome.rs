//! [`Outcome`]: what a burst of calls comes to.

use std::{fmt, time::Duration};

use futures_util::future::join_all;
use portcullis_testkit::Endpoint;
use tokio::time::{Instant, sleep};

use super::{Client, Refusal, Site};

/// What a burst of calls comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Outcome {
    /// Requests to the token endpoint.
    pub(crate) exchanges: usize,
    /// Calls that were served.
    pub(crate) served: usize,
    /// Calls after which the user had to log in again.
    pub(crate) logins: usize,
    /// Calls that were told to come later.
    pub(crate) later: usize,
    /// Requests to the resource with a dead token.
    pub(crate) dead_calls: usize,
    /// After what time the last call had its answer.
    pub(crate) last: Duration,
}

/// What goes on in the background is over by then.
const SETTLED: Duration = Duration::from_millis(300);

impl Site {
    /// `calls` of each of `clients`, all at once.
    pub(crate) async fn burst<C: Client>(&self, clients: &[C], calls: usize) -> Outcome {
        let (exchanges, dead_calls, begun) = (self.idp.calls(Endpoint::Token), self.idp.dead_calls(), Instant::now());
        let tasks = clients.iter().flat_map(|client| vec![client.clone(); calls]).map(|client| {
            tokio::spawn(async move {
                let told = client.call().await;
                (told, begun.elapsed())
            })
        });
        let tasks: Vec<_> = tasks.collect();
        let mut outcome = Outcome::default();
        for answer in join_all(tasks).await {
            let (told, after) = answer.expect("no panic");
            match told {
                Ok(()) => outcome.served += 1,
                Err(Refusal::Login) => outcome.logins += 1,
                Err(Refusal::Later) => outcome.later += 1,
            }
            outcome.last = outcome.last.max(after);
        }
        sleep(SETTLED).await;
        outcome.exchanges = self.idp.calls(Endpoint::Token) - exchanges;
        outcome.dead_calls = self.idp.dead_calls() - dead_calls;
        outcome
    }
}

/// As it stands in a table.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = [(self.served, "served"), (self.logins, "must log in"), (self.later, "told to come later")];
        let told: Vec<_> = told.into_iter().filter(|(count, _)| *count > 0).collect();
        if told.is_empty() {
            return write!(f, "{}: no request waits", self.exchanges);
        }
        let told: Vec<_> = told.into_iter().map(|(count, what)| format!("{count} {what}")).collect();
        write!(f, "{}: {} within {:.2} s", self.exchanges, told.join(", "), self.last.as_secs_f64())?;
        if self.dead_calls == 0 { Ok(()) } else { write!(f, " ({} requests refused)", self.dead_calls) }
    }
}
