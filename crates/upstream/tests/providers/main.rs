//! Each provider end to end, over a socket: a login, a profile, refreshes, and every class of error: what the caller gets, what is
//! kept, and what is tried again.

mod errors;
mod logins;
mod losses;
mod profiles;
mod world;
