pub mod tidy;
