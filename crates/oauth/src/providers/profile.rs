//! [`Profile`]: what a provider says about a user.

use std::fmt;

use bytes::Bytes;
use http::{Request, Response};
use portcullis_core::BearerToken;
use serde_json::{Map, Value};

use super::{Provider, token_response::claims_in};
use crate::{Claims, ProtocolError, response::json, user_info};

/// What a provider says about a user.
///
/// It says *who*, never *for whom*: see [`UserInfo`](user_info::UserInfo). `Debug` prints the subject only.
#[derive(Clone)]
pub struct Profile {
    subject: Box<str>,
    members: Map<String, Value>,
    claims: Claims,
}

impl Profile {
    /// The user's name at the provider: unique there, and never given to somebody else.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Everything that the provider says, under the names of OpenID Connect where the vendor has its own
    /// (`preferred_username`, `name`, `email`, `picture`).
    #[must_use]
    pub const fn members(&self) -> &Map<String, Value> {
        &self.members
    }

    /// What the access token says about the user, where that is more than the profile: Keycloak's roles. Else nothing.
    #[must_use]
    pub const fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The members and the claims.
    #[must_use]
    pub fn into_parts(self) -> (Map<String, Value>, Claims) {
        (self.members, self.claims)
    }
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profile").field("subject", &self.subject).finish_non_exhaustive()
    }
}

impl Provider {
    /// A question who the user of `token` is; `None` if the provider does not tell.
    #[must_use]
    pub fn profile_request(&self, token: &BearerToken) -> Option<Request<Bytes>> {
        Some(user_info::request(self.endpoints.userinfo.as_ref()?, token))
    }

    /// What `response`, to a [`profile_request`](Self::profile_request) with `token`, says about the user.
    ///
    /// If the provider's tokens are JWTs that tell more, their claims are taken: the provider has just accepted this one.
    ///
    /// # Errors
    /// [`ProtocolError`] as for [`user_info::process`]; also if profile and token are of different subjects.
    pub fn process_profile(&self, response: &Response<Bytes>, token: &BearerToken) -> Result<Profile, ProtocolError> {
        let user = user_info::process_as(response, self.vendor.subject)?;
        let claims = Some(token).filter(|_| self.vendor.claims_in_token).and_then(claims_in).unwrap_or_default();
        let (subject, mut members) = (Box::from(user.subject()), user.into_members());
        // A subject that cannot be read is not taken for an absent one.
        let is_other = |named: Option<&str>| named.is_some_and(|named| *named != *subject);
        if claims.subject().map_or(true, is_other) {
            return Err(ProtocolError::InvalidMember("sub"));
        }
        for (theirs, standard) in self.vendor.names {
            if is_absent(&members, standard)
                && let Some(value) = members.get(*theirs).cloned()
            {
                members.insert((*standard).to_owned(), value);
            }
        }
        Ok(Profile { subject, members, claims })
    }

    /// A question for what `profile` lacks; `None` if it lacks nothing, or if nobody knows.
    #[must_use]
    pub fn supplement_request(&self, profile: &Profile, token: &BearerToken) -> Option<Request<Bytes>> {
        let supplement =
            self.vendor.supplement.as_ref().filter(|supplement| (supplement.is_needed)(&profile.members))?;
        let endpoint = (supplement.endpoint)(self.endpoints.userinfo.as_ref()?)?;
        Some(user_info::request(&endpoint, token))
    }

    /// `profile` with what `response`, to a [`supplement_request`](Self::supplement_request), says.
    ///
    /// A refusal of ours, such as a scope that was not asked for, leaves the profile as it is: who the user is does not depend
    /// on it.
    ///
    /// # Errors
    /// [`ProtocolError`] if the token is refused, or the provider fails.
    pub fn supplemented(&self, mut profile: Profile, response: &Response<Bytes>) -> Result<Profile, ProtocolError> {
        let answer = user_info::refusal(response).map_or_else(|| json(response), Err);
        match (answer, &self.vendor.supplement) {
            (Ok(value), Some(supplement)) => (supplement.add)(&mut profile.members, &value),
            (Err(ProtocolError::ClientRefused { .. } | ProtocolError::UnexpectedStatus(_)), _) | (Ok(_), None) => {}
            (Err(error), _) => return Err(error),
        }
        Ok(profile)
    }
}

/// Null is as good as absent.
pub(super) fn is_absent(members: &Map<String, Value>, name: &str) -> bool {
    members.get(name).is_none_or(Value::is_null)
}
