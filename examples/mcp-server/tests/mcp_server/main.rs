//! The binary, from the outside: started with good and bad configuration, called, stopped.

mod bridge;
mod configuration;
mod connections;
mod demo;
mod gate;
mod process;
mod providers;
mod reference;
mod secret_files;
mod stopping;
mod transport;
