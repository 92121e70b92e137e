//! Many pairs of users become contacts at once, by the operator's wish.
//!
//! A part has the pairs whose conversations have their home here, those of one store shard together. A relation is read
//! alone, without the rest of its conversation, and written back at once. Where the conversation is in memory, or is being
//! read for somebody else, its state there is what changes. A part goes on as room comes: nothing of it is refused for want
//! of it but when the disk is full.

use std::collections::{BTreeMap, VecDeque};

use ahash::AHashMap;
use record::{Key, Query, Relation, Rows, StoreShardId};
use wire::{ConversationId, Refusal, ShardAddress};

use crate::core::{Core, LoadFor};
use crate::limits::{PAIRS_PER_LOAD_MAX, PART_LOADS_MAX};
use crate::parts::{PartAnswer, PartNumber};

use super::entry::decode;
use super::state::Conversation;
use super::{Common, Conversations, LoadKey, Phase, relation};

/// Names a part: who asked, and his number for it.
type PartKey = (ShardAddress, PartNumber);

#[derive(Debug, Default)]
struct Part {
    todo: VecDeque<ConversationId>,
    loads: usize,
    /// Changes on their way to the disk.
    writing: u32,
    changed: u32,
    unchanged: u32,
    refused: u32,
}

/// A change on its way to the disk.
#[derive(Debug)]
struct Writing {
    part: PartKey,
    /// Of the relation.
    version: u64,
}

/// The parts of this shard. In memory only: who asked is told, or asks again.
#[derive(Debug)]
pub(super) struct Bulk {
    parts: BTreeMap<PartKey, Part>,
    /// Relations that are being read, and whether they changed meanwhile.
    reading: AHashMap<ConversationId, bool>,
    writing: AHashMap<ConversationId, Writing>,
}

impl Bulk {
    pub fn new(core: &mut Core) -> Self {
        Self {
            parts: BTreeMap::new(),
            reading: AHashMap::with_hasher(core.rng.hasher()),
            writing: AHashMap::with_hasher(core.rng.hasher()),
        }
    }

    /// Its relation is not on disk, and in no memory but this: whoever wants to read it comes again.
    pub fn holds(&self, id: ConversationId) -> bool {
        self.writing.contains_key(&id)
    }

    /// A relation is being written: what is read of it now may be older.
    pub fn note(&mut self, id: ConversationId) {
        if let Some(changed) = self.reading.get_mut(&id) {
            *changed = true;
        }
    }

    /// A relation is on disk.
    pub fn on_written(&mut self, id: ConversationId, version: u64) {
        if self.writing.get(&id).is_some_and(|writing| writing.version == version) {
            let Writing { part, .. } = self.writing.remove(&id).expect("it was found a moment ago");
            let part = self.parts.get_mut(&part).expect("a part waits for what it writes");
            part.writing -= 1;
            part.changed += 1;
        }
    }

    /// A batch of this store shard was not written.
    pub fn forget(&mut self, core: &Core, store_shard: StoreShardId) {
        let Self { parts, writing, .. } = self;
        writing.retain(|id, writing| {
            let stays = core.store_shard(id.slot()) != store_shard;
            if !stays {
                let part = parts.get_mut(&writing.part).expect("a part waits for what it writes");
                part.writing -= 1;
                part.refused += 1;
            }
            stays
        });
    }

    pub fn check_invariants(&self) {
        let counted: u32 = self.parts.values().map(|part| part.writing).sum();
        assert_eq!(counted as usize, self.writing.len());
        assert!(self.parts.values().all(|part| part.loads <= PART_LOADS_MAX));
    }
}

impl Conversations {
    /// Pairs whose conversations have their home here.
    pub fn handle_part(
        &mut self,
        core: &mut Core,
        from: ShardAddress,
        number: PartNumber,
        mut pairs: Vec<ConversationId>,
    ) {
        pairs.sort_by_key(|id| (core.store_shard(id.slot()), *id));
        let part = Part { todo: pairs.into(), ..Part::default() };
        let before = self.common.bulk.parts.insert((from, number), part);
        assert!(before.is_none(), "a number names one part");
        self.go_on_with_parts(core);
    }

    pub(super) fn on_pairs_loaded(
        &mut self,
        core: &mut Core,
        from: ShardAddress,
        number: PartNumber,
        ids: &[ConversationId],
        rows: &[Rows],
    ) {
        let key = (from, number);
        self.common.bulk.parts.get_mut(&key).expect("a part waits for what it reads").loads -= 1;
        for (id, rows) in ids.iter().zip(rows) {
            let changed = self.common.bulk.reading.remove(id).expect("it was being read");
            if changed || self.held.contains_key(id) || self.common.bulk.holds(*id) {
                self.common.bulk.parts.get_mut(&key).expect("it is there").todo.push_back(*id);
                continue;
            }
            let mut conversation = Conversation::new(*id);
            match rows.rows.first().map(decode::<Relation>).transpose() {
                Ok(relation) => conversation.relation = relation.map(Box::new),
                Err(reason) => return core.damaged(id.slot(), &format!("{id:?}: {reason}")),
            }
            befriend(core, &mut self.common, key, &mut conversation);
        }
        self.go_on_with_parts(core);
    }

    /// As far as there is room. Called whenever some may have come.
    pub(super) fn go_on_with_parts(&mut self, core: &mut Core) {
        if self.common.bulk.parts.is_empty() {
            return;
        }
        let keys: Vec<_> = self.common.bulk.parts.keys().copied().collect();
        for key in keys {
            self.go_on_with(core, key);
            let part = &self.common.bulk.parts[&key];
            if part.todo.is_empty() && part.loads == 0 && part.writing == 0 {
                let Part { changed, unchanged, refused, .. } =
                    self.common.bulk.parts.remove(&key).expect("it is there");
                let (to, number) = key;
                PartAnswer::Related { changed, unchanged, refused }.send(core, to, number);
            }
        }
    }

    fn go_on_with(&mut self, core: &mut Core, key: PartKey) {
        // Each pair at most once: one that has to wait goes to the end.
        for _ in 0..self.common.bulk.parts[&key].todo.len() {
            let Bulk { parts, reading, writing } = &mut self.common.bulk;
            let part = parts.get_mut(&key).expect("it is there");
            let Some(id) = part.todo.front().copied() else { return };
            let has_room =
                core.write_refusal(id.slot()) != Some(Refusal::Busy) && !self.common.contacts.is_full();
            if !has_room {
                return;
            }
            if writing.contains_key(&id) || reading.contains_key(&id) {
                part.todo.rotate_left(1);
            } else if let Some(held) = self.held.get_mut(&id) {
                if matches!(held.phase, Phase::Ready) {
                    part.todo.pop_front();
                    befriend(core, &mut self.common, key, &mut held.conversation);
                } else {
                    part.todo.rotate_left(1);
                }
            } else if part.loads >= PART_LOADS_MAX || !self.load_pairs(core, key) {
                return;
            }
        }
    }

    /// Reads the relations of the next pairs, those of one store shard; false when too many reads are in flight.
    fn load_pairs(&mut self, core: &mut Core, (from, number): PartKey) -> bool {
        let Bulk { parts, reading, writing } = &mut self.common.bulk;
        let part = parts.get_mut(&(from, number)).expect("it is there");
        let slot = part.todo.front().expect("there is a pair").slot();
        let mut ids = Vec::new();
        while let Some(id) = part.todo.front().copied()
            && ids.len() < PAIRS_PER_LOAD_MAX
            && core.store_shard(id.slot()) == core.store_shard(slot)
            && !self.held.contains_key(&id)
            && !writing.contains_key(&id)
            && !reading.contains_key(&id)
        {
            reading.insert(id, false);
            ids.push(id);
            part.todo.pop_front();
        }
        let queries = ids.iter().map(|id| Query::Get(Key::Relation(*id).bytes())).collect();
        let load_for = LoadFor::Conversation(LoadKey::Pairs { from, number, ids: ids.clone() });
        let loads = core.load(slot, queries, load_for);
        if loads {
            part.loads += 1;
        } else {
            for id in ids.into_iter().rev() {
                reading.remove(&id);
                part.todo.push_front(id);
            }
        }
        loads
    }
}

/// Makes contacts of the two users of a conversation whose relation is known.
fn befriend(core: &mut Core, common: &mut Common, key: PartKey, conversation: &mut Conversation) {
    let id = conversation.id;
    let before = conversation.relation.as_deref().cloned().unwrap_or_default();
    let part = common.bulk.parts.get_mut(&key).expect("it is there");
    let Some(after) = before.befriended(core.now.wall_ms) else {
        part.unchanged += 1;
        return;
    };
    match core.write_refusal(id.slot()) {
        None if !common.contacts.is_full() => {}
        Some(Refusal::StorageFull) => {
            part.refused += 1;
            return;
        }
        _ => {
            part.todo.push_back(id); // read again, when there is room
            return;
        }
    }
    part.writing += 1;
    common.bulk.writing.insert(id, Writing { part: key, version: after.version });
    relation::write(core, common, conversation, after);
    relation::update_may_write(core, conversation);
}
