//! The state of a conversation, rebuilt from its last checkpoint and the entries behind it.
//!
//! Entries are read from the newest back, a bounded part at a time. Only this shard writes to the conversation, and it
//! writes nothing while it reads, so the parts fit together.

use record::{
    Checkpoint, Entry, KIND_MESSAGE, Key, Marks, Query, Remembered, RememberedSend, Row, Rows, StoredMarks,
    Table, keys,
};
use wire::{ConversationId, DeviceId, UserId};

use crate::core::{Core, LoadFor};
use crate::limits::{REBUILD_BYTES, REBUILD_ROWS, REMEMBERED_DEVICES_MAX};

use super::dedupe::Sender;
use super::entry::{decode, seq_of};
use super::state::{Conversation, FIRST_EPOCH};
use super::{Conversations, LoadKey, Phase, relation};

/// What was read so far.
#[derive(Debug, Default)]
pub(super) struct Rebuild {
    /// `None` until the first part came.
    checkpoint: Option<Checkpoint>,
    /// Entries behind the checkpoint, newest first.
    behind: Vec<Behind>,
    relation: Option<Row>,
}

/// What is needed of an entry.
#[derive(Debug)]
struct Behind {
    /// `None`: the system's.
    sender: Option<Sender>,
    send: RememberedSend,
    /// It is a message: who writes has read.
    counts: bool,
}

/// Reads the first part; false when too many reads are in flight.
pub(super) fn begin(core: &mut Core, id: ConversationId) -> bool {
    let records = |table, rows_max: usize| {
        let (from, to) = keys::conversation_range(id, table);
        Query::Range { from, to, reverse: false, rows_max: rows_max as u32, bytes_max: u32::MAX }
    };
    let queries = vec![
        Query::Get(Key::Checkpoint(id).bytes()),
        records(Table::Remembered, 2 * REMEMBERED_DEVICES_MAX),
        records(Table::Marks, 2),
        entries(id, 1, u64::MAX),
        Query::Get(Key::Relation(id).bytes()),
        Query::Get(Key::Outbox(id.low, id).bytes()),
        Query::Get(Key::Outbox(id.high, id).bytes()),
    ];
    core.load(id.slot(), queries, LoadFor::Conversation(LoadKey::State(id)))
}

fn entries(id: ConversationId, first: u64, last: u64) -> Query {
    let (from, to) = keys::entry_range(id, first, last);
    Query::Range { from, to, reverse: true, rows_max: REBUILD_ROWS, bytes_max: REBUILD_BYTES }
}

impl Conversations {
    pub(super) fn on_state_loaded(&mut self, core: &mut Core, id: ConversationId, rows: Vec<Rows>) {
        let held = self.held.get_mut(&id).expect("a conversation that is being read is held");
        let Phase::Loading(rebuild) = &mut held.phase else { panic!("{id:?} is not being read") };
        if let [.., low, high] = &rows[..] {
            if let Err(reason) = held.conversation.restore_mentions([low, high]) {
                return core.damaged(id.slot(), &format!("{id:?}: {reason}"));
            }
            // What an earlier run did not send goes before what changes from now on.
            self.common.outbox.restore(core, id.slot(), [low, high]);
        }
        if let [.., relation, _, _] = &rows[..] {
            rebuild.relation = relation.rows.first().cloned();
        }
        let progress = rebuild.take(&mut held.conversation, &rows).and_then(|progress| {
            if progress == Progress::Complete {
                let row = rebuild.relation.take();
                relation::restore(core, &mut self.common, &mut held.conversation, row.as_ref())?;
            }
            Ok(progress)
        });
        match progress {
            Ok(Progress::Complete) => {
                held.phase = Phase::Ready;
                self.run(core, id, None);
            }
            Ok(Progress::Below { first, last }) => {
                let load_for = LoadFor::Conversation(LoadKey::State(id));
                let loads = core.load(id.slot(), vec![entries(id, first, last)], load_for);
                assert!(loads, "the read before it has left its place");
            }
            // The node stops; nothing is answered from what cannot be read.
            Err(reason) => core.damaged(id.slot(), &format!("{id:?}: {reason}")),
        }
    }
}

/// Whether entries are still wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Complete,
    Below { first: u64, last: u64 },
}

impl Rebuild {
    fn take(&mut self, conversation: &mut Conversation, rows: &[Rows]) -> Result<Progress, String> {
        let (checkpoint, entries) = match (self.checkpoint, rows) {
            (None, [checkpoint, remembered, marks, entries, ..]) => {
                let checkpoint = restore_records(conversation, checkpoint, remembered, marks)?;
                (*self.checkpoint.insert(checkpoint), entries)
            }
            (Some(checkpoint), [entries]) => (checkpoint, entries),
            _ => panic!("{} answers to the queries of a rebuild", rows.len()),
        };
        let reached = self.take_entries(conversation, checkpoint, entries)?;
        if let Some(last) = reached {
            return Ok(Progress::Below { first: checkpoint.head.seq + 1, last });
        }
        self.finish(conversation)?;
        Ok(Progress::Complete)
    }

    /// `Some(last)` when entries up to `last` are still wanted.
    fn take_entries(
        &mut self,
        conversation: &mut Conversation,
        checkpoint: Checkpoint,
        entries: &Rows,
    ) -> Result<Option<u64>, String> {
        let mut expected = conversation.head.seq - self.behind.len() as u64;
        for row in &entries.rows {
            let seq = seq_of(row)?;
            let entry: Entry = decode(row)?;
            if self.behind.is_empty() {
                // The newest entry of all.
                expected = seq.max(expected);
            }
            if seq == checkpoint.head.seq {
                return Ok(None);
            }
            if seq != expected {
                return Err(format!("entry {expected} is missing"));
            }
            self.take_entry(conversation, seq, &entry)?;
            expected -= 1;
        }
        if entries.rows.is_empty() && expected > checkpoint.head.seq {
            return Err(format!("entry {expected} is missing"));
        }
        Ok((expected > checkpoint.head.seq).then_some(expected))
    }

    fn take_entry(&mut self, conversation: &mut Conversation, seq: u64, entry: &Entry) -> Result<(), String> {
        let user = UserId(entry.sender);
        let of_system = user == UserId::SYSTEM && !conversation.id.is_private();
        if !of_system && !conversation.id.has(user) {
            return Err(format!("entry {seq} is of somebody else"));
        }
        let place = record::Place { seq, ord: entry.ord };
        let time_ms = entry.time_ms;
        if self.behind.is_empty() {
            (conversation.head, conversation.time_ms) = (place, time_ms);
        }
        let sender =
            (!of_system).then(|| Sender { side: conversation.side(user), device: DeviceId(entry.device) });
        let send = RememberedSend { counter: entry.counter, hash: entry.hash, place, time_ms };
        self.behind.push(Behind { sender, send, counts: entry.kind == KIND_MESSAGE });
        Ok(())
    }

    fn finish(&mut self, conversation: &mut Conversation) -> Result<(), String> {
        for Behind { sender, send, counts } in self.behind.drain(..).rev() {
            let Some(sender) = sender else {
                conversation.on_issued(send);
                continue;
            };
            if counts {
                let moved = Marks { delivered: send.place, read: send.place };
                conversation.marks[sender.side] = conversation.marks[sender.side].max(moved);
            }
            if !conversation.sends.is_next(sender, send.counter) {
                return Err(format!("entry {} repeats a counter", send.place.seq));
            }
            // A device that is forgotten here has lost its record with the entry that made it so.
            conversation.sends.remember(sender, send);
        }
        conversation.committed = conversation.head;
        let ahead = conversation.marks.iter().any(|marks| marks.delivered > conversation.head);
        if ahead { Err("a mark is ahead of the log".to_owned()) } else { Ok(()) }
    }
}

/// Takes in the records beside the log.
fn restore_records(
    conversation: &mut Conversation,
    checkpoint: &Rows,
    remembered: &Rows,
    marks: &Rows,
) -> Result<Checkpoint, String> {
    let checkpoint = match checkpoint.rows.first() {
        Some(row) => decode(row)?,
        None => Checkpoint { epoch: FIRST_EPOCH, ..Checkpoint::default() },
    };
    conversation.epoch = checkpoint.epoch;
    conversation.head = checkpoint.head;
    conversation.time_ms = checkpoint.time_ms;
    if remembered.more || marks.more {
        return Err("more records than there can be".to_owned());
    }
    for row in &remembered.rows {
        let Some(Key::Remembered(_, user, device)) = Key::parse(&row.key) else {
            return Err("a key among remembered sends is not that of one".to_owned());
        };
        let record: Remembered = decode(row)?;
        if user == UserId::SYSTEM {
            conversation.issues().restore(record);
            continue;
        }
        conversation.sends.restore(Sender { side: conversation.side(user), device }, record);
    }
    for row in &marks.rows {
        let Some(Key::Marks(_, user)) = Key::parse(&row.key) else {
            return Err("a key among marks is not that of one".to_owned());
        };
        let side = conversation.side(user);
        let StoredMarks { marks, shown } = decode(row)?;
        (conversation.marks[side], conversation.shown[side]) = (marks, shown.map(Box::new));
    }
    Ok(checkpoint)
}
