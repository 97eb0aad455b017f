//! The scenarios, over loopback and in real time: with the refresher and the client layer of this project, and with rmcp.

use std::error::Error;

use portcullis::egress::{Egress, EgressConfig};
use portcullis_testkit::{IdentityProvider, TestClock};

use super::rmcp::Rmcp;
use crate::load::contention::{ClientLayer, Contender, Outcome, Portcullis, SCENARIOS, Scenario, Site, play};

/// A scenario and its outcomes.
pub(crate) struct Scene {
    pub(crate) scenario: Scenario,
    pub(crate) what: &'static str,
    /// With the refresher of this project.
    pub(crate) ours: Vec<Outcome>,
    /// With the client layer of this project.
    pub(crate) client: Vec<Outcome>,
    /// With rmcp.
    pub(crate) rmcp: Vec<Outcome>,
}

/// Runs the scenarios in sequence, each with its own provider.
pub(crate) fn run() -> Result<Vec<Scene>, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut scenes = Vec::new();
        for (scenario, what) in SCENARIOS {
            let (ours, client) = (played(scenario, &Portcullis).await?, played(scenario, &ClientLayer).await?);
            scenes.push(Scene { scenario, what, ours, client, rmcp: played(scenario, &Rmcp).await? });
        }
        Ok(scenes)
    })
}

async fn played<C: Contender>(scenario: Scenario, contender: &C) -> Result<Vec<Outcome>, Box<dyn Error>> {
    let egress = Egress::new(EgressConfig::new().with_loopback_allowed())?;
    let idp = IdentityProvider::new();
    let _running = idp.serve().await?;
    let site = Site::new(idp, TestClock::new(), |_| egress);
    Ok(play(scenario, contender, &site).await)
}
