//! The tools: what an MCP server looks like that knows who is calling.

use std::sync::Arc;

use http::request::Parts;
use portcullis::{
    AuthError, ScopeSet, UserContext, grants::ProviderClient, layer::scope::OperationPolicy, oauth::providers::Profile,
    types::AuthErrorKind,
};
use rmcp::{
    ErrorData,
    handler::server::{common::Extension, wrapper::Parameters},
    schemars::JsonSchema,
    tool, tool_router,
};
use serde::Deserialize;

/// An MCP server whose tools know who is calling.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tools {
    /// Whom the tool `upstream` calls.
    provider: Option<ProviderClient>,
}

const NO_UPSTREAM: &str = "There is no upstream token in resource-server mode: your access token is for this server only, and is never \
                           passed on.";

/// The arguments of the echo tools.
#[derive(Deserialize, JsonSchema, Debug)]
#[schemars(crate = "rmcp::schemars")]
pub(crate) struct Message {
    /// The text to send back.
    message: String,
}

/// Which tools need which scopes. The gate asks, so that a tool cannot forget to.
///
/// The `required` ones are named again: a client that is refused asks for what the challenge names, and for no more.
pub(crate) fn scopes(required: &ScopeSet) -> OperationPolicy {
    OperationPolicy::new().with_tool("admin_echo", required.union(&admin_scope()))
}

/// The scope that `admin_echo` needs.
pub(crate) fn admin_scope() -> ScopeSet {
    ScopeSet::parse("mcp:admin").expect("a scope name")
}

impl Tools {
    /// Creates the tools for users who have upstream tokens at `provider`.
    pub(crate) const fn calling(provider: ProviderClient) -> Self {
        Self { provider: Some(provider) }
    }
}

#[tool_router(server_handler)]
impl Tools {
    /// Who is calling, as the gate found out.
    #[tool(
        description = "Says who you are: issuer, subject, client, scopes and claims",
        annotations(read_only_hint = true)
    )]
    async fn whoami(&self, Extension(parts): Extension<Parts>) -> Result<String, ErrorData> {
        let user = user(&parts)?;
        serde_json::to_string_pretty(&**user).map_err(|error| ErrorData::internal_error(error.to_string(), None))
    }

    #[tool(description = "Sends your message back", annotations(read_only_hint = true))]
    async fn echo(&self, Parameters(Message { message }): Parameters<Message>) -> String {
        message
    }

    /// Without a bridge there is nothing to call with: the token that came in is for this server, and passing it on is forbidden
    /// (MCP authorization, Access Token Privilege Restriction).
    #[tool(
        description = "Calls the provider's UserInfo endpoint with your upstream token",
        annotations(read_only_hint = true)
    )]
    async fn upstream(&self, Extension(parts): Extension<Parts>) -> Result<String, String> {
        let provider = self.provider.as_ref().ok_or(NO_UPSTREAM)?;
        let user = user(&parts).map_err(|error| error.message)?;
        let profile = profile(provider, user).await.map_err(|error| {
            // What the client has to do, the gate tells it when it comes again: log in, or wait.
            tracing::warn!(reason = %error.reason(), "a tool could not call the provider");
            "The provider cannot be called at the moment."
        })?;
        serde_json::to_string_pretty(profile.members()).map_err(|error| error.to_string())
    }

    /// Nothing is checked here: the auth layer has answered 403 to callers that lack the scope.
    #[tool(
        description = "Sends your message back, if you have the scope mcp:admin",
        annotations(read_only_hint = true)
    )]
    async fn admin_echo(&self, Parameters(Message { message }): Parameters<Message>) -> String {
        message
    }
}

/// The caller of this request, not of this session: the HTTP request arrives with the message.
fn user(parts: &Parts) -> Result<&Arc<UserContext>, ErrorData> {
    parts.extensions.get::<Arc<UserContext>>().ok_or_else(|| {
        tracing::error!("no user context in the request: the gate is missing in front of this server");
        ErrorData::internal_error("no user context", None)
    })
}

/// Who `user` is at the provider, by their token there.
///
/// The provider knows better than we do whether that is dead. It is reported once: if the next one is refused too, no login helps.
async fn profile(provider: &ProviderClient, user: &UserContext) -> Result<Profile, AuthError> {
    let token = user.upstream().access_token().await?;
    match provider.profile(&token).await {
        Err(refusal) if refusal.kind() == AuthErrorKind::InvalidToken => {
            let token = user.upstream().rejected(&token).await?;
            provider.profile(&token).await
        }
        answer => answer,
    }
}
