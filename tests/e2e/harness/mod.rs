//! What stories are made of: processes that are real, and end with the story.

mod django;
mod glewlwyd;
mod login;
mod mcp;
mod ports;
mod process;
mod provider;
mod scripts;
mod servers;

pub(crate) use django::DjangoOauthToolkit;
pub(crate) use glewlwyd::Glewlwyd;
pub(crate) use login::{REDIRECT_URI, code};
pub(crate) use mcp::{call, message, post, tool_text};
pub(crate) use ports::free_port;
pub(crate) use process::Process;
pub(crate) use provider::{Format, GATE_SECRET, Provider};
pub(crate) use scripts::{python_script, script};
pub(crate) use servers::{Demo, McpServer, ReverseProxy, binary, until_listening};
