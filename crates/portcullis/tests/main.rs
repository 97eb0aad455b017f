//! Tests of the facade. They are one program, because linking takes longer than all of them.

mod bridged_outage;
mod bridged_server;
mod sources;
mod subjects;
