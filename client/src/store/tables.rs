//! The tables. Rows are redb's own tuples; a change of their shape is a new schema.

use bytes::Bytes;
use redb::{TableDefinition, TableError, WriteTransaction};
use wire::client::{ConversationState, StoredSend};
use wire::extras::{Extras, Forwarded};
use wire::message::{BodyKind, Entry, EntryKind, Place, Range, RangeKind};
use wire::{ConversationId, DeviceId, UserId};

/// Low and high user of a conversation.
pub type ConversationKey = (u64, u64);
/// A conversation and a seq in it.
pub type SeqKey = (u64, u64, u64);
type PlaceRow = (u64, u64);
/// ord, time, sender, device, counter, kind, kind of body, body.
pub type EntryRow<'a> = (u64, u64, u64, u32, u64, u8, u8, &'a [u8]);
/// epoch, applied, head, read, delivered, the other one's read and delivered, time, read wanted, last own counter taken.
pub type ConversationRow = (u32, PlaceRow, PlaceRow, PlaceRow, PlaceRow, PlaceRow, PlaceRow, u64, u64, u64);
/// Conversation, kind of body, body.
pub type SendRow<'a> = (u64, u64, u8, &'a [u8]);
/// target, answered, edited, recalled; sender and time of what was forwarded; mentioned users, 8 bytes each.
pub type ExtrasRow<'a> = (u64, u64, u64, u64, Option<(u64, u64)>, &'a [u8]);

pub const NUMBERS: TableDefinition<&str, u64> = TableDefinition::new("numbers");
pub const TEXTS: TableDefinition<&str, &str> = TableDefinition::new("texts");
pub const SECRETS: TableDefinition<&str, &[u8]> = TableDefinition::new("secrets");
pub const CONVERSATIONS: TableDefinition<ConversationKey, ConversationRow> =
    TableDefinition::new("conversations");
pub const ENTRIES: TableDefinition<SeqKey, EntryRow<'static>> = TableDefinition::new("entries");
/// By first seq: last seq and kind of a range without entries.
pub const GAPS: TableDefinition<SeqKey, (u64, u8)> = TableDefinition::new("gaps");
/// By counter.
pub const OUTGOING: TableDefinition<u64, SendRow<'static>> = TableDefinition::new("outgoing");
/// Names of users.
pub const NAMES: TableDefinition<u64, &str> = TableDefinition::new("names");
/// Users whose accounts are gone.
pub const DELETED: TableDefinition<u64, ()> = TableDefinition::new("deleted_users");
/// Fingerprints by address.
pub const PINS: TableDefinition<&str, &[u8; 32]> = TableDefinition::new("pins");
/// Of those entries that have some.
pub const EXTRAS: TableDefinition<SeqKey, ExtrasRow<'static>> = TableDefinition::new("extras");
/// By counter, of those sends that are no plain messages: kind and extras.
pub const OUTGOING_EXTRAS: TableDefinition<u64, (u8, ExtrasRow<'static>)> =
    TableDefinition::new("outgoing_extras");
/// Seq of the last message that mentions the user.
pub const MENTIONED: TableDefinition<ConversationKey, u64> = TableDefinition::new("mentioned");

pub const SCHEMA: &str = "schema";
pub const USER: &str = "user";
pub const DEVICE: &str = "device";
pub const NEXT_COUNTER: &str = "next_counter";
pub const UVER: &str = "uver";
pub const ITERATIONS: &str = "iterations";
pub const NAME: &str = "name";
pub const TICKET: &str = "ticket";
pub const SALT: &str = "salt";
pub const CLIENT_KEY: &str = "client_key";
pub const SERVER_KEY: &str = "server_key";

/// Makes every table, so that readers always find them.
pub fn create(transaction: &WriteTransaction) -> Result<(), redb::TableError> {
    transaction.open_table(NUMBERS)?;
    transaction.open_table(TEXTS)?;
    transaction.open_table(SECRETS)?;
    transaction.open_table(CONVERSATIONS)?;
    transaction.open_table(ENTRIES)?;
    transaction.open_table(GAPS)?;
    transaction.open_table(OUTGOING)?;
    transaction.open_table(NAMES)?;
    transaction.open_table(PINS)?;
    transaction.open_table(EXTRAS)?;
    transaction.open_table(super::acts::ACTS)?;
    transaction.open_table(OUTGOING_EXTRAS)?;
    transaction.open_table(MENTIONED)?;
    Ok(())
}

/// `None` when nothing was ever written: an older folder lacks tables that came later.
pub fn known<T>(table: Result<T, TableError>) -> Result<Option<T>, TableError> {
    match table {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

pub fn conversation_key(id: ConversationId) -> ConversationKey {
    (id.low.0, id.high.0)
}

pub fn seq_key(id: ConversationId, seq: u64) -> SeqKey {
    (id.low.0, id.high.0, seq)
}

pub fn conversation_id((low, high): ConversationKey) -> ConversationId {
    ConversationId { low: UserId(low), high: UserId(high) }
}

pub fn entry_row(entry: &Entry) -> EntryRow<'_> {
    let Entry { place, time_ms, sender, device, counter, kind, body_kind, body, extras: _ } = entry;
    (place.ord, *time_ms, sender.0, device.0, *counter, kind.0, body_kind.0, body)
}

pub fn mentions(extras: &Extras) -> Vec<u8> {
    extras.mentions.iter().flat_map(|user| user.0.to_le_bytes()).collect()
}

/// With what [`mentions`] gave.
pub fn extras_row<'a>(extras: &Extras, mentions: &'a [u8]) -> ExtrasRow<'a> {
    let forwarded = extras.forwarded.map(|from| (from.sender.0, from.time_ms));
    (extras.target, extras.reply_to, extras.edited, extras.recalled, forwarded, mentions)
}

pub fn extras((target, reply_to, edited, recalled, forwarded, mentions): ExtrasRow<'_>) -> Extras {
    let forwarded = forwarded.map(|(sender, time_ms)| Forwarded { sender: UserId(sender), time_ms });
    let (users, _) = mentions.as_chunks::<8>();
    let mentions = users.iter().map(|user| UserId(u64::from_le_bytes(*user))).collect();
    Extras { target, reply_to, mentions, forwarded, edited, recalled }
}

/// Without its extras.
pub fn entry(seq: u64, row: EntryRow<'_>) -> Entry {
    let (ord, time_ms, sender, device, counter, kind, body_kind, body) = row;
    Entry {
        place: Place { seq, ord },
        time_ms,
        sender: UserId(sender),
        device: DeviceId(device),
        counter,
        kind: EntryKind(kind),
        body_kind: BodyKind(body_kind),
        body: Bytes::copy_from_slice(body),
        extras: None,
    }
}

pub fn range(from: u64, (to, kind): (u64, u8)) -> Range {
    Range { from, to, kind: RangeKind(kind) }
}

fn place_row(place: Place) -> PlaceRow {
    (place.seq, place.ord)
}

fn place((seq, ord): PlaceRow) -> Place {
    Place { seq, ord }
}

pub fn conversation_row(state: &ConversationState) -> ConversationRow {
    (
        state.epoch,
        place_row(state.applied),
        place_row(state.head),
        place_row(state.read),
        place_row(state.delivered),
        place_row(state.peer_read),
        place_row(state.peer_delivered),
        state.time_ms,
        state.read_wanted,
        state.last_taken,
    )
}

pub fn conversation_state(key: ConversationKey, row: ConversationRow) -> ConversationState {
    let (epoch, applied, head, read, delivered, peer_read, peer_delivered, time_ms, read_wanted, last_taken) =
        row;
    ConversationState {
        conversation: conversation_id(key),
        epoch,
        applied: place(applied),
        head: place(head),
        read: place(read),
        delivered: place(delivered),
        peer_read: place(peer_read),
        peer_delivered: place(peer_delivered),
        time_ms,
        read_wanted,
        last_taken,
        mentioned: 0,
    }
}

pub fn send_row(send: &StoredSend) -> SendRow<'_> {
    (send.conversation.low.0, send.conversation.high.0, send.body_kind.0, &send.body)
}

pub fn stored_send(
    counter: u64,
    (low, high, body_kind, body): SendRow<'_>,
    more: Option<(u8, ExtrasRow<'_>)>,
) -> StoredSend {
    let (kind, extras) = match more {
        Some((kind, row)) => (EntryKind(kind), extras(row).boxed()),
        None => (EntryKind::Message, None),
    };
    StoredSend {
        counter,
        conversation: conversation_id((low, high)),
        body_kind: BodyKind(body_kind),
        body: Bytes::copy_from_slice(body),
        kind,
        extras,
    }
}
