//! Black-box tests of the program: configuration, requests, logins and shutdown.

mod bridge;
mod configuration;
mod connections;
mod demo;
mod gate;
mod maintenance;
mod online_check;
mod process;
mod providers;
mod proxies;
mod reference;
mod secret_files;
mod stopping;
mod transport;
mod troubleshooting;
