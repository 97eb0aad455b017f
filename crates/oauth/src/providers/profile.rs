//! Requests for a user's profile, and a vendor's additions to it.

use bytes::Bytes;
use http::{Request, Response};
use portcullis_core::BearerToken;
use serde_json::{Map, Value};

use super::{Provider, token::unverified_claims};
use crate::{
    ProtocolError,
    response::json,
    user_info::{self, Profile},
};

impl Provider {
    /// Returns the request for the profile of the user of `token`; `None` if the provider has no endpoint for profiles. Its response goes
    /// to [`process_profile`](Self::process_profile).
    #[must_use]
    pub fn profile_request(&self, token: &BearerToken) -> Option<Request<Bytes>> {
        Some(user_info::request(self.endpoints.userinfo.as_ref()?, token))
    }

    /// Returns the profile in the response to a [`profile_request`](Self::profile_request) with `token`.
    ///
    /// Members that the vendor names in its own way are added under the names of OpenID Connect (`preferred_username`, `picture`). If the
    /// vendor's access tokens are JWTs that say more about the user, their claims are taken: the provider has just accepted this token.
    ///
    /// # Errors
    /// [`ProtocolError`] as for [`user_info::process`]; also if profile and token name different subjects.
    pub fn process_profile(&self, response: &Response<Bytes>, token: &BearerToken) -> Result<Profile, ProtocolError> {
        let mut members = user_info::members(response)?;
        let member = self.vendor.subject;
        let subject = member.read(&members).ok_or_else(|| ProtocolError::InvalidMember(member.name()))?;
        let claims =
            Some(token).filter(|_| self.vendor.claims_in_token).and_then(unverified_claims).unwrap_or_default();
        // A `sub` that cannot be read is an error, not an absent one.
        let is_other = |named: Option<&str>| named.is_some_and(|named| *named != *subject);
        if claims.subject().map_or(true, is_other) {
            return Err(ProtocolError::InvalidMember("sub"));
        }
        for (theirs, standard) in self.vendor.renamed_members {
            if is_absent(&members, standard)
                && let Some(value) = members.get(*theirs).cloned()
            {
                members.insert((*standard).to_owned(), value);
            }
        }
        Ok(Profile { subject, members, claims })
    }

    /// Returns the request for members that `profile` lacks (GitHub's e-mail address, Atlassian's sites); `None` if there is none to make.
    /// Its response goes to [`process_supplement`](Self::process_supplement).
    #[must_use]
    pub fn supplement_request(&self, profile: &Profile, token: &BearerToken) -> Option<Request<Bytes>> {
        let supplement =
            self.vendor.supplement.as_ref().filter(|supplement| (supplement.is_needed)(&profile.members))?;
        let endpoint = (supplement.endpoint)(self.endpoints.userinfo.as_ref()?)?;
        Some(user_info::request(&endpoint, token))
    }

    /// Adds the members in the response to a [`supplement_request`](Self::supplement_request) to `profile`.
    ///
    /// If the provider does not permit the request, such as without a scope for it, nothing is added: the identity of the user does not
    /// depend on it.
    ///
    /// # Errors
    /// [`ProtocolError`] if the provider rejects the token, or fails. The profile is unchanged.
    pub fn process_supplement(&self, profile: &mut Profile, response: &Response<Bytes>) -> Result<(), ProtocolError> {
        let answer = user_info::refusal(response).map_or_else(|| json(response), Err);
        match (answer, &self.vendor.supplement) {
            (Ok(value), Some(supplement)) => (supplement.add)(&mut profile.members, &value),
            (Err(ProtocolError::ClientRefused { .. } | ProtocolError::UnexpectedStatus(_)), _) | (Ok(_), None) => {}
            (Err(error), _) => return Err(error),
        }
        Ok(())
    }
}

/// Reports whether a member is absent, or null.
pub(super) fn is_absent(members: &Map<String, Value>, name: &str) -> bool {
    members.get(name).is_none_or(Value::is_null)
}
