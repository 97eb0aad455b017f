//! [`Portcullis`]: the refresher of this project as a contender.

use std::sync::Arc;

use http::StatusCode;
use portcullis::{
    AuthError, ScopeSet,
    refresh::{GrantStore, Refresher, RefresherConfig, TokenSet},
    store::{KeyRing, MemoryStore},
    types::{Clock, GrantId, Upstream},
};

use super::{
    super::fixture::{provider_client, token_response},
    Client, Contender, Held, Refusal, Site, Team,
};

const GRANT: GrantId = GrantId::from_bytes([7; 16]);

/// The refresher of this project, as it comes.
pub(crate) struct Portcullis;

/// A handler.
#[derive(Clone)]
pub(crate) struct Handler {
    upstream: Upstream,
    site: Site,
}

impl Contender for Portcullis {
    type Client = Handler;

    /// Every store lets one refresh at a time.
    async fn clients(&self, site: &Site, held: &Held, team: Team) -> Vec<Handler> {
        let clock: Arc<dyn Clock> = Arc::new(site.clock.clone());
        let vault = GrantStore::new(Arc::new(MemoryStore::new().with_clock(Arc::clone(&clock))), KeyRing::ephemeral())
            .expect("a vault");
        let processes: Vec<_> = (0..team.size())
            .map(|_| {
                let client = provider_client(&site.idp, site.egress.clone(), &clock);
                let config = RefresherConfig::for_provider(client.provider());
                Refresher::new(vault.clone(), client, config.with_clock(Arc::clone(&clock)))
            })
            .collect();
        let mut login = token_response(&held.grant);
        login.expires_in = Some(held.lifetime);
        let tokens = TokenSet::from_login(login, &ScopeSet::default(), site.received_at(held));
        processes[0].create(GRANT, tokens).await.expect("a new grant");
        site.clock.step_back(held.put_back);
        let handler = |refresher: &Refresher| Handler { upstream: refresher.upstream(GRANT), site: site.clone() };
        processes.iter().map(handler).collect()
    }
}

impl Client for Handler {
    async fn call(&self) -> Result<(), Refusal> {
        let token = self.upstream.access_token().await.map_err(told)?;
        if self.call_resource(&token).await? == StatusCode::OK {
            return Ok(());
        }
        let token = self.upstream.rejected(&token).await.map_err(told)?;
        match self.call_resource(&token).await? {
            StatusCode::OK => Ok(()),
            _ => Err(Refusal::Login),
        }
    }
}

impl Handler {
    async fn call_resource(&self, token: &portcullis::types::AccessToken) -> Result<StatusCode, Refusal> {
        self.site.call_resource(token.expose_secret()).await.map_err(|_| Refusal::Later)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err gives")]
fn told(error: AuthError) -> Refusal {
    if error.is_transient() { Refusal::Later } else { Refusal::Login }
}
