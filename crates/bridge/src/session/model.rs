//! [`Session`]: the row of one login.

use portcullis_core::{Issuer, ResourceUri, ScopeSet, UnixTime, UserContext, UserContextBuilder};
use portcullis_oauth::{Claims, describes_token};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    ActiveTokens, Lifetimes, NewTokens, TokenFamily, TokenPair,
    secret::SecretHash,
    tokens::{AccessEntry, RefreshEntry, seconds},
};

/// The row of one login: user, client, resource, scopes, and the hashes of its code and tokens.
///
/// It is a state machine without I/O. A decision is durable only when the changed session has replaced the old one by
/// compare-and-swap.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Session {
    /// The identifier in its refresh tokens.
    #[serde(rename = "handle")]
    pub(crate) family: TokenFamily,
    /// The client, which alone may use the code and the refresh tokens.
    pub(crate) client_id: Box<str>,
    /// The audience of its tokens. RFC 8707.
    pub(crate) resource: ResourceUri,
    /// The granted scopes.
    pub(crate) scopes: ScopeSet,
    /// The user.
    pub(crate) user: SessionUser,
    /// Whether there is a grant at the provider. It has the session's id.
    pub(crate) has_upstream: bool,
    /// Whether refresh tokens are issued.
    pub(crate) is_refreshable: bool,
    /// When the login completed.
    #[serde(with = "seconds")]
    pub(crate) began_at: UnixTime,
    /// The time after which no token is valid, however often tokens were refreshed.
    #[serde(with = "seconds")]
    pub(crate) ends_at: UnixTime,
    pub(crate) stage: Stage,
}

/// The stage of a session.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    /// The code was issued and not redeemed.
    Code(CodeBinding),
    /// Tokens were issued.
    Live(ActiveTokens),
    /// The session has ended. The grant remains until it was revoked at the provider.
    Ended {
        #[serde(with = "seconds")]
        since: UnixTime,
    },
}

/// An authorization code and what it is bound to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CodeBinding {
    pub(crate) code: SecretHash,
    /// PKCE with S256. RFC 7636 section 4.2.
    pub(crate) challenge: Box<str>,
    pub(crate) redirect_uri: Box<str>,
    #[serde(with = "seconds")]
    pub(crate) expires_at: UnixTime,
}

/// Why a session ends: a label of metrics, and a field of the log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum EndReason {
    /// The client or the operator revoked it.
    Revoked,
    /// The authorization code was used twice.
    CodeReused,
    /// A refresh token was used twice.
    RefreshTokenReused,
    /// The user's grant at the provider has ended.
    GrantEnded,
    /// The user has too many sessions through the client, or too many clients.
    SessionLimit,
    /// The session expired, or its code was never redeemed.
    Expired,
}

/// A user, as the provider or the trusted issuer describes them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SessionUser {
    /// The issuer of the subject.
    pub(crate) issuer: Issuer,
    /// The user's identifier at the issuer.
    pub(crate) subject: Box<str>,
    /// The profile at the time of the login.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) profile: Map<String, Value>,
    /// Further claims of the ID token or the assertion, such as roles.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) claims: Map<String, Value>,
}

impl SessionUser {
    /// Creates a user context with the profile and the claims.
    pub(crate) fn context(&self) -> UserContextBuilder {
        UserContext::builder(self.issuer.clone(), &self.subject)
            .with_claims(self.claims.clone())
            .with_profile(self.profile.clone())
    }

    /// Returns the `sub` of the bridge's tokens, which is unique across issuers.
    ///
    /// An issuer has no `#`, so issuer and subject can be separated.
    pub(crate) fn global_subject(&self) -> String {
        format!("{}#{}", self.issuer.as_str(), self.subject)
    }
}

impl Session {
    /// Creates a session from an identity assertion, with one access token and no refresh token.
    pub(crate) fn from_assertion(
        client_id: &str,
        resource: ResourceUri,
        scopes: ScopeSet,
        user: SessionUser,
        lifetimes: &Lifetimes,
        now: UnixTime,
    ) -> (TokenPair, Self) {
        let mut session = Self {
            family: TokenFamily::random(),
            client_id: client_id.into(),
            resource,
            scopes,
            user,
            has_upstream: false,
            is_refreshable: false,
            began_at: now,
            ends_at: now + lifetimes.access_token,
            stage: Stage::Ended { since: now },
        };
        let mut tokens = ActiveTokens::default();
        let pair = session.issue(&mut tokens, NewTokens::first(None), lifetimes, now);
        session.stage = Stage::Live(tokens);
        (pair, session)
    }

    /// Returns its tokens, if it has any.
    pub(crate) const fn active_tokens(&self) -> Option<&ActiveTokens> {
        match &self.stage {
            Stage::Live(tokens) => Some(tokens),
            Stage::Code(_) | Stage::Ended { .. } => None,
        }
    }

    /// Adds the hashes of `new` to `tokens`.
    pub(crate) fn issue(
        &self,
        tokens: &mut ActiveTokens,
        NewTokens { access, refresh, previous, grace, scopes: narrowed }: NewTokens,
        lifetimes: &Lifetimes,
        now: UnixTime,
    ) -> TokenPair {
        // Rows have whole seconds, and the response must not promise more than the row.
        let now = UnixTime::from_secs(now.as_secs());
        let expires_at = (now + lifetimes.access_token).min(self.ends_at);
        let token = access.hash();
        tokens.push(AccessEntry { token, issued_at: now, expires_at, scopes: narrowed.clone() });
        tokens.refresh = refresh.as_ref().map(|refresh| RefreshEntry {
            token: refresh.hash(),
            expires_at: (now + lifetimes.refresh_token).min(self.ends_at),
            previous,
            grace,
        });
        let scopes = narrowed.unwrap_or_else(|| self.scopes.clone());
        TokenPair { access, refresh, issued_at: now, access_expires_at: expires_at, scopes }
    }

    /// Returns when the row expires and the grant may be ended.
    pub(crate) fn expires_at(&self) -> UnixTime {
        match &self.stage {
            Stage::Code(code) => code.expires_at,
            Stage::Live(tokens) => tokens.expires_at(),
            Stage::Ended { .. } => UnixTime::default(),
        }
    }
}

impl EndReason {
    pub(crate) const ALL: [Self; 6] = [
        Self::Revoked,
        Self::CodeReused,
        Self::RefreshTokenReused,
        Self::GrantEnded,
        Self::SessionLimit,
        Self::Expired,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::CodeReused => "code_reused",
            Self::RefreshTokenReused => "refresh_token_reused",
            Self::GrantEnded => "grant_ended",
            Self::SessionLimit => "crowded",
            Self::Expired => "expired",
        }
    }
}

/// Returns the claims about the user and the login, such as roles and `amr`. Claims about the token would be read as claims of this server's
/// access token.
pub(crate) fn user_claims(claims: Claims) -> Map<String, Value> {
    let mut claims = claims.into_inner();
    claims.retain(|name, _| !describes_token(name));
    claims
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_about_the_token_are_removed_and_those_about_user_and_login_kept() {
        let text = br#"{"iss":"i","sub":"s","nonce":"n","at_hash":"h","scope":"admin","scp":["admin"],"permissions":["p"],"typ":"ID",
            "act":{"sub":"x"},"cnf":{"jkt":"k"},"resource":"r","roles":["analyst"],"email":"a@example.test","amr":["mfa"],"sid":"1"}"#;
        let claims = user_claims(Claims::parse(text).expect("claims"));
        let names: Vec<_> = claims.keys().map(String::as_str).collect();
        assert_eq!(names, ["amr", "email", "roles", "sid"]);
    }
}
