//! A snapshot of an identity provider, so that a demo survives a restart of its process.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{IdentityProvider, grants::LedgerSnapshot};

/// What outlives a process. Keys, pending codes, sessions of browsers, faults and counters do not.
#[derive(Serialize, Deserialize)]
struct Snapshot {
    serial: u64,
    users: BTreeMap<String, Map<String, Value>>,
    tokens: BTreeMap<String, Map<String, Value>>,
    ledger: LedgerSnapshot,
}

impl IdentityProvider {
    /// Returns the users, grants and tokens as JSON, for [`restore`](Self::restore). It contains the tokens in the clear.
    ///
    /// ```
    /// use portcullis_testkit::IdentityProvider;
    ///
    /// let provider = IdentityProvider::new();
    /// let grant = provider.issue_grant("ada", "openid");
    /// let restarted = IdentityProvider::new();
    /// restarted.restore(&provider.snapshot())?;
    /// assert!(restarted.is_refreshable(&grant.refresh_token));
    /// # Ok::<_, serde_json::Error>(())
    /// ```
    #[must_use]
    pub fn snapshot(&self) -> String {
        let state = self.state();
        let snapshot = Snapshot {
            serial: state.serial,
            users: state.users.clone(),
            tokens: state.tokens.iter().map(|(token, claims)| (token.clone(), claims.clone())).collect(),
            ledger: state.ledger.snapshot(),
        };
        drop(state);
        serde_json::to_string(&snapshot).expect("strings, numbers and maps with string keys")
    }

    /// Replaces users, grants and tokens by those of a [`snapshot`](Self::snapshot).
    ///
    /// # Errors
    /// Returns an error if `snapshot` is not one; nothing is replaced then.
    pub fn restore(&self, snapshot: &str) -> serde_json::Result<()> {
        let Snapshot { serial, users, tokens, ledger } = serde_json::from_str(snapshot)?;
        let mut state = self.state();
        state.serial = state.serial.max(serial);
        state.users = users;
        state.tokens = tokens.into_iter().collect();
        state.ledger.restore(ledger);
        Ok(())
    }
}
