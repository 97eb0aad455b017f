//! How a grant ends: by its user, by revocation, or because something was used twice.

use std::mem;

use super::{super::state::State, ledger::GrantNumber};

impl State {
    /// All tokens of the grant are dead.
    pub(super) fn end(&mut self, number: GrantNumber) {
        let grant = self.ledger.grant_mut(number);
        grant.ended = true;
        for token in mem::take(&mut grant.access_tokens) {
            self.tokens.remove(&token);
        }
    }

    pub(super) fn end_for_reuse(&mut self, number: GrantNumber) {
        self.ledger.families_killed += 1;
        self.end(number);
    }

    pub(super) fn end_all_of(&mut self, subject: &str) {
        for number in self.ledger.grants_of(subject) {
            self.end(number);
        }
    }

    /// [RFC 7009](https://www.rfc-editor.org/rfc/rfc7009): a token ends with all its grant, unless it is an access token and
    /// ends alone here. A token of somebody else stays as it is.
    pub(in super::super) fn revoke_token(&mut self, client_id: &str, token: &str) {
        let is_refresh_token = self.ledger.refresh_tokens.contains_key(token);
        match self.ledger.grant_of(token) {
            Some(number) if self.ledger.grant(number).client_id != client_id => {}
            Some(number) if is_refresh_token || !self.dialect.access_tokens_end_alone() => self.end(number),
            _ => drop(self.tokens.remove(token)),
        }
    }

    /// Ends the grant from which `token`, of either kind, came. `false` if there is none.
    pub(in super::super) fn end_grant_of(&mut self, token: &str) -> bool {
        let number = self.ledger.grant_of(token).filter(|number| !self.ledger.grant(*number).ended);
        if let Some(number) = number {
            self.end(number);
        }
        number.is_some()
    }

    pub(super) fn is_refreshable(&self, refresh_token: &str) -> bool {
        let now = self.clock.now();
        self.ledger.refresh_tokens.get(refresh_token).is_some_and(|token| {
            let used_up = token.used_at.is_some_and(|used_at| used_at + self.policy.reuse_leeway <= now);
            !used_up && token.expires_at > now && !self.ledger.grant(token.grant).ended
        })
    }
}
