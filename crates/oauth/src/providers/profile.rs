//! Requests for a user's profile, a vendor's additions to it, and profiles in ID tokens and token responses.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use portcullis_core::BearerToken;
use serde_json::{Map, Value};

use super::{
    Provider, atlassian, github,
    token::{unverified_claims, without},
    token_error::wordings,
    vendor::{ProfileRequest, ProfileSource, Supplement, member},
};
use crate::{
    Claims, ProtocolError, describes_login, describes_token,
    id_token::IdToken,
    jwt::SignedJwt,
    response::{error_members, json, json_object},
    user_info::{self, Profile, UserInfoResponse},
};

impl Provider {
    /// Returns the request for the profile of the user of `token`; `None` if the provider has no endpoint for profiles. Its response goes
    /// to [`process_profile`](Self::process_profile).
    #[must_use]
    pub fn profile_request(&self, token: &BearerToken) -> Option<Request<Bytes>> {
        if self.vendor.profile != ProfileSource::UserInfo {
            return None;
        }
        let endpoint = self.endpoints.userinfo.as_ref()?;
        let mut request = match &self.vendor.profile_request {
            ProfileRequest::Get => user_info::request(endpoint, token),
            ProfileRequest::Post(body) => {
                let mut request = user_info::request(endpoint, token).map(|_| Bytes::from(body.clone().into_owned()));
                *request.method_mut() = Method::POST;
                request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
                request
            }
            ProfileRequest::TokenInPath => {
                let segment: String = url::form_urlencoded::byte_serialize(token.expose_secret().as_bytes()).collect();
                let endpoint = format!("{}/{segment}", endpoint.to_string().trim_end_matches('/'));
                user_info::request(&endpoint.parse::<Uri>().ok()?, token)
            }
        };
        request.headers_mut().extend(self.vendor.headers.clone());
        Some(request)
    }

    /// Returns the profile in the response to a [`profile_request`](Self::profile_request) with `token`.
    ///
    /// Members that the vendor names in its own way are added under the names of OpenID Connect (`preferred_username`, `picture`). If the
    /// vendor's access tokens are JWTs that say more about the user, their claims are taken: the provider has just accepted this token. A
    /// member that repeats the token is left out.
    ///
    /// A signed response (`application/jwt`) is read by [`process_any_profile`](Self::process_any_profile).
    ///
    /// # Errors
    /// [`ProtocolError`] as for [`user_info::process`]; also if profile and token name different subjects.
    pub fn process_profile(&self, response: &Response<Bytes>, token: &BearerToken) -> Result<Profile, ProtocolError> {
        if self.says_dead_token(response) {
            return Err(ProtocolError::TokenRefused);
        }
        let members = user_info::refusal(response).map_or_else(|| json_object(response), Err)?;
        self.profile_of_token(members, token)
    }

    /// Reads a response in JSON, as [`process_profile`](Self::process_profile) does, or a signed one.
    ///
    /// # Errors
    /// [`ProtocolError`] as for [`user_info::process_any`].
    pub fn process_any_profile(
        &self,
        response: &Response<Bytes>,
        token: &BearerToken,
    ) -> Result<UserInfoResponse, ProtocolError> {
        match user_info::signed(response)? {
            Some(jwt) => Ok(UserInfoResponse::Signed(jwt)),
            None => self.process_profile(response, token).map(UserInfoResponse::Plain),
        }
    }

    /// Returns the profile in a signed response to a request with `token`, whose signature is verified by a key of the issuer.
    ///
    /// # Errors
    /// [`ProtocolError`] as for [`user_info::process_signed`]; also if profile and token name different subjects.
    pub fn process_signed_profile(&self, jwt: SignedJwt, token: &BearerToken) -> Result<Profile, ProtocolError> {
        let members = about_the_user(user_info::signed_claims(&self.issuer, jwt)?.into_inner());
        self.profile_of_token(members, token)
    }

    /// Returns the profile of `members`, which the provider has returned for `token`.
    fn profile_of_token(&self, members: Map<String, Value>, token: &BearerToken) -> Result<Profile, ProtocolError> {
        let members = without(members, &|_, value| value.as_str() == Some(token.expose_secret()));
        let claims =
            Some(token).filter(|_| self.vendor.claims_in_token).and_then(unverified_claims).unwrap_or_default();
        let profile = self.profile(members, claims)?;
        // A `sub` that cannot be read is an error, not an absent one.
        let is_other = |named: Option<&str>| named.is_some_and(|named| named != profile.sub());
        if profile.claims.subject().map_or(true, is_other) {
            return Err(ProtocolError::InvalidMember("sub"));
        }
        Ok(profile)
    }

    /// Returns the profile in a verified ID token: the claims about the user.
    ///
    /// # Errors
    /// [`ProtocolError`] if the token does not name the user by the vendor's subject.
    pub fn profile_of_id_token(&self, id_token: &IdToken) -> Result<Profile, ProtocolError> {
        let claims = id_token.claims().clone().into_inner();
        let subject = self.subject(&claims)?;
        let members = self.renamed(about_the_user(claims));
        Ok(Profile { subject, replaced: None, members, claims: Claims::default() })
    }

    /// Returns the profile of `members`.
    pub(super) fn profile(&self, members: Map<String, Value>, claims: Claims) -> Result<Profile, ProtocolError> {
        Ok(Profile { subject: self.subject(&members)?, replaced: None, members: self.renamed(members), claims })
    }

    fn subject(&self, members: &Map<String, Value>) -> Result<Box<str>, ProtocolError> {
        let member = &self.vendor.subject;
        member.read(members).ok_or_else(|| match member.path() {
            "sub" => ProtocolError::InvalidMember("sub"),
            "id" => ProtocolError::InvalidMember("id"),
            "account_id" => ProtocolError::InvalidMember("account_id"),
            path => ProtocolError::NoSubject {
                path: path.to_owned(),
                present: members.keys().take(20).cloned().collect::<Vec<_>>().join(" "),
            },
        })
    }

    /// Adds the standard's names to `members` where the vendor has its own.
    fn renamed(&self, mut members: Map<String, Value>) -> Map<String, Value> {
        for (theirs, standard) in &self.vendor.renamed_members {
            if is_absent(&members, standard)
                && let Some(value) = member(&members, theirs).cloned()
            {
                members.insert(standard.clone().into_owned(), value);
            }
        }
        members
    }

    /// Reports whether a response says, in the vendor's own words, that the access token is dead.
    pub(super) fn says_dead_token(&self, response: &Response<Bytes>) -> bool {
        let is_about_the_request =
            !response.status().is_server_error() && response.status() != StatusCode::TOO_MANY_REQUESTS;
        let is_dead = |word: &String| self.vendor.dead_token_errors.iter().any(|dead| *dead == **word);
        is_about_the_request
            && !self.vendor.dead_token_errors.is_empty()
            && error_members(response).is_some_and(|members| wordings(&members).iter().any(|(_, word)| is_dead(word)))
    }

    /// Returns the request for members that `profile` lacks (GitHub's e-mail address, Atlassian's sites); `None` if there is none to make.
    /// Its response goes to [`process_supplement`](Self::process_supplement).
    #[must_use]
    pub fn supplement_request(&self, profile: &Profile, token: &BearerToken) -> Option<Request<Bytes>> {
        let me = self.endpoints.userinfo.as_ref()?;
        let endpoint = match self.vendor.supplement? {
            Supplement::GitHubEmails => {
                Some(me).filter(|_| is_absent(&profile.members, "email")).and_then(github::emails)
            }
            Supplement::AtlassianSites => atlassian::sites(me),
        };
        Some(user_info::request(&endpoint?, token))
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
        match (answer, self.vendor.supplement) {
            (Ok(value), Some(Supplement::GitHubEmails)) => github::add_email(&mut profile.members, &value),
            (Ok(value), Some(Supplement::AtlassianSites)) => atlassian::add_sites(&mut profile.members, &value),
            (Err(ProtocolError::ClientRefused { .. } | ProtocolError::UnexpectedStatus(_)), _) | (Ok(_), None) => {}
            (Err(error), _) => return Err(error),
        }
        Ok(())
    }
}

/// Returns the claims about the user in a signed profile.
fn about_the_user(claims: Map<String, Value>) -> Map<String, Value> {
    let is_about_the_user = |name: &str| name == "sub" || !(describes_token(name) || describes_login(name));
    claims.into_iter().filter(|(name, _)| is_about_the_user(name)).collect()
}

/// Reports whether a member is absent, or null.
fn is_absent(members: &Map<String, Value>, name: &str) -> bool {
    members.get(name).is_none_or(Value::is_null)
}
