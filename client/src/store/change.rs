//! What is written to the local store.

use wire::UserId;
use wire::client::PersistOp;
use wire::message::Pulled;

use super::ContactRows;

/// One change. All are absolute: writing one twice is writing it once.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    Session(PersistOp),
    /// The name of a user.
    Name {
        user: UserId,
        name: String,
    },
    /// The account of this user is gone.
    UserDeleted(UserId),
    Contacts(ContactRows),
    /// Entries that were pulled for the history, in front of what is applied.
    History(Pulled),
}
