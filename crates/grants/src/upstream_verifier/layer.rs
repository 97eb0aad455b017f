//! [`UpstreamLayer`]: puts an [`UpstreamVerifier`] around a verifier.

use std::sync::Arc;

use tower_layer::Layer;

use super::{UpstreamVerifier, service::OF_THE_USER};

/// Asks the provider about users that a verifier knows by tokens of this server's own; see [`UpstreamVerifier`].
#[derive(Clone, Debug)]
pub struct UpstreamLayer<P> {
    provider: P,
    claims: Arc<[Box<str>]>,
    lets_pass: bool,
}

impl<P> UpstreamLayer<P> {
    /// `provider` is the verifier of the provider's tokens.
    #[must_use]
    pub fn new(provider: P) -> Self {
        Self { provider, claims: OF_THE_USER.map(Box::from).into(), lets_pass: false }
    }

    /// Takes over these claims of the provider's token, where ours does not make them itself. Default: `roles`, `groups`,
    /// `entitlements`, `realm_access`, `resource_access`.
    ///
    /// They are read as what *this* server knows of the user: never name one that is about the token, such as `scope`.
    #[must_use]
    pub fn with_claims<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.claims = names.into_iter().map(Box::from).collect();
        self
    }

    /// Lets users without a grant pass, as the verifier inside knows them: where it knows users who never were at the provider, such
    /// as those that an enterprise's identity provider vouches for. Default: they are refused.
    ///
    /// A grant that has ended is none of that: its user is refused in any case.
    #[must_use]
    pub const fn with_users_without_grant(mut self) -> Self {
        self.lets_pass = true;
        self
    }

    pub(super) fn around<G>(self, verifier: G) -> UpstreamVerifier<G, P> {
        UpstreamVerifier::with(verifier, self.provider, self.claims, self.lets_pass)
    }
}

impl<G, P: Clone> Layer<G> for UpstreamLayer<P> {
    type Service = UpstreamVerifier<G, P>;

    fn layer(&self, verifier: G) -> UpstreamVerifier<G, P> {
        self.clone().around(verifier)
    }
}
