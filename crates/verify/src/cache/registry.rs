//! [`Registry`]: who holds a context, so that all of them can be told.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use portcullis_core::{Fingerprint, FingerprintState, Issuer, Principal, UserContext};

/// Whose contexts are withdrawn.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Target {
    /// By the [signed part](portcullis_core::BearerToken::signed_fingerprint), so in each of its encodings.
    Token(Fingerprint),
    User(Issuer, Box<str>),
    Issuer(Issuer),
    Everything,
}

impl Target {
    fn covers(&self, signed: &Fingerprint, principal: &Principal) -> bool {
        match self {
            Self::Token(token) => token == signed,
            Self::User(issuer, subject) => principal.issuer() == issuer && principal.subject() == &**subject,
            Self::Issuer(issuer) => principal.issuer() == issuer,
            Self::Everything => true,
        }
    }
}

/// Every context that somebody may still hold, cached or not, and every resolution under way.
///
/// A hit never comes here: it asks the context itself ([`Revocation`](portcullis_core::Revocation)).
#[derive(Debug, Default)]
pub(super) struct Registry(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    contexts: HashMap<Fingerprint, Token, FingerprintState>,
    sweep_at: usize,
    /// By number: what has been withdrawn since the resolution began.
    resolutions: HashMap<u64, Vec<Target>>,
    next: u64,
}

/// What is held of one token in one encoding.
#[derive(Debug)]
struct Token {
    signed: Fingerprint,
    /// Several, where a revalidation has replaced what a stream still holds.
    contexts: Vec<Weak<UserContext>>,
}

/// A resolution under way. What is withdrawn from now on concerns it.
#[derive(Debug)]
pub(super) struct Ticket<'a> {
    registry: &'a Registry,
    number: u64,
}

impl Registry {
    pub(super) fn begin(&self) -> Ticket<'_> {
        let mut held = self.lock();
        let number = held.next;
        held.next += 1;
        held.resolutions.insert(number, Vec::new());
        Ticket { registry: self, number }
    }

    /// Withdraws what `target` covers and says which tokens that were.
    pub(super) fn revoke(&self, target: &Target) -> Vec<Fingerprint> {
        let mut held = self.lock();
        for since in held.resolutions.values_mut() {
            since.push(target.clone());
        }
        let mut revoked = Vec::new();
        held.contexts.retain(|fingerprint, Token { signed, contexts }| {
            contexts.retain(|context| match context.upgrade() {
                Some(context) if target.covers(signed, context.principal()) => {
                    context.revocation().revoke();
                    // Once a token: how long a context that was replaced is still around is a matter of memory management.
                    if revoked.last() != Some(fingerprint) {
                        revoked.push(*fingerprint);
                    }
                    false
                }
                context => context.is_some(),
            });
            !contexts.is_empty()
        });
        revoked
    }

    /// Withdraws every context of a token that was refused, in this encoding: anyone can make another one, with a signature that
    /// does not fit. It does not concern resolutions under way: they find out for themselves.
    pub(super) fn refuse(&self, fingerprint: &Fingerprint) {
        let token = self.lock().contexts.remove(fingerprint);
        for context in token.iter().flat_map(|token| &token.contexts).filter_map(Weak::upgrade) {
            context.revocation().revoke();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket<'_> {
    /// Registers what the resolution of the token with this fingerprint, and this one of its signed part, brought, unless that has
    /// been withdrawn since it began.
    pub(super) fn admit(self, fingerprint: Fingerprint, signed: Fingerprint, context: &Arc<UserContext>) -> bool {
        let mut held = self.registry.lock();
        let since = held.resolutions.remove(&self.number).unwrap_or_default();
        if since.iter().any(|target| target.covers(&signed, context.principal())) {
            return false;
        }
        held.sweep();
        let token = held.contexts.entry(fingerprint);
        let contexts = &mut token.or_insert_with(|| Token { signed, contexts: Vec::new() }).contexts;
        contexts.retain(|held| held.strong_count() > 0);
        contexts.push(Arc::downgrade(context));
        true
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.registry.lock().resolutions.remove(&self.number);
    }
}

impl Held {
    /// Drops tokens of which nothing is held any more; rarely enough to cost nothing on average.
    fn sweep(&mut self) {
        if self.contexts.len() >= self.sweep_at {
            self.contexts.retain(|_, token| token.contexts.iter().any(|context| context.strong_count() > 0));
            self.sweep_at = 1024.max(self.contexts.len() * 2);
            // A thousand tokens is little; a shrunk map after a million is not.
            if self.contexts.capacity() > 4 * self.sweep_at {
                self.contexts = mem::take(&mut self.contexts).into_iter().collect();
            }
        }
    }
}
