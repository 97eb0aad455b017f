//! [`Session`]: what is kept of one login.

use portcullis_core::{Issuer, ResourceUri, ScopeSet, UnixTime, UserContext, UserContextBuilder};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Lifetimes, TokenFamily, TokenPair,
    live::ActiveTokens,
    secret::{Secret, SecretHash},
};

/// What is kept of one login: who, through which client, for what, and its codes and tokens, as hashes.
///
/// It is a pure state machine: the present time and random bytes are arguments, and whatever is decided is durable only when the
/// changed session has replaced the old one by compare-and-swap.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Session {
    /// What its refresh tokens carry.
    pub(crate) handle: TokenFamily,
    /// The client that everything was issued to, and that alone may use codes and refresh tokens.
    pub(crate) client_id: Box<str>,
    /// What its tokens are for. RFC 8707.
    pub(crate) resource: ResourceUri,
    /// What was granted.
    pub(crate) scopes: ScopeSet,
    /// Who logged in.
    pub(crate) user: SessionUser,
    /// Whether there is a grant at the provider, of the same id.
    pub(crate) has_upstream: bool,
    /// Whether refresh tokens are issued.
    pub(crate) is_refreshable: bool,
    /// When the login was completed.
    #[serde(with = "seconds")]
    pub(crate) began_at: UnixTime,
    /// After which nothing of it works, however often it was refreshed.
    #[serde(with = "seconds")]
    pub(crate) ends_at: UnixTime,
    pub(crate) stage: Stage,
}

/// How far a session has come.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    /// The code is on its way to the client.
    Code(CodeBinding),
    /// Tokens were issued.
    Live(ActiveTokens),
    /// Over since then: what is left is to end the grant, and to tell the provider.
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

/// A code that was redeemed: by which it is known again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RedeemedCode {
    pub(super) code: SecretHash,
    pub(super) challenge: Box<str>,
}

/// Who logged in, as the provider says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SessionUser {
    /// Whose user.
    pub(crate) issuer: Issuer,
    /// The name there.
    pub(crate) subject: Box<str>,
    /// The profile as it was at the login.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) profile: Map<String, Value>,
    /// What the provider's token or assertion claims beyond that, such as roles.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) claims: Map<String, Value>,
}

impl SessionUser {
    /// The user, with the profile and the claims.
    pub(crate) fn context(&self) -> UserContextBuilder {
        UserContext::builder(self.issuer.clone(), &self.subject)
            .with_claims(self.claims.clone())
            .with_profile(self.profile.clone())
    }

    /// The user's name in tokens of ours: users of different issuers never share one.
    ///
    /// An issuer has no `#`, so it can be told apart.
    pub(crate) fn global_subject(&self) -> String {
        format!("{}#{}", self.issuer.as_str(), self.subject)
    }
}

impl Session {
    /// Of an identity assertion: one access token, and neither code nor refresh token. What it hands out, and the session.
    pub(crate) fn asserted(
        client_id: &str,
        resource: ResourceUri,
        scopes: ScopeSet,
        user: SessionUser,
        lifetimes: &Lifetimes,
        now: UnixTime,
    ) -> (TokenPair, Self) {
        let mut session = Self {
            handle: TokenFamily::random(),
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
        let mut live = ActiveTokens::default();
        let pair = session.issue(&mut live, (Secret::random(), None), Default::default(), None, lifetimes, now);
        session.stage = Stage::Live(live);
        (pair, session)
    }

    /// When the row is of no use any more, and the grant may be ended.
    pub(crate) fn expires_at(&self) -> UnixTime {
        match &self.stage {
            Stage::Code(code) => code.expires_at,
            Stage::Live(live) => live.expires_at(),
            Stage::Ended { .. } => UnixTime::default(),
        }
    }
}

/// Times as whole seconds.
pub(super) mod seconds {
    use portcullis_core::UnixTime;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(in crate::session) fn serialize<S: Serializer>(time: &UnixTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(time.as_secs())
    }

    pub(in crate::session) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UnixTime, D::Error> {
        u64::deserialize(deserializer).map(UnixTime::from_secs)
    }
}
