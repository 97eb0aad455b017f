//! The binary, from the outside: started with good and bad configuration, called, stopped.

mod configuration;
mod demo;
mod gate;
mod process;
mod reference;
mod stopping;
mod transport;
