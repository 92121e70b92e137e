//! The session against a small node in memory, by script and at random.

mod connecting;
mod crashes;
mod hostile;
mod node;
mod scripts;
mod world;
