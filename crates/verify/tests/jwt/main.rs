//! JWTs through the verifier: what is accepted, what is refused and why, and how keys are kept.

mod accepted;
mod forged;
mod issuer;
mod key_set;
mod other_tokens;
mod refusals;
mod signature_encodings;
mod signed_user_info;
mod signing;
