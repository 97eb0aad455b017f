//! Providers: what is sent to each, and what its answers mean, by answers of the shape that each really gives.

mod any_answer;
mod errors;
mod profiles;
mod requests;
mod responses;
mod support;
mod tokens;
