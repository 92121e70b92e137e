//! The ring and the mesh from outside: real sockets, real TLS clients, several executors.

mod client;
mod driver;
mod echo;
mod hostile;
mod lifecycle;
