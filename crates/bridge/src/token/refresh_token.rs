//! The refresh token grant: rotation, repetition within the grace period, and reuse detection.
//! [RFC 6749 section 6](https://www.rfc-editor.org/rfc/rfc6749#section-6)

use std::net::IpAddr;

use portcullis_core::{GrantId, ScopeSet, UnixTime};

use super::{
    authorization_code::other_resource,
    issuer::{Issued, TokenIssuer, requested_resource},
};
use crate::{
    BridgeConfig, Client,
    limits::Caller,
    parameters::{Parameters, known_scopes, names_resource},
    response::OAuthError,
    session::{
        ActiveTokens, Decision, EndReason, GraceUse, Lifetimes, NewTokens, ParsedToken, PreviousToken, Secret,
        SecretSalt, Session, Stage, SuspectedReuse, TokenPair,
    },
};

/// A refresh token as a client presents it.
#[derive(Debug)]
pub(super) struct RotationRequest<'a> {
    pub(super) token: &'a Secret,
    pub(super) client_id: &'a str,
    /// The scopes of the access token, as far as they were granted. RFC 6749 section 6.
    pub(super) scopes: Option<&'a ScopeSet>,
    pub(super) resource: Option<&'a str>,
    /// The address of the caller, if it is known.
    pub(super) from: Option<IpAddr>,
}

/// The outcome of a rotation.
#[derive(Debug)]
pub(super) enum Rotation {
    /// New tokens replace the old ones.
    Rotated(TokenPair),
    /// The token was rotated within the grace period. The same tokens are returned, because the response may have been lost.
    Repeated {
        pair: TokenPair,
        /// Whether the session has changed, because it counts repetitions.
        is_changed: bool,
        suspected: Option<SuspectedReuse>,
    },
    /// The token was rotated before the grace period: it was copied. RFC 9700 section 4.14.2.
    Reused(&'static str),
    /// The session is unchanged.
    Rejected(OAuthError),
}

/// The derived tokens and the state that go with one rotation.
struct Successors {
    access: Secret,
    refresh: Secret,
    previous: PreviousToken,
    grace: GraceUse,
}

impl TokenIssuer {
    /// Rotates the refresh token in `form`.
    ///
    /// A repetition within the grace period gets the same response; a later one ends the session.
    /// [RFC 9700 section 4.14.2](https://www.rfc-editor.org/rfc/rfc9700#section-4.14.2)
    pub(super) async fn rotate(
        &self,
        client: &Client,
        form: &Parameters,
        caller: &Caller,
    ) -> Result<Issued, OAuthError> {
        let token = ParsedToken::refresh_token(form.required("refresh_token")?);
        let scopes = form.scopes()?;
        let resource = requested_resource(form)?;
        let ParsedToken { of: family, secret } = token.ok_or_else(invalid_token)?;
        let id = family.session();
        self.end_without_grant(id).await?;
        let from = caller.address();
        let decided = self.sessions.decide(id, |session, now| {
            let issued = |session, pair, repetition| Ok((Issued { id, session, pair }, repetition));
            let scopes = allowed_scopes(scopes.as_ref(), &session.scopes, &self.config, client);
            let request =
                RotationRequest { token: &secret, client_id: client.id(), scopes: Some(&scopes), resource, from };
            match session.rotate(&request, &self.config.lifetimes, now) {
                Rotation::Rotated(pair) | Rotation::Repeated { pair, .. }
                    if pair.scopes.is_empty() && !session.scopes.is_empty() =>
                {
                    let error = OAuthError::invalid_grant("no granted scope is allowed any more");
                    let expected = format!("one of {}", self.config.scopes);
                    let error = error.with_found(&session.scopes.to_string(), &expected);
                    Decision::Keep(Err(error.with_key("bridge.scopes_supported, bridge.clients[].scopes")))
                }
                Rotation::Rotated(pair) => Decision::Replace(issued(session.clone(), pair, None)),
                Rotation::Repeated { pair, is_changed, suspected } => {
                    let outcome = issued(session.clone(), pair, Some(suspected));
                    if is_changed { Decision::Replace(outcome) } else { Decision::Keep(outcome) }
                }
                Rotation::Reused(why) => {
                    tracing::warn!(session = %id, why, "refresh token reused: ending the session");
                    let error = OAuthError::invalid_grant("refresh token already used");
                    Decision::End(EndReason::RefreshTokenReused, Err(error))
                }
                Rotation::Rejected(error) => Decision::Keep(Err(error)),
            }
        });
        let (issued, repetition) = decided.await?.ok_or_else(invalid_token)??;
        if let Some(suspected) = repetition {
            self.telemetry.repeated();
            if let Some(suspected) = suspected {
                self.report(&issued, &suspected);
            }
        }
        Ok(issued)
    }

    /// Counts signs of token reuse in a session, and logs the session at intervals.
    fn report(&self, Issued { id, session, .. }: &Issued, suspected: &SuspectedReuse) {
        let SuspectedReuse { signs, in_a_row, rotated_from, repeated_from, is_to_be_logged } = suspected;
        signs.iter().for_each(|sign| self.telemetry.reuse_suspected(*sign));
        if *is_to_be_logged {
            let signs: Vec<_> = signs.iter().map(|sign| sign.as_str()).collect();
            tracing::warn!(
                session = %id,
                client_id = &*session.client_id,
                signs = signs.join(" "),
                in_a_row,
                ?rotated_from,
                ?repeated_from,
                "refresh token repeated as a stolen copy would be: end the session unless its client does this by design",
            );
        }
    }

    /// Ends a session whose grant at the provider has ended, so that the client learns here that the user has to log in again. A session
    /// without a grant has no refresh tokens.
    async fn end_without_grant(&self, id: GrantId) -> Result<(), OAuthError> {
        if self.sessions.has_grant(id).await? {
            return Ok(());
        }
        let existed = self.sessions.end(id, EndReason::GrantEnded).await?;
        Err(if existed {
            OAuthError::invalid_grant("the grant at the identity provider has ended")
        } else {
            invalid_token()
        })
    }
}

impl Session {
    /// Rotates a refresh token: decides and changes the session, without a store.
    ///
    /// The new tokens are derived from the presented token and a random salt. So a repetition returns the same tokens although only
    /// their hashes are stored, and only a holder of the token can compute them.
    pub(super) fn rotate(&mut self, request: &RotationRequest<'_>, lifetimes: &Lifetimes, now: UnixTime) -> Rotation {
        let Stage::Live(tokens) = &self.stage else { return rejected("session has ended") };
        let Some(refresh) = &tokens.refresh else { return rejected("session has no refresh token") };
        if *self.client_id != *request.client_id {
            let error = OAuthError::invalid_grant("refresh token was issued to another client");
            return Rotation::Rejected(error.with_found(request.client_id, &self.client_id));
        }
        if let Some(resource) = request.resource.filter(|resource| !names_resource(resource, &self.resource)) {
            return Rotation::Rejected(other_resource(resource, &self.resource));
        }
        let tokens = tokens.clone();
        if let Some(previous) = refresh.previous.as_ref().filter(|previous| previous.token.is_of(request.token)) {
            if now > previous.rotated_at + lifetimes.rotation_grace {
                return Rotation::Reused("presented again after the grace period");
            }
            let successors = Successors::derive(request.token, previous.clone(), refresh.grace.clone());
            return self.repeat(tokens, successors, request, lifetimes, now);
        }
        if !refresh.token.is_of(request.token) {
            return Rotation::Reused("an older token was presented");
        }
        let mut salt = [0; 32];
        rand::fill(&mut salt);
        let previous = PreviousToken { token: request.token.hash(), salt: SecretSalt(salt), rotated_at: now };
        let successors = Successors::derive(request.token, previous, refresh.grace.after_rotation(request.from));
        self.replace(tokens, successors, request, lifetimes, now)
    }

    /// Returns the same tokens again. If the access token has expired meanwhile, a new one accompanies the same refresh token.
    fn repeat(
        &mut self,
        mut tokens: ActiveTokens,
        mut successors: Successors,
        request: &RotationRequest<'_>,
        lifetimes: &Lifetimes,
        now: UnixTime,
    ) -> Rotation {
        let before = successors.grace.clone();
        let suspected = successors.grace.repeat(request.from, now);
        let Some(entry) = tokens.access(successors.access.hash(), now) else {
            let successors = Successors { access: Secret::random(), ..successors };
            return match self.replace(tokens, successors, request, lifetimes, now) {
                Rotation::Rotated(pair) => Rotation::Repeated { pair, is_changed: true, suspected },
                other => other,
            };
        };
        let pair = TokenPair {
            issued_at: entry.issued_at,
            access_expires_at: entry.expires_at,
            scopes: entry.scopes.clone().unwrap_or_else(|| self.scopes.clone()),
            access: successors.access,
            refresh: Some(successors.refresh),
        };
        let is_changed = successors.grace != before;
        if let Some(refresh) = tokens.refresh.as_mut().filter(|_| is_changed) {
            refresh.grace = successors.grace;
            self.stage = Stage::Live(tokens);
        }
        Rotation::Repeated { pair, is_changed, suspected }
    }

    /// Replaces the tokens of the session.
    fn replace(
        &mut self,
        mut tokens: ActiveTokens,
        Successors { access, refresh, previous, grace }: Successors,
        request: &RotationRequest<'_>,
        lifetimes: &Lifetimes,
        now: UnixTime,
    ) -> Rotation {
        let expires_at = tokens.refresh.as_ref().map(|refresh| refresh.expires_at).unwrap_or_default();
        if now >= expires_at {
            let error = OAuthError::invalid_grant("refresh token expired").with_key("bridge.refresh_token_ttl");
            return Rotation::Rejected(error.with_found(&format!("time {now:?}"), &format!("before {expires_at:?}")));
        }
        if !tokens.make_room(now) {
            return Rotation::Rejected(OAuthError::rate_limited(60));
        }
        let scopes = request.scopes.map(|scopes| scopes.intersection(&self.scopes));
        let scopes = scopes.filter(|scopes| scopes.len() < self.scopes.len());
        let new = NewTokens { access, refresh: Some(refresh), previous: Some(previous), grace, scopes };
        let pair = self.issue(&mut tokens, new, lifetimes, now);
        self.stage = Stage::Live(tokens);
        Rotation::Rotated(pair)
    }
}

impl Successors {
    /// Derives the tokens that follow `token`.
    fn derive(token: &Secret, previous: PreviousToken, grace: GraceUse) -> Self {
        let SecretSalt(salt) = &previous.salt;
        Self {
            access: token.derive("access token", salt),
            refresh: token.derive("refresh token", salt),
            previous,
            grace,
        }
    }
}

/// Returns the requested scopes, or else the granted ones, that bridge and client still allow. The session keeps the others. Scopes that
/// were not granted are ignored: many clients repeat those of the authorization request.
fn allowed_scopes(asked: Option<&ScopeSet>, granted: &ScopeSet, config: &BridgeConfig, client: &Client) -> ScopeSet {
    let limits = [Some(&config.scopes), client.scopes.as_ref()].into_iter().flatten();
    let allowed = limits.fold(granted.clone(), |scopes, limit| scopes.intersection(limit));
    match known_scopes(asked, granted) {
        Some(asked) => asked.intersection(&allowed),
        None => allowed,
    }
}

fn rejected(description: &'static str) -> Rotation {
    Rotation::Rejected(OAuthError::invalid_grant(description))
}

fn invalid_token() -> OAuthError {
    OAuthError::invalid_grant("refresh token is invalid or its session has ended")
}
