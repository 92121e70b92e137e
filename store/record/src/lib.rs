//! Durable records and their keys. Pure: no I/O, no store engine. The only package that knows the record encoding.

pub mod audit;
mod body;
pub mod device;
mod entry;
mod following;
pub mod keys;
pub mod kv;
mod marks;
pub mod ops;
pub mod org;
pub mod presence;
pub mod profile;
pub mod records;
pub mod relation;
pub mod service;
pub mod verify;

pub use audit::{AUDIT_DETAIL_LEN_MAX, AuditAct, AuditClass, AuditEntry};
pub use body::{body_hash, send_hash};
pub use device::DeviceSeen;
pub use entry::{
    EDITS_MAX, EditOf, Entry, ForwardedFrom, KIND_MESSAGE, PlainEntry, RICH_INLINE_BODY_LEN_MAX,
};
pub use following::Following;
pub use keys::{AuditPlace, Key, Table};
pub use kv::{Batch, CommitOutcome, Query, Row, Rows, StoreShardId};
pub use marks::StoredMarks;
pub use ops::{Op, Ops};
pub use org::{
    ORG_DEPARTMENTS_MAX, ORG_DEPTH_MAX, ORG_GONE_MAX, ORG_MEMBERS_MAX, ORG_PLACES_MAX, OrgChange,
    OrgDepartment, OrgGone, OrgMember, OrgOutboxEntry, OrgPlace, OrgState,
};
pub use presence::{LastSeenFor, Presence, Status};
pub use profile::{Audience, Gender, Profile, ProfileField, Shown};
pub use records::*;
pub use relation::{
    Act, CONTACTS_MAX, Contact, ContactOutboxEntry, ContactState, NotNow, Relation, Tie, View,
};
pub use service::{Token, Tokens};
