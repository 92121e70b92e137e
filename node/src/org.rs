//! The directory of the organisation from outside a node: files to import and export, what is to be edited so that it is
//! as a file says, and the way to a running node. `docs/organisation.md` describes the files.

mod copy;
mod file;
mod plan;

pub use copy::{Directory, OrgError, apply, find_users, read};
pub use file::{File, Format, Line, NamedMember, parse, write_csv, write_json};
pub use plan::{Finding, Plan, Rest, branch, plan};
