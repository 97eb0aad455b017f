//! The scenarios, over loopback and in real time: with the refresher and the client layer of this project, and with rmcp.

use std::error::Error;

use portcullis::egress::{Egress, EgressConfig};
use portcullis_testkit::{IdentityProvider, RunningIdentityProvider, TestClock};

use crate::load::contention::{
    ClientLayer, Contender, MCP_SCENARIOS, McpContender, McpScenario, Outcome, Portcullis, Rmcp, SCENARIOS, Scenario,
    Site, play, play_mcp,
};

/// A scenario and its outcomes.
pub(crate) struct Scene {
    pub(crate) letter: String,
    pub(crate) what: &'static str,
    /// With the refresher of this project, which is below no MCP client.
    pub(crate) ours: Option<Vec<Outcome>>,
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
            let (letter, rmcp) = (format!("{scenario:?}"), played(scenario, &Rmcp).await?);
            scenes.push(Scene { letter, what, ours: Some(ours), client, rmcp });
        }
        for (scenario, what) in MCP_SCENARIOS {
            let (client, rmcp) = (played_mcp(scenario, &ClientLayer).await?, played_mcp(scenario, &Rmcp).await?);
            scenes.push(Scene { letter: format!("{scenario:?}"), what, ours: None, client, rmcp });
        }
        Ok(scenes)
    })
}

async fn played<C: Contender>(scenario: Scenario, contender: &C) -> Result<Vec<Outcome>, Box<dyn Error>> {
    let (site, _running) = site().await?;
    Ok(play(scenario, contender, &site).await)
}

async fn played_mcp<C: McpContender>(scenario: McpScenario, contender: &C) -> Result<Vec<Outcome>, Box<dyn Error>> {
    let (site, _running) = site().await?;
    Ok(play_mcp(scenario, contender, &site).await)
}

/// Returns a provider of its own for a scenario, on a socket.
async fn site() -> Result<(Site, RunningIdentityProvider), Box<dyn Error>> {
    let egress = Egress::new(EgressConfig::new().with_loopback_allowed())?;
    let idp = IdentityProvider::new();
    let running = idp.serve().await?;
    Ok((Site::new(idp, TestClock::new(), |_| egress), running))
}
