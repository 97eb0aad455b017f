//! The tools: what an MCP server looks like that knows who is calling.

use std::sync::Arc;

use http::request::Parts;
use portcullis::{ScopeSet, UserContext, layer::scope::OperationPolicy};
use rmcp::{
    ErrorData,
    handler::server::{common::Extension, wrapper::Parameters},
    schemars::JsonSchema,
    tool, tool_router,
};
use serde::Deserialize;

/// An MCP server whose tools know who is calling.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tools;

/// What the echo tools are told.
#[derive(Deserialize, JsonSchema, Debug)]
pub(crate) struct Message {
    /// The text to send back.
    message: String,
}

/// Which tools need which scopes. The gate asks, so that a tool cannot forget to.
pub(crate) fn scopes() -> OperationPolicy {
    OperationPolicy::new().with_tool("admin_echo", admin_scope())
}

/// The scope that `admin_echo` needs.
pub(crate) fn admin_scope() -> ScopeSet {
    ScopeSet::parse("mcp:admin").expect("a scope name")
}

#[tool_router(server_handler)]
impl Tools {
    /// Who is calling, as the gate found out.
    #[tool(
        description = "Says who you are: issuer, subject, client, scopes and claims",
        annotations(read_only_hint = true)
    )]
    async fn whoami(&self, Extension(parts): Extension<Parts>) -> Result<String, ErrorData> {
        // The HTTP request arrives with the message, so this is the caller of this request, not of this session.
        let Some(user) = parts.extensions.get::<Arc<UserContext>>() else {
            tracing::error!("no user context in the request: the gate is missing in front of this server");
            return Err(ErrorData::internal_error("no user context", None));
        };
        serde_json::to_string_pretty(&**user).map_err(|error| ErrorData::internal_error(error.to_string(), None))
    }

    #[tool(description = "Sends your message back", annotations(read_only_hint = true))]
    async fn echo(&self, Parameters(Message { message }): Parameters<Message>) -> String {
        message
    }

    /// There is nothing to call with: the token that came in is for this server, and passing it on is forbidden
    /// (MCP authorization, Access Token Privilege Restriction).
    #[tool(
        description = "Calls the provider's UserInfo endpoint with your upstream token",
        annotations(read_only_hint = true)
    )]
    async fn upstream(&self) -> Result<String, String> {
        Err("There is no upstream token in resource-server mode: your access token is for this server only, and is \
             never passed on."
            .to_owned())
    }

    /// Nothing is checked here: the gate has answered 403 to whoever lacks the scope.
    #[tool(
        description = "Sends your message back, if you have the scope mcp:admin",
        annotations(read_only_hint = true)
    )]
    async fn admin_echo(&self, Parameters(Message { message }): Parameters<Message>) -> String {
        message
    }
}
