//! Clients of the bridge: who they are, where they may be sent, and how they prove who they are.

mod assertions;
mod authentication;
mod configured;
mod document_cache;
mod document_fetch;
mod documents;
mod host;
mod redirect_uri;
mod registration;
mod registration_ends;
mod shares;
mod world;
