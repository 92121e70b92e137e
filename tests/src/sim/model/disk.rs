//! What is on the simulated disk, read past the node.

use record::{Key, Marks, Query, Record, StoreShardId, StoredMarks};
use store::MemoryStore;
use wire::extras::{Extras, Forwarded};
use wire::{ConversationId, UserId};

use super::Identity;

/// The durable record under `key`.
pub fn record<R: Record>(store: &MemoryStore, key: &Key) -> Option<R> {
    let store_shard = StoreShardId::of_slot(key.slot(), store.store_shards());
    let rows = store.load(store_shard, &[Query::Get(key.bytes())]).pop()?.rows;
    rows.first().map(|row| R::decode(&row.value).expect("the shard writes records that can be read"))
}

/// All rows of a range of keys of one slot.
pub fn rows(
    store: &MemoryStore,
    slot: wire::Slot,
    (from, to): (bytes::Bytes, bytes::Bytes),
) -> Vec<record::Row> {
    let store_shard = StoreShardId::of_slot(slot, store.store_shards());
    let query = Query::Range { from, to, reverse: false, rows_max: u32::MAX, bytes_max: u32::MAX };
    store.load(store_shard, &[query]).pop().map(|rows| rows.rows).unwrap_or_default()
}

/// The log of a conversation with whole bodies, in order of seq.
pub fn log(store: &MemoryStore, conversation: ConversationId) -> Vec<(u64, record::Entry)> {
    let range = record::keys::entry_range(conversation, 0, u64::MAX);
    let found = rows(store, conversation.slot(), range).into_iter().map(|row| {
        let Some(Key::Entry(_, seq)) = Key::parse(&row.key) else { panic!("a key of another table") };
        let mut entry = record::Entry::decode(&row.value).expect("a readable entry");
        if entry.body_len as usize > entry.body.len() {
            entry.body = chunks(store, conversation, seq);
        }
        (seq, entry)
    });
    found.collect()
}

fn chunks(store: &MemoryStore, conversation: ConversationId, seq: u64) -> Vec<u8> {
    let range = record::keys::chunk_range(conversation, seq, seq);
    let rows = rows(store, conversation.slot(), range);
    rows.iter().flat_map(|row| record::Chunk::decode(&row.value).expect("a readable chunk").bytes).collect()
}

/// The marks of a user: those that were written, and what his own entries say, whichever is higher.
pub fn marks(store: &MemoryStore, conversation: ConversationId, user: UserId) -> Marks {
    if conversation.is_followed() {
        let row: Option<record::ListEntry> = record(store, &Key::List(user, conversation));
        return row.map(|row| row.digest.own).unwrap_or_default();
    }
    let StoredMarks { marks: written, .. } =
        record(store, &Key::Marks(conversation, user)).unwrap_or_default();
    let store_shard = StoreShardId::of_slot(conversation.slot(), store.store_shards());
    let mut last = u64::MAX;
    while last > written.read.seq.min(written.delivered.seq) {
        let (from, to) = record::keys::entry_range(conversation, 1, last);
        let query = Query::Range { from, to, reverse: true, rows_max: 4, bytes_max: u32::MAX };
        let rows = store.load(store_shard, &[query]).pop().map(|rows| rows.rows).unwrap_or_default();
        let entries = rows.iter().map(|row| {
            let Some(Key::Entry(_, seq)) = Key::parse(&row.key) else { panic!("a key of another table") };
            (seq, record::Entry::decode(&row.value).expect("a readable entry"))
        });
        for (seq, entry) in entries {
            if entry.sender == user.0 && entry.kind == record::KIND_MESSAGE {
                let own = record::Place { seq, ord: entry.ord };
                return written.max(Marks { delivered: own, read: own });
            }
            last = seq - 1;
        }
        if rows.len() < 4 {
            break;
        }
    }
    written
}

/// The marks of a user as the other one may see them.
pub fn marks_shown(store: &MemoryStore, conversation: ConversationId, user: UserId) -> Marks {
    let stored: StoredMarks = record(store, &Key::Marks(conversation, user)).unwrap_or_default();
    stored.shown.unwrap_or_else(|| marks(store, conversation, user))
}

/// The seq of the last entry of this user; 0 when there is none.
pub fn last_entry_of(store: &MemoryStore, conversation: ConversationId, user: UserId) -> u64 {
    let range = record::keys::entry_range(conversation, 1, u64::MAX);
    let of_user = rows(store, conversation.slot(), range).into_iter().rev().find_map(|row| {
        let Some(Key::Entry(_, seq)) = Key::parse(&row.key) else { panic!("a key of another table") };
        let entry = record::Entry::decode(&row.value).expect("a readable entry");
        (entry.sender == user.0 && entry.kind == record::KIND_MESSAGE).then_some(seq)
    });
    of_user.unwrap_or(0)
}

/// What clients are told of an entry beside its body.
pub fn extras(entry: &record::Entry) -> Option<Box<Extras>> {
    let from = |from: record::ForwardedFrom| Forwarded { sender: UserId(from.sender), time_ms: from.time_ms };
    let extras = Extras {
        target: entry.target,
        reply_to: entry.reply_to,
        mentions: entry.mentions.iter().copied().map(UserId).collect(),
        forwarded: entry.forwarded.map(from),
        edited: entry.edits.last().map_or(0, |edit| edit.seq),
        recalled: entry.recalled,
    };
    extras.boxed()
}

/// Whether a send of this device with this counter stands in the log.
pub fn has_send(store: &MemoryStore, conversation: ConversationId, sender: Identity, counter: u64) -> bool {
    let (from, to) = record::keys::entry_range(conversation, 1, u64::MAX);
    let query = Query::Range { from, to, reverse: true, rows_max: u32::MAX, bytes_max: u32::MAX };
    let store_shard = StoreShardId::of_slot(conversation.slot(), store.store_shards());
    let rows = store.load(store_shard, &[query]).pop().map(|rows| rows.rows).unwrap_or_default();
    rows.iter().any(|row| {
        let entry = record::Entry::decode(&row.value).expect("a readable entry");
        entry.sender == sender.user.0 && entry.device == sender.device.0 && entry.counter == counter
    })
}

/// The list of a user: conversation and what it says.
pub fn list(store: &MemoryStore, user: UserId) -> Vec<(ConversationId, record::ListEntry)> {
    let found = rows(store, user.slot(), record::keys::list_range(user)).into_iter().map(|row| {
        let Some(Key::List(_, conversation)) = Key::parse(&row.key) else { panic!("a key of another table") };
        (conversation, record::ListEntry::decode(&row.value).expect("a readable list entry"))
    });
    found.collect()
}

/// Every key of a table in the whole store.
pub fn keys(store: &MemoryStore, table: record::Table) -> Vec<Key> {
    let shards = (0..store.store_shards()).map(StoreShardId);
    let keys = shards.flat_map(|shard| store.rows(shard)).filter_map(|(key, _)| Key::parse(key));
    keys.filter(|key| key.table() == table).collect()
}
