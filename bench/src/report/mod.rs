//! What a run found: the model, and the forms in which it is shown.

pub mod model;
mod old;

pub use old::*;
