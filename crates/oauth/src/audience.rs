//! [`Audience`]: what the claim `aud` must contain.

use portcullis_core::ResourceUri;

/// What the claim `aud` must contain: the resource's URI, or else one of the names that the issuer has for it.
#[derive(Clone, Debug)]
pub(crate) enum Audience {
    Resource(ResourceUri),
    Names(Vec<Box<str>>),
}

impl Audience {
    /// `names` in place of what it was; nothing changes if there are none.
    pub(crate) fn renamed<I: IntoIterator<Item: Into<Box<str>>>>(self, names: I) -> Self {
        let names: Vec<_> = names.into_iter().map(Into::into).collect();
        if names.is_empty() { self } else { Self::Names(names) }
    }

    /// Whether a member of `aud` means us.
    pub(crate) fn is_named_by(&self, audience: &str) -> bool {
        match self {
            Self::Resource(resource) => resource.is_named_by(audience),
            Self::Names(names) => names.iter().any(|name| **name == *audience),
        }
    }
}
