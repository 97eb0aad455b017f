//! [`Registry`]: all contexts that are in use, so that they can be invalidated.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use portcullis_core::{Fingerprint, FingerprintState, Issuer, Principal, UserContext};

/// Selects the contexts that are invalidated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Target {
    /// By the [signed part](portcullis_core::BearerToken::signed_fingerprint), so in each encoding of the token.
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

/// All contexts that are in use, cached or not, and all running resolutions.
///
/// A hit does not use it: each context has its own flag ([`Revocation`](portcullis_core::Revocation)).
#[derive(Debug, Default)]
pub(super) struct Registry(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    contexts: HashMap<Fingerprint, Token, FingerprintState>,
    sweep_at: usize,
    /// By number: what has been invalidated since the resolution began.
    resolutions: HashMap<u64, Vec<Target>>,
    next: u64,
}

/// The contexts of one token in one encoding.
#[derive(Debug)]
struct Token {
    signed: Fingerprint,
    /// Several, if a revalidation has replaced a context that a response stream still uses.
    contexts: Vec<Weak<UserContext>>,
}

/// A running resolution. Invalidations that happen before it ends apply to its context.
#[derive(Debug)]
pub(super) struct ResolutionTicket<'a> {
    registry: &'a Registry,
    number: u64,
}

impl Registry {
    pub(super) fn begin(&self) -> ResolutionTicket<'_> {
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        state.resolutions.insert(number, Vec::new());
        ResolutionTicket { registry: self, number }
    }

    /// Revokes the contexts that `target` covers, and returns the fingerprints of their tokens.
    pub(super) fn revoke(&self, target: &Target) -> Vec<Fingerprint> {
        let mut state = self.lock();
        for since in state.resolutions.values_mut() {
            since.push(target.clone());
        }
        let mut revoked = Vec::new();
        state.contexts.retain(|fingerprint, Token { signed, contexts }| {
            contexts.retain(|context| match context.upgrade() {
                Some(context) if target.covers(signed, context.principal()) => {
                    context.revocation().revoke();
                    // Each token is counted once, because how long a replaced context still exists is an accident of memory management.
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

    /// Revokes every context of a token that was refused, in this encoding only: anyone can make another encoding, with a signature that
    /// does not verify. Running resolutions are not affected: they get the refusal themselves.
    pub(super) fn refuse(&self, fingerprint: &Fingerprint) {
        let token = self.lock().contexts.remove(fingerprint);
        for context in token.iter().flat_map(|token| &token.contexts).filter_map(Weak::upgrade) {
            context.revocation().revoke();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResolutionTicket<'_> {
    /// Registers the context that the resolution brought, unless it has been invalidated since the resolution began.
    pub(super) fn admit(self, fingerprint: Fingerprint, signed: Fingerprint, context: &Arc<UserContext>) -> bool {
        let mut state = self.registry.lock();
        let since = state.resolutions.remove(&self.number).unwrap_or_default();
        if since.iter().any(|target| target.covers(&signed, context.principal())) {
            return false;
        }
        state.sweep();
        let token = state.contexts.entry(fingerprint);
        let contexts = &mut token.or_insert_with(|| Token { signed, contexts: Vec::new() }).contexts;
        contexts.retain(|context| context.strong_count() > 0);
        contexts.push(Arc::downgrade(context));
        true
    }
}

impl Drop for ResolutionTicket<'_> {
    fn drop(&mut self) {
        self.registry.lock().resolutions.remove(&self.number);
    }
}

impl State {
    /// Removes tokens without contexts in use, seldom enough for a constant amortized cost.
    fn sweep(&mut self) {
        if self.contexts.len() >= self.sweep_at {
            self.contexts.retain(|_, token| token.contexts.iter().any(|context| context.strong_count() > 0));
            self.sweep_at = 1024.max(self.contexts.len() * 2);
            // A map that was large once is shrunk.
            if self.contexts.capacity() > 4 * self.sweep_at {
                self.contexts = mem::take(&mut self.contexts).into_iter().collect();
            }
        }
    }
}
