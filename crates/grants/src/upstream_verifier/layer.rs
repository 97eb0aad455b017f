//! [`UpstreamLayer`]: puts an [`UpstreamVerifier`] around a verifier.

use std::{sync::Arc, time::Duration};

use portcullis_core::Clock;
use tower_layer::Layer;

use super::{UpstreamVerifier, outage::Outage, service::OF_THE_USER};

/// Asks the provider about users that a verifier knows by tokens of this server's own; see [`UpstreamVerifier`].
#[derive(Clone, Debug)]
pub struct UpstreamLayer<P> {
    provider: P,
    claims: Arc<[Box<str>]>,
    lets_pass: bool,
    outage: Option<Outage>,
}

impl<P> UpstreamLayer<P> {
    /// `provider` is the verifier of the provider's tokens.
    #[must_use]
    pub fn new(provider: P) -> Self {
        Self { provider, claims: OF_THE_USER.map(Box::from).into(), lets_pass: false, outage: None }
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

    /// Lets users go on while the provider cannot be asked, for `grace` after it last confirmed them: by its last answer in this process, or
    /// else as the verifier inside knows them ([`confirmed_at`](portcullis_core::UserContext::confirmed_at)). What is known is kept by
    /// [grant](portcullis_core::Upstream::grant), so that another token of the same session finds it. Default, and zero: they are refused
    /// with 503.
    ///
    /// Only an outage is bridged: no answer, one that cannot be understood, 429, 5xx. A grant that has ended, a token that the provider
    /// refuses, and a provider that refuses this server are none. The provider is asked again after 5 s.
    #[must_use]
    pub fn with_outage_grace(mut self, grace: Duration, clock: Arc<dyn Clock>) -> Self {
        self.outage = (!grace.is_zero()).then(|| Outage::new(grace, clock));
        self
    }

    pub(super) fn around<G>(self, verifier: G) -> UpstreamVerifier<G, P> {
        let Self { provider, claims, lets_pass, outage } = self;
        UpstreamVerifier { own: verifier, provider, claims, lets_pass, outage }
    }
}

impl<G, P: Clone> Layer<G> for UpstreamLayer<P> {
    type Service = UpstreamVerifier<G, P>;

    fn layer(&self, verifier: G) -> UpstreamVerifier<G, P> {
        self.clone().around(verifier)
    }
}
