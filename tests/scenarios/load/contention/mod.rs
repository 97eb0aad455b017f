//! What goes wrong when many share a token that has to be renewed: played with each implementation that renews tokens, and counted at the
//! provider.

mod contender;
pub(crate) mod manager;
mod outcome;
mod refresher;
mod resource;
pub(crate) mod rmcp;
mod script;
mod site;
mod transport;

pub(crate) use contender::{Client, Contender, Refusal, Team};
pub(crate) use manager::ClientLayer;
pub(crate) use outcome::Outcome;
pub(crate) use refresher::Portcullis;
pub(crate) use resource::Resource;
pub(crate) use rmcp::Rmcp;
pub(crate) use script::{SCENARIOS, Scenario, play};
pub(crate) use site::{Held, Site};
pub(crate) use transport::{MCP_SCENARIOS, McpContender, McpScenario, play_mcp};
