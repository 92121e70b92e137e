//! What a run found: the model, and the forms in which it is shown.

mod file;
#[cfg(test)]
mod fixture;
mod measure;
pub mod model;
mod old;
mod table;
mod text;
pub mod unit;

pub use file::{Outputs, load};
pub use measure::Measure;
pub use old::*;
pub use table::{Reach, Table, TableRow};
