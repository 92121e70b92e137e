//! Verifies that the rows of a closed store fit together: what the check of a data folder means by "consistent".
//!
//! Rows come store shard by store shard, in key order. Nothing is read twice, so what has to be compared with a later
//! row is kept: within a slot the names, checkpoints, marks and remembered sends, over the whole store about 300 bytes per
//! conversation and 16 per account.

mod across;
mod contacts;
mod log;
mod org;
mod slot;
#[cfg(test)]
mod tests;

use wire::{ConversationId, Slot, UserId};

use self::across::Across;
use self::slot::SlotCheck;
use crate::device::DeviceSeen;
use crate::entry::Entry;
use crate::following::Following;
use crate::keys::Key;
use crate::kv::StoreShardId;
use crate::marks::StoredMarks;
use crate::presence::Presence;
use crate::profile::Profile;
use crate::records::*;
use crate::relation::{CONTACTS_MAX, Contact, ContactOutboxEntry, Relation};

/// Findings of one store shard's slots that are kept; the rest is counted.
pub const FINDINGS_MAX: usize = 1_000;

/// What a whole store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub conversations: u64,
    pub entries: u64,
    pub users: u64,
}

/// Looks at every row once, then says what does not fit.
pub struct Verifier {
    list_entries_max: usize,
    slot: Option<SlotCheck>,
    findings: Findings,
    across: Across,
    totals: Totals,
}

impl Verifier {
    /// `list_entries_max`: how many conversations a list may hold. A conversation may be missing in a full one.
    pub fn new(list_entries_max: usize) -> Self {
        Self {
            list_entries_max,
            slot: None,
            findings: Findings::default(),
            across: Across::default(),
            totals: Totals::default(),
        }
    }

    /// # Errors
    /// What is wrong with this row by itself or after the rows before it.
    pub fn handle_row(&mut self, store_shard: StoreShardId, key: &[u8], value: &[u8]) -> Result<(), String> {
        let key = Key::parse(key).ok_or("its key cannot be understood")?;
        self.begin_slot(key.slot(), store_shard)?;
        let current = self.slot.as_mut().expect("set above");
        let (findings, across) = (&mut self.findings, &mut self.across);
        if key.table() as u8 > crate::Table::Entry as u8 {
            current.end_logs(findings, across);
        }
        match key {
            Key::SlotState(_) => current.add_state(read(value)?),
            Key::Name(name) => current.add_name(name, read(value)?),
            Key::Account(user) => {
                self.totals.users += 1;
                let account = read::<Account>(value)?;
                across.add_account(user, account.devices_issued);
                current.add_account(user, &account)
            }
            Key::List(user, conversation) => {
                let entry = read::<ListEntry>(value)?;
                check_member(user, conversation)?;
                let listed = current.add_list_entry(user, entry)?;
                across.add_listed(user, conversation, &entry.digest, listed >= self.list_entries_max);
                check_digest(&entry.digest)
            }
            Key::Checkpoint(conversation) => current.add_checkpoint(conversation, read(value)?),
            Key::Remembered(conversation, user, device) => {
                check_member(user, conversation)?;
                current.add_remembered(conversation, user, device, &read(value)?)
            }
            Key::Marks(conversation, user) => handle_marks(current, across, (conversation, user), value),
            Key::Entry(conversation, seq) => {
                self.totals.entries += 1;
                let entry = read::<Entry>(value)?;
                check_sender(UserId(entry.sender), conversation)?;
                current.add_entry(conversation, seq, &entry, findings, across)
            }
            Key::Chunk(conversation, seq, index) => {
                let chunk = read::<Chunk>(value)?;
                current.add_chunk(conversation, seq, index, &chunk.bytes, findings)
            }
            Key::Outbox(user, conversation) => {
                check_member(user, conversation)?;
                let digest = read::<OutboxEntry>(value)?.digest;
                across.add_outbox(user, conversation, &digest);
                check_digest(&digest)
            }
            Key::Presence(_) => read::<Presence>(value)?.check(),
            Key::Profile(user) => current.add_profile(user, &read::<Profile>(value)?),
            Key::Following(user) => {
                let _ = read::<Following>(value)?;
                if user.is_valid() { Ok(()) } else { Err(format!("{user:?} cannot be")) }
            }
            Key::Relation(_) | Key::Contact(..) | Key::ContactOutbox(..) => {
                handle_contact_row(current, across, key, value)
            }
            Key::OrgState
            | Key::OrgDepartment(_)
            | Key::OrgMember(..)
            | Key::OrgChange(_)
            | Key::OrgGone(_)
            | Key::OrgOutbox(_)
            | Key::OrgPlace(_) => across.org.add(key, value),
            Key::Audit(..) => read::<crate::AuditEntry>(value).map(|_| ()),
            Key::Tokens(user) => current.add_tokens(user, &read(value)?),
            Key::DeviceSeen(user, device) => {
                read::<DeviceSeen>(value).and_then(|_| across.check_device(user, device))
            }
        }
    }

    fn begin_slot(&mut self, slot: Slot, store_shard: StoreShardId) -> Result<(), String> {
        if self.slot.as_ref().is_none_or(|current| current.slot() != slot) {
            self.end_slot();
            self.slot = Some(SlotCheck::new(slot));
            self.across.add_slot(slot, store_shard)?;
        }
        Ok(())
    }

    /// All rows of this store shard were shown. Gives what is wrong within its slots.
    pub fn handle_shard_end(&mut self, _store_shard: StoreShardId) -> Vec<String> {
        self.end_slot();
        std::mem::take(&mut self.findings).into_lines()
    }

    /// All store shards were shown, `store_shards` of them. Gives what is wrong between slots.
    pub fn finish(mut self, store_shards: u16) -> (Vec<String>, Totals) {
        self.end_slot();
        let mut findings = self.findings;
        self.totals.conversations = self.across.conversations();
        self.across.finish(store_shards, &mut findings);
        (findings.into_lines(), self.totals)
    }

    fn end_slot(&mut self) {
        if let Some(slot) = self.slot.take() {
            slot.end(&mut self.findings, &mut self.across);
        }
    }
}

fn handle_marks(
    current: &mut SlotCheck,
    across: &mut Across,
    (conversation, user): (ConversationId, UserId),
    value: &[u8],
) -> Result<(), String> {
    check_member(user, conversation)?;
    let StoredMarks { marks, shown } = read(value)?;
    across.add_marks_shown(user, conversation, shown)?;
    current.add_marks(conversation, user, marks)
}

/// A row about what two users are to each other.
fn handle_contact_row(
    current: &mut SlotCheck,
    across: &mut Across,
    key: Key,
    value: &[u8],
) -> Result<(), String> {
    match key {
        Key::Relation(conversation) => {
            let relation = read::<Relation>(value)?;
            if !conversation.is_valid() {
                return Err(format!("{conversation:?} cannot be"));
            }
            across.add_relation(conversation, &relation);
            relation.check().map_err(|what| format!("{conversation:?}: {what}"))
        }
        Key::Contact(user, other) => {
            let contact = read::<Contact>(value)?;
            let conversation = ConversationId::private(user, other)
                .ok_or_else(|| format!("{other:?} as a contact of {user:?} cannot be"))?;
            let listed = current.add_contact(user, &contact)?;
            across.add_contact(user, conversation, &contact, listed >= CONTACTS_MAX);
            contact.check().map_err(|what| format!("{other:?} as a contact of {user:?}: {what}"))
        }
        Key::ContactOutbox(user, conversation) => {
            check_member(user, conversation)?;
            let entry = read::<ContactOutboxEntry>(value)?;
            across.add_contact_outbox(user, conversation, &entry);
            Ok(())
        }
        other => unreachable!("{other:?} is not about two users"),
    }
}

/// Lines, bounded.
#[derive(Debug, Default)]
struct Findings {
    lines: Vec<String>,
    unlisted: u64,
}

impl Findings {
    fn add(&mut self, line: String) {
        if self.lines.len() < FINDINGS_MAX {
            self.lines.push(line);
        } else {
            self.unlisted += 1;
        }
    }

    fn into_lines(mut self) -> Vec<String> {
        if self.unlisted > 0 {
            self.lines.push(format!("{} more findings", self.unlisted));
        }
        self.lines
    }
}

fn read<R: Record>(value: &[u8]) -> Result<R, String> {
    R::decode(value).map_err(|error| error.to_string())
}

fn check_member(user: UserId, conversation: ConversationId) -> Result<(), String> {
    if !conversation.is_valid() {
        return Err(format!("{conversation:?} cannot be"));
    }
    if !conversation.is_of(user) {
        return Err(format!("{user:?} is not in {conversation:?}"));
    }
    Ok(())
}

/// Notices are written by the system, chats by their users.
fn check_sender(user: UserId, conversation: ConversationId) -> Result<(), String> {
    check_member(user, conversation)?;
    if conversation.is_private() || user == UserId::SYSTEM {
        return Ok(());
    }
    Err(format!("{user:?} has written into {conversation:?}"))
}

fn check_digest(digest: &Digest) -> Result<(), String> {
    let Digest { head, own, peer, .. } = digest;
    check_place(*head)?;
    for place in [own.delivered, own.read, peer.delivered, peer.read] {
        check_place(place)?;
        if place > *head || place.ord > head.ord {
            return Err(format!("a mark at {} is behind the head {}", place.seq, head.seq));
        }
    }
    Ok(())
}

/// `ord` counts some of the entries that `seq` counts.
fn check_place(place: Place) -> Result<(), String> {
    if place.ord > place.seq {
        return Err(format!("seq {} with ord {} cannot be", place.seq, place.ord));
    }
    Ok(())
}

/// For findings about a slot as a whole.
fn in_slot(slot: Slot, what: impl std::fmt::Display) -> String {
    format!("slot {}: {what}", slot.number())
}
