//! Redeeming a code or a refresh token, under one lock, so that concurrent requests have an order.

use std::{mem, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use portcullis_core::UnixTime;
use serde_json::{Map, Value};

use super::{
    super::state::State,
    ledger::{Code, GrantNumber, RefreshToken, Refusal},
};

/// The lifetime of a code.
const CODE_LIFETIME: Duration = Duration::from_secs(60);

/// The tokens of a response.
pub(crate) struct GrantedTokens {
    /// The number of the user.
    pub(crate) user_id: Value,
    pub(crate) issued_at: UnixTime,
    pub(crate) access_token: String,
    pub(crate) expires_in: Option<Duration>,
    pub(crate) refresh_token: Option<String>,
    pub(crate) refresh_expires_in: Option<Duration>,
    pub(crate) scope: String,
    /// The claims of the ID token, before it is issued.
    pub(crate) id_token_claims: Option<Map<String, Value>>,
    pub(crate) id_token: Option<String>,
}

/// The consent of a user on the login page.
pub(crate) struct Consent<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) subject: &'a str,
    pub(crate) scope: &'a str,
    pub(crate) redirect_uri: &'a str,
    pub(crate) code_challenge: Option<&'a str>,
    pub(crate) nonce: Option<&'a str>,
}

/// The parameters of a request that redeems a code.
pub(crate) struct CodeRedemption<'a> {
    pub(crate) code: &'a str,
    pub(crate) redirect_uri: Option<&'a str>,
    pub(crate) code_verifier: Option<&'a str>,
}

impl State {
    /// Issues a code for a consent; `is_offline`: refresh tokens are part of it.
    pub(crate) fn issue_code(&mut self, consent: &Consent<'_>, is_offline: bool) -> String {
        self.ensure_user(consent.subject);
        let grant = self.ledger.open(consent.client_id, consent.subject, consent.scope);
        self.ledger.grant_mut(grant).is_offline = is_offline;
        let code = Code {
            grant,
            redirect_uri: consent.redirect_uri.to_owned(),
            code_challenge: consent.code_challenge.map(str::to_owned),
            nonce: consent.nonce.map(str::to_owned),
            expires_at: self.clock.now() + CODE_LIFETIME,
            used: false,
        };
        let name = random("c_");
        self.ledger.codes.insert(name.clone(), code);
        name
    }

    pub(super) fn issue_grant(&mut self, client_id: &str, subject: &str, scope: &str) -> GrantedTokens {
        self.ensure_user(subject);
        let grant = self.ledger.open(client_id, subject, scope);
        let refresh_token = self.first_refresh_token(grant);
        self.grant_tokens(grant, scope.to_owned(), refresh_token)
    }

    /// Issues the tokens for a code. A failed attempt does not spend the code, a second use ends the grant.
    pub(crate) fn redeem_code(
        &mut self,
        client_id: &str,
        redemption: &CodeRedemption<'_>,
    ) -> Result<GrantedTokens, Refusal> {
        let now = self.clock.now();
        let code = self.ledger.codes.get(redemption.code).ok_or(Refusal::CodeNotValid)?;
        let (number, used, nonce) = (code.grant, code.used, code.nonce.clone());
        let proved = match (&code.code_challenge, redemption.code_verifier) {
            (None, None) => true,
            (Some(challenge), Some(verifier)) => *challenge == s256(verifier),
            _ => false,
        };
        if self.ledger.grant(number).client_id != client_id {
            return Err(Refusal::AnotherClient);
        }
        if self.ledger.grant(number).ended {
            return Err(Refusal::GrantEnded);
        }
        if code.expires_at <= now || redemption.redirect_uri != Some(code.redirect_uri.as_str()) {
            return Err(Refusal::CodeNotValid);
        }
        if !proved {
            return Err(Refusal::VerifierMismatch);
        }
        if used {
            self.end_for_reuse(number);
            return Err(Refusal::CodeNotValid);
        }
        self.ledger.codes.entry(redemption.code.to_owned()).and_modify(|code| code.used = true);
        let scope = self.ledger.grant(number).scope.clone();
        let refresh_token = self.first_refresh_token(number);
        let mut granted = self.grant_tokens(number, scope, refresh_token);
        let subject = self.ledger.grant(number).subject.clone();
        granted.id_token_claims = self.id_token_claims(client_id, &subject, nonce, &granted);
        Ok(granted)
    }

    /// Issues the tokens for a refresh token.
    pub(crate) fn refresh(
        &mut self,
        client_id: &str,
        presented: &str,
        asked: Option<&str>,
    ) -> Result<GrantedTokens, Refusal> {
        *self.ledger.presented.entry(presented.to_owned()).or_default() += 1;
        let now = self.clock.now();
        let token = self.ledger.refresh_tokens.get(presented).ok_or(Refusal::RefreshTokenUnknown)?;
        let (number, used_at) = (token.grant, token.used_at);
        let grant = self.ledger.grant(number);
        if grant.client_id != client_id {
            return Err(Refusal::AnotherClient);
        }
        if grant.ended {
            return Err(Refusal::GrantEnded);
        }
        if token.expires_at <= now {
            return Err(Refusal::RefreshTokenExpired);
        }
        let granted = self.policy.refreshed_scope.as_ref().unwrap_or(&grant.scope);
        let scope = asked.unwrap_or(granted).to_owned();
        if scope.split_whitespace().any(|scope| !grant.scope.split_whitespace().any(|granted| granted == scope)) {
            return Err(Refusal::InvalidScope);
        }
        if used_at.is_some_and(|used_at| used_at + self.policy.reuse_leeway <= now) {
            if self.policy.reuse_ends_grant {
                self.end_for_reuse(number);
            }
            return Err(Refusal::RefreshTokenReused);
        }
        let refresh_token = self.successor(number, presented, now);
        if self.policy.only_newest_access_token {
            for old in mem::take(&mut self.ledger.grant_mut(number).access_tokens) {
                self.tokens.remove(&old);
            }
        }
        Ok(self.grant_tokens(number, scope, refresh_token))
    }

    /// Returns the refresh token of the response, if it has one.
    fn successor(&mut self, number: GrantNumber, presented: &str, now: UnixTime) -> Option<String> {
        if !self.policy.rotates {
            return (!self.policy.omits_refresh_token).then(|| presented.to_owned());
        }
        self.ledger.rotations += 1;
        if let Some(token) = self.ledger.refresh_tokens.get_mut(presented) {
            token.used_at.get_or_insert(now);
        }
        Some(self.new_refresh_token(number))
    }

    fn first_refresh_token(&mut self, number: GrantNumber) -> Option<String> {
        let grant = self.ledger.grant(number);
        let given =
            self.policy.issues_refresh_tokens && grant.is_offline && self.dialect.gives_refresh_token(&grant.scope);
        given.then(|| self.new_refresh_token(number))
    }

    fn new_refresh_token(&mut self, grant: GrantNumber) -> String {
        let expires_at = self.policy.refresh_token_lifetime.map_or(UnixTime::MAX, |life| self.clock.now() + life);
        let token = RefreshToken { grant, used_at: None, expires_at };
        let name = random(self.dialect.prefixes(&self.policy).1);
        self.ledger.refresh_tokens.insert(name.clone(), token);
        name
    }

    fn grant_tokens(&mut self, number: GrantNumber, scope: String, refresh_token: Option<String>) -> GrantedTokens {
        let grant = self.ledger.grant(number);
        let (subject, client_id) = (grant.subject.clone(), grant.client_id.clone());
        let access_token = self.new_access_token(&subject, &client_id, &scope);
        self.ledger.grant_mut(number).access_tokens.push(access_token.clone());
        let user_id = self.users.get(&subject).and_then(|user| user.get("id").cloned()).unwrap_or_default();
        GrantedTokens {
            user_id,
            issued_at: self.clock.now(),
            access_token,
            expires_in: self.policy.access_token_lifetime.filter(|_| self.policy.tells_expires_in),
            refresh_token,
            refresh_expires_in: self.policy.refresh_token_lifetime.filter(|_| self.policy.issues_refresh_tokens),
            scope,
            id_token_claims: None,
            id_token: None,
        }
    }

    /// Reports whether `subject` has granted refresh tokens to `client_id` before.
    pub(crate) fn has_consented_offline(&self, client_id: &str, subject: &str) -> bool {
        self.ledger.is_offline(client_id, subject)
    }
}

/// Returns the challenge for a verifier, [RFC 7636 section 4.2](https://www.rfc-editor.org/rfc/rfc7636#section-4.2).
fn s256(verifier: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()))
}

/// Returns a value that cannot be guessed.
pub(crate) fn random(prefix: &str) -> String {
    format!("{prefix}{}", BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()))
}
