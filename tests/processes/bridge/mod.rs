//! Bridges in processes of their own: killed, restarted, and sharing a file; and answers that are lost on the way.

mod asking;
mod front;
mod interruptions;
mod judge;
mod killing;
mod life;
mod log;
mod lost_answers;
mod repeats;
mod site;
mod user;
mod waiting;
mod world;
