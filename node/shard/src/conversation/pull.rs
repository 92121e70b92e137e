//! `Pull`: entries of the log. The answer covers `from..=to` completely: with entries, or with ranges that say why not.

use ahash::AHashMap;
use record::{CHUNK_LEN, Query, Row, Rows, keys};
use wire::limits::{MESSAGE_BODY_LEN_MAX, PULL_BYTES_MAX, PULL_ENTRIES_MAX};
use wire::message::{EntryView, Place, PulledRange, Range, RangeKind};
use wire::{ConversationId, Refusal, Verified, body};

use crate::bugs::Bug;
use crate::core::{Core, LoadFor};
use crate::mesh::Caller;

use super::entry::{Chunks, Stored, seq_of};
use super::state::Conversation;
use super::tail::TailEntry;
use super::{LoadKey, Refused};

/// What is asked, with the limits applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PullRange {
    from: u64,
    to: u64,
    /// Bytes of bodies; the entry that crosses it is included.
    bytes_max: u32,
    /// 0: whatever it is.
    epoch: u32,
}

impl PullRange {
    pub fn check(body: &Verified<body::Pull>) -> Result<Self, Refused> {
        let view = body.view();
        if view.from() == 0 || view.to() < view.from() {
            return Err(Refused::new(Refusal::BadField));
        }
        let bytes_max = match view.bytes_max() {
            0 => PULL_BYTES_MAX,
            bytes_max => bytes_max.min(PULL_BYTES_MAX),
        };
        Ok(Self { from: view.from(), to: view.to(), bytes_max, epoch: view.epoch() })
    }
}

/// A pull whose entries are being read.
#[derive(Debug)]
struct Pull {
    caller: Caller,
    covered: PulledRange,
    bytes_max: u32,
    /// Entries were written anew meanwhile: what was read may be what is not to be shown any more.
    is_stale: bool,
}

/// Pulls of this shard whose entries are being read. Bounded by the reads in flight.
#[derive(Debug)]
pub(super) struct Pulls {
    reading: AHashMap<u64, Pull>,
    /// The last number given.
    last: u64,
}

/// Runs on what is on disk: the head that counts is the committed one.
pub(super) fn run(
    core: &mut Core,
    pulls: &mut Pulls,
    conversation: &Conversation,
    caller: Caller,
    asked: PullRange,
) -> Result<(), Refused> {
    let shown = if core.bug(Bug::PullUncommitted) { conversation.head } else { conversation.committed };
    let head = Place::from(shown);
    // What is behind the head does not exist yet: an answer reaches up to the head and names it.
    let to = asked.to.min(head.seq).max(asked.from - 1);
    let (id, epoch) = (conversation.id, conversation.epoch);
    let covered = PulledRange { conversation: id, from: asked.from, to, epoch, head };
    if to < asked.from {
        answer(core, caller, &covered, [], &[]);
    } else if asked.epoch != 0 && asked.epoch != epoch {
        let changed = Range { from: asked.from, to, kind: RangeKind::EpochChanged };
        answer(core, caller, &covered, [], &[changed]);
    } else if is_in_tail(conversation, asked.from) {
        answer_from_tail(core, conversation, caller, &covered, asked.bytes_max);
    } else {
        return pulls.read(core, Pull { caller, covered, bytes_max: asked.bytes_max, is_stale: false });
    }
    Ok(())
}

fn is_in_tail(conversation: &Conversation, seq: u64) -> bool {
    conversation.tail.first().is_some_and(|first| first <= seq)
}

fn answer_from_tail(
    core: &mut Core,
    conversation: &Conversation,
    caller: Caller,
    covered: &PulledRange,
    bytes_max: u32,
) {
    let mut budget = Budget::new(bytes_max);
    let mut entries = Vec::new();
    for entry in conversation.tail.entries_from(covered.from) {
        let view = entry.view();
        if budget.is_spent() || view.place.seq > covered.to {
            break;
        }
        budget.spend(&view);
        entries.push(entry);
    }
    let ranges = rest(core, covered, entries.len());
    answer(core, caller, covered, entries.iter().map(TailEntry::view), &ranges);
}

/// What a pull may still return.
#[derive(Debug)]
struct Budget {
    entries: u32,
    bytes: u32,
}

impl Budget {
    fn new(bytes_max: u32) -> Self {
        Self { entries: PULL_ENTRIES_MAX, bytes: bytes_max }
    }

    fn is_spent(&self) -> bool {
        self.entries == 0 || self.bytes == 0
    }

    fn spend(&mut self, entry: &EntryView<'_>) {
        self.entries -= 1;
        let extras = entry.extras.map_or(0, |extras| extras.frame_len());
        self.bytes = self.bytes.saturating_sub((entry.body.len() + extras) as u32);
    }
}

/// The range behind the first `count` seqs, for which the client asks again.
fn rest(core: &Core, covered: &PulledRange, count: usize) -> Vec<Range> {
    let next = covered.from + count as u64;
    if next > covered.to || core.bug(Bug::PullForgetsMore) {
        return Vec::new();
    }
    vec![Range { from: next, to: covered.to, kind: RangeKind::More }]
}

fn answer<'e>(
    core: &mut Core,
    caller: Caller,
    covered: &PulledRange,
    entries: impl IntoIterator<Item = EntryView<'e>>,
    ranges: &[Range],
) {
    let frame = core.encoder.pulled(caller.request, covered, entries, ranges);
    core.answer(caller, frame);
}

impl Pulls {
    pub fn new(core: &mut Core) -> Self {
        Self { reading: AHashMap::with_hasher(core.rng.hasher()), last: 0 }
    }

    /// Entries of this conversation are other ones now, on disk.
    pub fn on_rewritten(&mut self, id: ConversationId) {
        for pull in self.reading.values_mut() {
            pull.is_stale |= pull.covered.conversation == id;
        }
    }

    fn read(&mut self, core: &mut Core, pull: Pull) -> Result<(), Refused> {
        let (id, from, to) = (pull.covered.conversation, pull.covered.from, pull.covered.to);
        let load_for = LoadFor::Conversation(LoadKey::Pull(self.last + 1));
        if !core.load(id.slot(), queries(id, from, to, pull.bytes_max), load_for) {
            return Err(Refused::new(Refusal::Busy));
        }
        self.last += 1;
        self.reading.insert(self.last, pull);
        Ok(())
    }

    pub fn handle_loaded(&mut self, core: &mut Core, number: u64, rows: Vec<Rows>) {
        let pull = self.reading.remove(&number).expect("a pull waits for its entries");
        if pull.is_stale {
            let caller = pull.caller;
            if let Err(refused) = self.read(core, Pull { is_stale: false, ..pull }) {
                refused.tell(core, caller);
            }
            return;
        }
        let [entries, chunks] = &rows[..] else { panic!("two queries have two answers") };
        let chunks = Chunks::new(&chunks.rows, chunks.more);
        match assemble(&pull, &entries.rows, chunks) {
            Ok(stored) => {
                let ranges = rest(core, &pull.covered, stored.len());
                answer(core, pull.caller, &pull.covered, stored.iter().map(Stored::view), &ranges);
            }
            Err(reason) => core.damaged(pull.covered.conversation.slot(), &reason),
        }
    }
}

/// Entries and, beside them, the chunks of long bodies: of one snapshot.
fn queries(id: ConversationId, from: u64, to: u64, bytes_max: u32) -> Vec<Query> {
    let (first, last) = keys::entry_range(id, from, to);
    let entries =
        Query::Range { from: first, to: last, reverse: false, rows_max: PULL_ENTRIES_MAX, bytes_max };
    // Room for one whole body behind what is asked: then the first entry always comes.
    let bytes_max = bytes_max + MESSAGE_BODY_LEN_MAX as u32 + RECORD_OVERHEAD * CHUNKS_PER_BODY;
    let rows_max = bytes_max / CHUNK_LEN as u32 + CHUNKS_PER_BODY;
    let (first, last) = keys::chunk_range(id, from, to);
    let chunks = Query::Range { from: first, to: last, reverse: false, rows_max, bytes_max };
    vec![entries, chunks]
}

const CHUNKS_PER_BODY: u32 = MESSAGE_BODY_LEN_MAX.div_ceil(CHUNK_LEN) as u32;
/// More than a record needs beside the bytes of its chunk.
const RECORD_OVERHEAD: u32 = 64;

/// The entries that were read whole and are within the pull's bounds.
fn assemble(pull: &Pull, rows: &[Row], mut chunks: Chunks<'_>) -> Result<Vec<Stored>, String> {
    let mut budget = Budget::new(pull.bytes_max);
    let mut entries = Vec::with_capacity(rows.len());
    for (seq, row) in (pull.covered.from..=pull.covered.to).zip(rows) {
        if budget.is_spent() {
            break;
        }
        if seq_of(row)? != seq {
            return Err(format!("entry {seq} of {:?} is missing", pull.covered.conversation));
        }
        let Some(entry) = chunks.complete(row)? else { break };
        budget.spend(&entry.view());
        entries.push(entry);
    }
    if entries.is_empty() {
        return Err(format!("entry {} of {:?} is missing", pull.covered.from, pull.covered.conversation));
    }
    Ok(entries)
}
