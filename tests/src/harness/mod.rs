//! Real nodes and bare clients, for tests from outside.

mod node;
mod raw;
mod terminal;

pub use node::{Node, NodeBuilder, binary, check, tool};
pub use raw::{Protection, RawClient};
pub use terminal::Terminal;
