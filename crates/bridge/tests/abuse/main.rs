//! Abuse of the bridge: floods, guessed credentials, oversized and invalid requests.

mod metrics;
mod document_fetches;
mod floods;
mod credential_guessing;
mod invalid_requests;
mod oversized;
mod fixture;
