//! [`Ledger`]: who was granted what, and what became of it.

use std::collections::HashMap;

use portcullis_core::UnixTime;

/// Who was granted what, and what became of it.
#[derive(Default)]
pub(in super::super) struct Ledger {
    grants: Vec<Grant>,
    pub(super) refresh_tokens: HashMap<String, RefreshToken>,
    pub(super) codes: HashMap<String, Code>,
    /// How many times each refresh token, known or not, was presented by a client that had proved who it is.
    pub(super) presented: HashMap<String, usize>,
    pub(super) rotations: usize,
    pub(super) families_killed: usize,
    pub(in super::super) dead_calls: usize,
}

/// What a user allowed a client: the family of all tokens that come from it.
pub(super) struct Grant {
    pub(super) client_id: String,
    pub(super) subject: String,
    pub(super) scope: String,
    /// Whether there are refresh tokens, as far as the request for the user's consent has a say in that.
    pub(super) is_offline: bool,
    pub(super) access_tokens: Vec<String>,
    pub(super) ended: bool,
}

/// A refresh token, good or used up.
pub(super) struct RefreshToken {
    pub(super) grant: GrantNumber,
    pub(super) used_at: Option<UnixTime>,
    pub(super) expires_at: UnixTime,
}

/// An authorization code, good or used up.
pub(super) struct Code {
    pub(super) grant: GrantNumber,
    pub(super) redirect_uri: String,
    pub(super) code_challenge: Option<String>,
    pub(super) nonce: Option<String>,
    pub(super) expires_at: UnixTime,
    pub(super) used: bool,
}

/// The place of a grant in the ledger.
#[derive(Clone, Copy)]
pub(super) struct GrantNumber(usize);

impl Ledger {
    pub(super) fn open(&mut self, client_id: &str, subject: &str, scope: &str) -> GrantNumber {
        self.grants.push(Grant {
            client_id: client_id.to_owned(),
            subject: subject.to_owned(),
            scope: scope.to_owned(),
            is_offline: true,
            access_tokens: Vec::new(),
            ended: false,
        });
        GrantNumber(self.grants.len() - 1)
    }

    pub(super) fn grant(&self, number: GrantNumber) -> &Grant {
        &self.grants[number.0]
    }

    pub(super) fn grant_mut(&mut self, number: GrantNumber) -> &mut Grant {
        &mut self.grants[number.0]
    }

    pub(super) fn grants_of(&self, subject: &str) -> Vec<GrantNumber> {
        let of_subject = self.grants.iter().enumerate().filter(|(_, grant)| grant.subject == subject);
        of_subject.map(|(at, _)| GrantNumber(at)).collect()
    }

    /// Whether `subject` has let `client_id` have refresh tokens before.
    pub(super) fn is_offline(&self, client_id: &str, subject: &str) -> bool {
        let is_theirs = |grant: &&Grant| grant.client_id == client_id && grant.subject == subject && !grant.ended;
        self.grants.iter().filter(is_theirs).any(|grant| grant.is_offline)
    }

    /// The grant from which `token`, of either kind, came.
    pub(super) fn grant_of(&self, token: &str) -> Option<GrantNumber> {
        let refresh = self.refresh_tokens.get(token).map(|refresh_token| refresh_token.grant);
        let has_it = |grant: &Grant| grant.access_tokens.iter().any(|access_token| access_token == token);
        refresh.or_else(|| self.grants.iter().position(has_it).map(GrantNumber))
    }
}
