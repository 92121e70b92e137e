//! What a run found: the model, and the forms in which it is shown.

pub mod command;
mod compare;
mod file;
#[cfg(test)]
mod fixture;
mod html;
mod measure;
pub mod model;
pub mod plot;
mod table;
mod text;
pub mod unit;

pub use compare::compare;
pub use file::{Outputs, load};
pub use measure::Measure;
pub use table::{Reach, Table, TableRow};
