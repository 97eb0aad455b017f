//! Bridges in processes of their own: killed, restarted, and sharing a file; and answers that are lost on the way.

mod client_history;
mod fixture;
mod interruptions;
mod invariants;
mod killing;
mod lost_answers;
mod proxy;
mod repeats;
mod retrying_client;
mod server;
mod user;
mod waiting;
