//! [`TokenSet`]: the tokens of a grant, as they are now.

use portcullis_core::{AccessToken, BearerToken, Generation, ScopeSet, UnixTime};
use portcullis_oauth::TokenResponse;
use secrecy::SecretString;
use serde_json::{Map, Value};

/// The tokens of a grant, as they are now. `Debug` prints no token.
#[derive(Clone, Debug)]
pub struct TokenSet {
    access_token: AccessToken,
    refresh_token: Option<SecretString>,
    began_at: UnixTime,
    received_at: UnixTime,
    refresh_expires_at: Option<UnixTime>,
    scopes: ScopeSet,
    further: Map<String, Value>,
}

impl TokenSet {
    /// What a login brought at `now`, where `asked` had been asked for: generation 0.
    ///
    /// A response that does not name its scopes grants what was asked for
    /// ([RFC 6749 section 5.1](https://www.rfc-editor.org/rfc/rfc6749#section-5.1)).
    #[must_use]
    pub fn from_login(response: TokenResponse, asked: &ScopeSet, now: UnixTime) -> Self {
        let nothing = Self {
            access_token: AccessToken::new(response.access_token.clone(), Generation::default(), None),
            refresh_token: None,
            began_at: now,
            received_at: now,
            refresh_expires_at: None,
            scopes: asked.clone(),
            further: Map::new(),
        };
        nothing.take(response, Generation::default(), now)
    }

    /// What a refresh at `now` makes of it: the next generation.
    ///
    /// What the response leaves out stays as it was: the refresh token above all
    /// ([RFC 6749 section 6](https://www.rfc-editor.org/rfc/rfc6749#section-6)), its expiry if it is still the same token, the
    /// scopes, and what else the provider said.
    #[must_use]
    pub fn refreshed(&self, response: TokenResponse, now: UnixTime) -> Self {
        self.clone().take(response, self.generation().next(), now)
    }

    fn take(mut self, response: TokenResponse, generation: Generation, now: UnixTime) -> Self {
        // No token is dead on arrival: a life of zero says that nothing is known.
        let told = response.expires_in.filter(|lifetime| !lifetime.is_zero());
        let expires_at = told.map(|lifetime| now + lifetime).or(response.expires_at);
        self.access_token = AccessToken::new(response.access_token, generation, expires_at);
        self.received_at = now;
        let told = response.refresh_expires_in.map(|lifetime| now + lifetime);
        match response.refresh_token {
            Some(refresh_token) => (self.refresh_token, self.refresh_expires_at) = (Some(refresh_token), told),
            None => self.refresh_expires_at = told.or(self.refresh_expires_at),
        }
        if let Some(scopes) = response.scopes {
            self.scopes = scopes;
        }
        self.further.extend(response.further);
        self
    }

    /// The token to call the provider with.
    #[must_use]
    pub const fn access_token(&self) -> &AccessToken {
        &self.access_token
    }

    /// The token to get the next ones with.
    #[must_use]
    pub const fn refresh_token(&self) -> Option<&SecretString> {
        self.refresh_token.as_ref()
    }

    /// How many exchanges came before.
    #[must_use]
    pub const fn generation(&self) -> Generation {
        self.access_token.generation()
    }

    /// When the user logged in. Refreshes do not change it.
    #[must_use]
    pub const fn began_at(&self) -> UnixTime {
        self.began_at
    }

    /// Whether both came of one login, so that their generations can be compared.
    pub(crate) fn is_of_one_login_with(&self, other: &Self) -> bool {
        self.began_at == other.began_at
    }

    /// When the access token came.
    #[must_use]
    pub const fn received_at(&self) -> UnixTime {
        self.received_at
    }

    /// When the access token expires, if that is known.
    #[must_use]
    pub const fn expires_at(&self) -> Option<UnixTime> {
        self.access_token.expires_at()
    }

    /// When the refresh token expires, if that is known. It is the provider who decides: this only says for how long the grant
    /// is worth keeping.
    #[must_use]
    pub const fn refresh_expires_at(&self) -> Option<UnixTime> {
        self.refresh_expires_at
    }

    /// What the user allowed, by the last response that names scopes; if none does, what was asked for.
    ///
    /// Empty means that nothing was allowed. A GitHub App has permissions instead, which no response tells: there it is always what
    /// was asked for, and **no evidence** of anything.
    #[must_use]
    pub const fn scopes(&self) -> &ScopeSet {
        &self.scopes
    }

    /// What else the provider says, such as Salesforce's `instance_url`.
    #[must_use]
    pub const fn extra(&self) -> &Map<String, Value> {
        &self.further
    }

    /// After which nothing of it is of use any more; `None` if that is not known.
    #[must_use]
    pub fn unusable_after(&self) -> Option<UnixTime> {
        match (&self.refresh_token, self.refresh_expires_at) {
            (Some(_), None) => None,
            (Some(_), Some(refresh_expires_at)) => self.expires_at().map(|end| end.max(refresh_expires_at)),
            (None, _) => self.expires_at(),
        }
    }

    pub(crate) fn restored(
        token: BearerToken,
        generation: Generation,
        expires_at: Option<UnixTime>,
        rest: Restored,
    ) -> Self {
        Self {
            access_token: AccessToken::new(token, generation, expires_at),
            refresh_token: rest.refresh_token,
            began_at: rest.began_at,
            received_at: rest.received_at,
            refresh_expires_at: rest.refresh_expires_at,
            scopes: rest.scopes,
            further: rest.further,
        }
    }
}

/// What is stored beside the access token.
pub(crate) struct Restored {
    pub(crate) refresh_token: Option<SecretString>,
    pub(crate) began_at: UnixTime,
    pub(crate) received_at: UnixTime,
    pub(crate) refresh_expires_at: Option<UnixTime>,
    pub(crate) scopes: ScopeSet,
    pub(crate) further: Map<String, Value>,
}
