//! Bridges in processes of their own: killed, restarted, and sharing a file; and answers that are lost on the way.

mod front;
mod judge;
mod killing;
mod site;
mod user;
mod world;
