//! [`Ledger`]: what users granted, and how a grant ends: by its user, by revocation, or by reuse.

use std::{
    collections::{BTreeMap, HashMap},
    mem,
};

use portcullis_core::UnixTime;
use serde::{Deserialize, Serialize};

use super::super::state::State;

/// The grants of all users, with their tokens.
#[derive(Default)]
pub(crate) struct Ledger {
    grants: Vec<Grant>,
    pub(super) refresh_tokens: HashMap<String, RefreshToken>,
    pub(super) codes: HashMap<String, Code>,
    /// The number of times each refresh token, known or not, was presented by an authenticated client.
    pub(super) presented: HashMap<String, usize>,
    pub(super) rotations: usize,
    pub(super) families_killed: usize,
    pub(crate) dead_calls: usize,
}

/// What a user granted to a client: the family of all tokens that are issued for it.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Grant {
    pub(super) client_id: String,
    pub(super) subject: String,
    pub(super) scope: String,
    /// Whether there are refresh tokens, as far as the request for the user's consent has a say in that.
    pub(super) is_offline: bool,
    pub(super) access_tokens: Vec<String>,
    pub(super) ended: bool,
}

/// A refresh token, valid or spent.
pub(super) struct RefreshToken {
    pub(super) grant: GrantNumber,
    pub(super) used_at: Option<UnixTime>,
    pub(super) expires_at: UnixTime,
}

/// An authorization code, valid or spent.
pub(super) struct Code {
    pub(super) grant: GrantNumber,
    pub(super) redirect_uri: String,
    pub(super) code_challenge: Option<String>,
    pub(super) nonce: Option<String>,
    pub(super) expires_at: UnixTime,
    pub(super) used: bool,
}

/// The place of a grant in the ledger.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct GrantNumber(usize);

/// What [`Ledger`] keeps in a snapshot: the grants, and for each refresh token its grant, when it was used and when it expires.
#[derive(Serialize, Deserialize)]
pub(crate) struct LedgerSnapshot {
    grants: Vec<Grant>,
    refresh_tokens: BTreeMap<String, (GrantNumber, Option<u64>, u64)>,
}

impl Ledger {
    /// Returns what a snapshot keeps. Pending codes and the counters of tests are not part of it.
    pub(crate) fn snapshot(&self) -> LedgerSnapshot {
        let refresh_tokens = self.refresh_tokens.iter().map(|(name, token)| {
            (name.clone(), (token.grant, token.used_at.map(UnixTime::as_secs), token.expires_at.as_secs()))
        });
        LedgerSnapshot { grants: self.grants.clone(), refresh_tokens: refresh_tokens.collect() }
    }

    /// Replaces the grants by those of a snapshot.
    pub(crate) fn restore(&mut self, LedgerSnapshot { grants, refresh_tokens }: LedgerSnapshot) {
        let known = refresh_tokens.into_iter().filter(|(_, (grant, ..))| grant.0 < grants.len());
        self.refresh_tokens = known
            .map(|(name, (grant, used_at, expires_at))| {
                let (used_at, expires_at) = (used_at.map(UnixTime::from_secs), UnixTime::from_secs(expires_at));
                (name, RefreshToken { grant, used_at, expires_at })
            })
            .collect();
        self.grants = grants;
    }

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

    /// Reports whether `subject` has granted refresh tokens to `client_id` before.
    pub(super) fn is_offline(&self, client_id: &str, subject: &str) -> bool {
        let is_theirs = |grant: &&Grant| grant.client_id == client_id && grant.subject == subject && !grant.ended;
        self.grants.iter().filter(is_theirs).any(|grant| grant.is_offline)
    }

    /// Returns the grant of `token`, of either kind.
    pub(super) fn grant_of(&self, token: &str) -> Option<GrantNumber> {
        let refresh = self.refresh_tokens.get(token).map(|refresh_token| refresh_token.grant);
        let has_it = |grant: &Grant| grant.access_tokens.iter().any(|access_token| access_token == token);
        refresh.or_else(|| self.grants.iter().position(has_it).map(GrantNumber))
    }
}

impl State {
    /// Ends a grant and all its tokens.
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
    /// ends alone here. A token of another client remains valid.
    pub(crate) fn revoke_token(&mut self, client_id: &str, token: &str) {
        let is_refresh_token = self.ledger.refresh_tokens.contains_key(token);
        match self.ledger.grant_of(token) {
            Some(number) if self.ledger.grant(number).client_id != client_id => {}
            Some(number) if is_refresh_token || !self.dialect.access_tokens_end_alone() => self.end(number),
            _ => drop(self.tokens.remove(token)),
        }
    }

    /// Ends the grant of `token`, of either kind. Returns `false` if there is none.
    pub(crate) fn end_grant_of(&mut self, token: &str) -> bool {
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

/// The reason why there are no tokens: finer than `error`, because vendors distinguish more cases.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    InvalidRequest(&'static str),
    UnknownClient,
    WrongSecret,
    UnsupportedGrantType,
    InvalidScope,
    AnotherClient,
    CodeNotValid,
    GrantEnded,
    RefreshTokenExpired,
    RefreshTokenReused,
    RefreshTokenUnknown,
    VerifierMismatch,
}

impl Refusal {
    /// Returns the code in `error`, [RFC 6749 section 5.2](https://www.rfc-editor.org/rfc/rfc6749#section-5.2).
    pub(crate) const fn error(self) -> &'static str {
        match self {
            Self::InvalidRequest(_) => "invalid_request",
            Self::UnknownClient | Self::WrongSecret => "invalid_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidScope => "invalid_scope",
            Self::AnotherClient
            | Self::CodeNotValid
            | Self::GrantEnded
            | Self::RefreshTokenExpired
            | Self::RefreshTokenReused
            | Self::RefreshTokenUnknown
            | Self::VerifierMismatch => "invalid_grant",
        }
    }

    pub(crate) const fn is_about_the_client(self) -> bool {
        matches!(self, Self::UnknownClient | Self::WrongSecret)
    }

    /// Returns the description. That of `invalid_grant` gives no reason, so that an attacker learns nothing by trying.
    pub(crate) const fn description(self) -> &'static str {
        match self {
            Self::InvalidRequest(description) => description,
            Self::UnknownClient | Self::WrongSecret => "client authentication failed",
            Self::UnsupportedGrantType => "unsupported grant_type requested",
            Self::InvalidScope => "refresh token missing requested scope",
            Self::AnotherClient
            | Self::CodeNotValid
            | Self::GrantEnded
            | Self::RefreshTokenExpired
            | Self::RefreshTokenReused
            | Self::RefreshTokenUnknown
            | Self::VerifierMismatch => "grant request is invalid",
        }
    }
}
