//! The audit log: acts on accounts and of operators, each in the slot of whom it concerns and in the batch of the act itself.
//!
//! Acts that anybody can bring about before he has logged in stand apart from the others, so that nobody can push those out
//! of a bounded log.

use rkyv::{Archive, Deserialize, Serialize};

use crate::records::{Record, RecordError, record};

macro_rules! acts {
    ($($number:literal $name:ident $text:literal $class:ident;)+) => {
        /// What was done. Numbers are part of the disk format.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum AuditAct { $($name = $number,)+ }

        impl AuditAct {
            pub const ALL: &[AuditAct] = &[$(AuditAct::$name,)+];

            /// As people read it.
            pub const fn name(self) -> &'static str {
                match self { $(AuditAct::$name => $text,)+ }
            }

            pub const fn class(self) -> AuditClass {
                match self { $(AuditAct::$name => AuditClass::$class,)+ }
            }

            pub fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(AuditAct::$name),)+ _ => None }
            }
        }
    };
}

/// Which acts share a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum AuditClass {
    /// By whoever connects.
    Open = 1,
    /// By users and operators.
    Known = 2,
}

impl AuditClass {
    pub const ALL: [AuditClass; 2] = [AuditClass::Open, AuditClass::Known];

    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|class| *class as u8 == number)
    }
}

acts! {
    1 Registered "registered" Open;
    2 LoginSlowed "login slowed down" Open;
    3 UserAdded "user added" Known;
    4 PasswordReset "password reset" Known;
    5 PasswordChanged "password changed" Known;
    6 CodeIssued "code issued" Known;
    7 CodeRedeemed "code redeemed" Open;
    8 Disabled "disabled" Known;
    9 Enabled "enabled" Known;
    10 Deleted "deleted" Known;
    11 TokenCreated "token created" Known;
    12 TokenRevoked "token revoked" Known;
    13 SessionsEnded "sessions ended" Known;
    14 PairsRelated "pairs related" Known;
    15 NoticeIssued "notice issued" Known;
    16 OrgEdited "organisation edited" Known;
}

/// One act.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Number of an [`AuditAct`].
    pub act: u8,
    /// The user who did it; 0: the operator through the admin socket, or nobody who is known.
    pub by: u64,
    /// The account it concerns; 0: none.
    pub subject: u64,
    /// Of the account, or as it was tried.
    pub name: String,
    pub detail: String,
}
record!(AuditEntry, Audit, 1);

/// Longest detail in bytes; a longer one is cut.
pub const AUDIT_DETAIL_LEN_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes on disk of version 1. They never change; a new version gets bytes of its own beside these.
    #[test]
    fn golden_bytes() {
        let entry =
            AuditEntry { act: 11, by: 0, subject: 1_027, name: "importer".into(), detail: "token 3".into() };
        let hex: String = entry.encode().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, GOLDEN);
        assert_eq!(AuditEntry::decode(&entry.encode()), Ok(entry));
    }

    const GOLDEN: &str = "0c010b00000000000000000304000000000000696d706f72746572746f6b656e2033ff";

    #[test]
    fn acts_keep_their_numbers() {
        for act in AuditAct::ALL {
            assert_eq!(AuditAct::from_number(*act as u8), Some(*act));
        }
        assert_eq!(AuditAct::from_number(0), None);
    }
}
