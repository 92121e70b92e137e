//! Real nodes and bare clients, for tests from outside.

mod exposition;
mod http;
mod node;
mod raw;
mod terminal;

pub use exposition::{Exposition, Labels};
pub use http::{HttpAnswer, http_exchange, http_get};
pub use node::{Node, NodeBuilder, binary, check, tool};
pub use raw::{Protection, RawClient};
pub use terminal::Terminal;
