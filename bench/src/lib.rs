//! The load generator's parts: clients by the thousand, scenarios, reports.

pub mod driver;
pub mod limit;
pub mod machine;
pub mod measure;
pub mod options;
pub mod pairs;
mod program;
pub mod relations;
pub mod report;
pub mod scenario;
pub mod server;
pub mod storm;
pub mod sweep;
pub mod table;
pub mod tls;
pub mod usage;
