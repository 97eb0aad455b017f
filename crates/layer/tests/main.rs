//! Tests of the layers through their public interface. They are one program, because linking takes longer than most of them.

mod gate;
mod scopes;
mod streams;
mod upstream;
