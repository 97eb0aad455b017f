//! Tests of the testkit through its public interface. They are one program, because linking takes longer than all of them.

mod grants;
mod identity_provider;
mod logins;
mod lost_answers;
mod vendors;
