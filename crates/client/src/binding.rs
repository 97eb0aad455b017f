//! [`Binding`]: what an access token is for, by which everything about it is kept.

use portcullis_core::{GrantId, Issuer, ResourceUri, ScopeSet};
use sha2::{Digest as _, Sha256};

/// What an access token is for: the resource it is sent to, the authorization server that issues it, the client it is issued to, the
/// scopes that are always requested, and the user if one client acts for several.
///
/// Tokens are kept by the whole binding: a token of one resource, client or user is never used for another one.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Binding {
    /// The resource server, as its protected resource metadata names it.
    pub resource: ResourceUri,
    /// The authorization server.
    pub issuer: Issuer,
    /// The client identifier at the authorization server.
    pub client_id: Box<str>,
    /// The scopes that are requested from the start. Step-up does not change them.
    pub scopes: ScopeSet,
    /// The user or tenant for whom the token is, in the words of the application; `None` if there is only one.
    pub subject: Option<Box<str>>,
}

impl Binding {
    /// Creates a binding without scopes and without a subject.
    #[must_use]
    pub fn new(resource: ResourceUri, issuer: Issuer, client_id: &str) -> Self {
        Self { resource, issuer, client_id: client_id.into(), scopes: ScopeSet::default(), subject: None }
    }

    /// Sets the scopes that are requested from the start.
    #[must_use]
    pub fn with_scopes(mut self, scopes: ScopeSet) -> Self {
        self.scopes = scopes;
        self
    }

    /// Sets the user or tenant.
    #[must_use]
    pub fn with_subject(mut self, subject: &str) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Returns the key of the stored tokens: a hash of all members and of the [name](crate::Grant::name) of the grant, because a program's
    /// own tokens are not those of a user.
    #[must_use]
    pub fn grant_id(&self, grant: &str) -> GrantId {
        let scopes = self.scopes.to_string();
        let members = [
            grant,
            self.resource.as_str(),
            self.issuer.as_str(),
            &self.client_id,
            &scopes,
            self.subject.as_deref().unwrap_or(""),
        ];
        let mut hash = Sha256::new_with_prefix("portcullis client binding 1");
        hash.update([u8::from(self.subject.is_some())]);
        for member in members {
            // The length keeps two members from being taken for other two.
            hash.update((member.len() as u64).to_be_bytes());
            hash.update(member);
        }
        let hash: [u8; 32] = hash.finalize().into();
        let mut id = [0; 16];
        id.copy_from_slice(&hash[..16]);
        GrantId::from_bytes(id)
    }
}
