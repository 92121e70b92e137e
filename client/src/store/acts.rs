//! Recalls, edits and reactions, and what they make of the messages that are kept here.

use redb::{ReadableTable, TableDefinition, WriteTransaction};
use wire::ConversationId;
use wire::message::{Entry, EntryKind};

use super::tables;
use super::write::{Failure, put_entry_row};

/// A conversation, the seq of a message, and that of an entry about it.
type ActKey = (u64, u64, u64, u64);
/// Kinds of entries about messages.
pub const ACTS: TableDefinition<ActKey, u8> = TableDefinition::new("acts");

/// Keeps an entry, and carries out what it does to earlier ones, or what later ones do to it.
pub fn put_entry(transaction: &WriteTransaction, of: ConversationId, entry: &Entry) -> Result<(), Failure> {
    put_entry_row(transaction, of, entry)?;
    let seq = entry.place.seq;
    let target = entry.extras.as_ref().map_or(0, |extras| extras.target);
    if target != 0 && entry.kind != EntryKind::Message {
        let key = (of.low.0, of.high.0, target, seq);
        transaction.open_table(ACTS)?.insert(key, entry.kind.0)?;
        return carry_out(transaction, of, target);
    }
    carry_out(transaction, of, seq)
}

fn carry_out(transaction: &WriteTransaction, of: ConversationId, target: u64) -> Result<(), Failure> {
    let mut acts = Vec::new();
    let range = (of.low.0, of.high.0, target, 0)..=(of.low.0, of.high.0, target, u64::MAX);
    for row in transaction.open_table(ACTS)?.range(range)? {
        let (key, kind) = row?;
        if kind.value() != EntryKind::Reaction.0 {
            acts.extend(read(transaction, of, key.value().3)?);
        }
    }
    let kept = read(transaction, of, target)?;
    let mut changed: Vec<Entry> = Vec::new();
    for mut entry in kept.into_iter().chain(acts.iter().cloned()) {
        let changes = acts.iter().filter(|act| wire::fold::apply(&mut entry, act)).count();
        if changes > 0 {
            changed.push(entry);
        }
    }
    changed.iter().try_for_each(|entry| put_entry_row(transaction, of, entry))
}

fn read(transaction: &WriteTransaction, of: ConversationId, seq: u64) -> Result<Option<Entry>, Failure> {
    let key = tables::seq_key(of, seq);
    let entries = transaction.open_table(tables::ENTRIES)?;
    let Some(row) = entries.get(key)? else { return Ok(None) };
    let mut entry = tables::entry(seq, row.value());
    let extras = transaction.open_table(tables::EXTRAS)?;
    let row = extras.get(key)?;
    entry.extras = row.and_then(|row| tables::extras(row.value()).boxed());
    Ok(Some(entry))
}
