//! [`Contender`]: something that renews tokens.

use super::{Held, Site};

/// Something that renews tokens, to be put into scenarios.
pub(crate) trait Contender {
    type Client: Client;

    /// `team` of them, each as a process of its own, which share the store where `held` is. The first of them put it there.
    fn clients(&self, site: &Site, held: &Held, team: Team) -> impl Future<Output = Vec<Self::Client>>;
}

/// How many there are, and what they share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Team {
    One,
    /// This many, with an unchanged store.
    Sharing(usize),
    /// This many, with a store that admits one refresh at a time, added where it is missing.
    Guarded(usize),
}

impl Team {
    pub(crate) const fn size(self) -> usize {
        match self {
            Self::One => 1,
            Self::Sharing(size) | Self::Guarded(size) => size,
        }
    }
}

/// A client that calls a resource with a token, and renews the token when necessary. Clones are the same one.
pub(crate) trait Client: Clone + Send + Sync + 'static {
    /// One call of the resource: with a token, and with another one if the first was refused.
    fn call(&self) -> impl Future<Output = Result<(), Refusal>> + Send;
}

/// What the caller of a [`Client`] is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// The user has to log in again.
    Login,
    /// It may work later.
    Later,
}
