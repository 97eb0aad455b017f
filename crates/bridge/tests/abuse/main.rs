//! Abuse of the bridge: floods, guessed credentials, oversized and invalid requests.

mod credential_guessing;
mod document_fetches;
mod fixture;
mod floods;
mod invalid_requests;
mod metrics;
mod oversized;
