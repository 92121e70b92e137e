//! The home of the directory: its departments in memory, pieces of edits one after the other.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use record::{
    AuditAct, Key, ORG_GONE_MAX, ORG_PLACES_MAX, OrgDepartment, OrgMember, OrgOutboxEntry, OrgState, Query,
    Record, Rows, Table, keys,
};
use wire::org::{Member, OrgItem, org_slot};
use wire::{Refusal, ShardAddress, UserId};

use super::announce::Announce;
use super::edit::{Done, Draft};
use super::outbox::Outbox;
use super::pages::state_of;
use super::{LoadKey, TreeChanges};
use crate::admin::AdminReply;
use crate::asker::Asker;
use crate::core::{After, Core, LoadFor};
use crate::limits::{ORG_EDITS_MAX, ORG_PIECES_MAX, ORG_ROWS_PER_LOAD, ORG_TREE_PART_MAX};
use crate::mesh::{MeshFrame, OrgFrame};
use crate::recovery;

/// Departments, and how many stand under each.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub departments: BTreeMap<u32, OrgDepartment>,
    pub children: BTreeMap<u32, u32>,
}

/// Edits that are done together.
#[derive(Debug)]
struct Piece {
    asker: Asker,
    /// The version it was made for; 0 for any.
    expected: u64,
    edits: Vec<OrgItem>,
}

/// A piece on its way to the disk.
#[derive(Debug)]
pub(crate) struct Written {
    pub asker: Asker,
    version: u64,
    users: Vec<UserId>,
    tree: TreeChanges,
}

/// What the home is at.
#[derive(Debug, Default)]
enum Phase {
    /// Nothing is in memory: the end of the turn reads it.
    #[default]
    Unread,
    /// Departments are being read; then the outbox.
    Departments,
    Outbox,
    Ready,
    /// What this piece needs is being read.
    Reading(Piece),
    Writing,
}

#[derive(Debug, Default)]
pub(crate) struct Home {
    phase: Phase,
    /// Rises when what is being read is not wanted any more.
    reading: u64,
    state: OrgState,
    index: Index,
    outbox: Outbox,
    /// Pieces that wait for their turn.
    pieces: VecDeque<Piece>,
}

impl Home {
    pub fn departments(&self) -> usize {
        self.index.departments.len()
    }

    pub fn outbox_len(&self) -> usize {
        self.outbox.len()
    }

    pub fn start(&mut self, core: &mut Core) {
        let (from, to) = keys::table_range(org_slot(), Table::OrgDepartment);
        let queries = vec![Query::Get(Key::OrgState.bytes()), range(from, to, ORG_ROWS_PER_LOAD)];
        if core.load(org_slot(), queries, LoadFor::Org(LoadKey::Start(self.reading))) {
            self.phase = Phase::Departments;
        }
    }

    pub fn handle_start_loaded(
        &mut self,
        core: &mut Core,
        reading: u64,
        rows: &[Rows],
        announce: &mut Announce,
    ) {
        if reading != self.reading {
            return;
        }
        let rows = match rows {
            [state, rows] => {
                match state_of(state) {
                    Ok(state) => self.state = state,
                    Err(error) => return core.damaged(org_slot(), &format!("the directory: {error}")),
                }
                rows
            }
            [rows] => rows,
            _ => unreachable!("one range at a time"),
        };
        for row in &rows.rows {
            if !self.restore(core, row) {
                return core.damaged(org_slot(), "a row of the directory cannot be read");
            }
        }
        let (table, behind) = match (&self.phase, rows.rows.last().filter(|_| rows.more)) {
            (Phase::Departments, Some(last)) => (Table::OrgDepartment, Some(&last.key)),
            (Phase::Departments, None) => {
                self.phase = Phase::Outbox;
                (Table::OrgOutbox, None)
            }
            (Phase::Outbox, Some(last)) => (Table::OrgOutbox, Some(&last.key)),
            (_, _) => {
                self.phase = Phase::Ready;
                self.tell_tree(core);
                announce.on_version(self.state.version);
                return;
            }
        };
        let (first, to) = keys::table_range(org_slot(), table);
        let query = range(behind.map_or(first, recovery::behind), to, ORG_ROWS_PER_LOAD);
        let loads = core.load(org_slot(), vec![query], LoadFor::Org(LoadKey::Start(reading)));
        assert!(loads, "the read before it has left its place");
    }

    fn restore(&mut self, core: &mut Core, row: &record::Row) -> bool {
        match Key::parse(&row.key) {
            Some(Key::OrgDepartment(id)) => {
                let Ok(department) = OrgDepartment::decode(&row.value) else { return false };
                *self.index.children.entry(department.parent).or_default() += 1;
                self.index.departments.insert(id, department);
            }
            Some(Key::OrgOutbox(user)) => {
                let Ok(entry) = OrgOutboxEntry::decode(&row.value) else { return false };
                self.outbox.restore(core, user, entry);
            }
            _ => return false,
        }
        true
    }

    /// All shards hear the whole tree, in parts.
    fn tell_tree(&self, core: &mut Core) {
        let parents: Vec<_> =
            self.index.departments.iter().map(|(id, department)| (*id, Some(department.parent))).collect();
        let mut parts = parents.chunks(ORG_TREE_PART_MAX);
        tell(core, true, Arc::from(parts.next().unwrap_or_default()));
        parts.for_each(|part| tell(core, false, Arc::from(part)));
    }

    pub fn handle_edit(&mut self, core: &mut Core, asker: Asker, expected: u64, edits: Vec<OrgItem>) {
        if edits.len() > ORG_EDITS_MAX {
            return asker.refuse_for(core, Refusal::BadField);
        }
        if self.pieces.len() >= ORG_PIECES_MAX || core.stopping {
            return asker.refuse_for(core, Refusal::Busy);
        }
        self.pieces.push_back(Piece { asker, expected, edits });
    }

    /// The next piece is taken up, or the directory is read.
    pub fn end_turn(&mut self, core: &mut Core) {
        self.outbox.end_turn(core);
        match self.phase {
            Phase::Unread => self.start(core),
            Phase::Ready => {
                while matches!(self.phase, Phase::Ready)
                    && let Some(piece) = self.pieces.pop_front()
                {
                    self.begin(core, piece);
                }
            }
            Phase::Departments | Phase::Outbox | Phase::Reading(_) | Phase::Writing => {}
        }
    }

    fn begin(&mut self, core: &mut Core, piece: Piece) {
        if let Err(reason) = self.check(&piece) {
            return piece.asker.refuse_for(core, reason);
        }
        let users = users_of(&piece.edits);
        let mut queries: Vec<_> = users
            .iter()
            .map(|user| {
                let (from, to) = keys::org_member_range(*user);
                range(from, to, ORG_PLACES_MAX as u32 + 1)
            })
            .collect();
        let over = (self.state.gone as usize + piece.edits.len()).saturating_sub(ORG_GONE_MAX);
        let (from, to) = keys::table_range(org_slot(), Table::OrgGone);
        queries.push(range(from, to, over.max(1) as u32));
        if core.load(org_slot(), queries, LoadFor::Org(LoadKey::Piece(self.reading))) {
            self.phase = Phase::Reading(piece);
        } else {
            piece.asker.refuse_for(core, Refusal::Busy);
        }
    }

    fn check(&self, piece: &Piece) -> Result<(), Refusal> {
        if piece.expected != 0 && piece.expected != self.state.version {
            return Err(Refusal::OrgMoved);
        }
        if !self.outbox.has_room(piece.edits.len()) {
            return Err(Refusal::Busy);
        }
        Ok(())
    }

    pub fn handle_piece_loaded(&mut self, core: &mut Core, reading: u64, rows: &[Rows]) {
        if reading != self.reading {
            return; // the directory is read anew; who asked was told
        }
        let Phase::Reading(piece) = std::mem::replace(&mut self.phase, Phase::Ready) else {
            unreachable!("a piece is being read");
        };
        let Piece { asker, edits, .. } = piece;
        let asked = edits.len();
        let (gone, members) = rows.split_last().expect("one range more than users");
        let (Some(places), Some(gone)) = (places_of(&users_of(&edits), members), versions_of(gone)) else {
            return core.damaged(org_slot(), "a row of the directory cannot be read");
        };
        if let Some(refusal) = core.write_refusal(org_slot()) {
            return asker.refuse_for(core, refusal);
        }
        let mut draft = Draft::new(&self.index, self.state, places);
        for (index, item) in edits.into_iter().enumerate() {
            if let Err(unfit) = draft.edit(core, item) {
                let (edit, reason) = (index as u32, unfit.0);
                return refuse_unfit(core, asker, edit, reason);
            }
        }
        let over = (draft.state.gone as usize).saturating_sub(ORG_GONE_MAX);
        draft.drop_gone(&gone[..over.min(gone.len())]);
        if draft.is_empty() {
            return told(core, asker, self.state.version);
        }
        let done = draft.write(core);
        let detail = format!("{asked} edits, version {}", done.state.version);
        core.audit(org_slot(), AuditAct::OrgEdited, asker.user(), UserId::NOBODY, "", detail);
        self.take_in(core, asker, done);
    }

    /// The directory in memory is as the batch will leave it.
    fn take_in(&mut self, core: &mut Core, asker: Asker, done: Done) {
        let Done { state, departments, tree, places } = done;
        self.state = state;
        for (id, department) in departments {
            self.index.set(id, department);
        }
        let users = places.iter().map(|(user, _)| *user).collect();
        for (user, entry) in places {
            self.outbox.note(core, user, entry);
        }
        self.phase = Phase::Writing;
        let written = Written { asker, version: state.version, users, tree: tree.into() };
        let stamp = core.stamp(org_slot());
        core.after(org_slot(), stamp, After::Org(Box::new(written)));
    }

    pub fn handle_written(&mut self, core: &mut Core, written: Written, announce: &mut Announce) {
        let Written { asker, version, users, tree } = written;
        self.phase = Phase::Ready;
        told(core, asker, version);
        if !tree.is_empty() {
            tell(core, false, tree);
        }
        self.outbox.send(core, &users);
        announce.on_version(version);
    }

    pub fn handle_place_done(&mut self, core: &mut Core, user: UserId, version: u64) {
        self.outbox.handle_done(core, user, version);
    }

    /// What is in memory may build on what was not written.
    pub fn forget(&mut self, core: &mut Core) {
        if let Phase::Reading(piece) = std::mem::take(&mut self.phase) {
            piece.asker.refuse_for(core, Refusal::StorageFull);
        }
        (self.state, self.index, self.outbox) = Default::default();
        self.reading += 1;
    }

    pub fn check_invariants(&self) {
        assert!(self.pieces.len() <= ORG_PIECES_MAX);
        self.outbox.check_invariants();
        if matches!(self.phase, Phase::Ready) {
            assert_eq!(self.index.departments.len(), self.state.departments as usize);
            assert_eq!(
                self.index.children.values().map(|count| *count as usize).sum::<usize>(),
                self.index.departments.len()
            );
            assert!(self.state.gone as usize <= ORG_GONE_MAX && self.state.dropped <= self.state.version);
        }
    }
}

impl Index {
    fn set(&mut self, id: u32, department: Option<OrgDepartment>) {
        if let Some(department) = &department {
            *self.children.entry(department.parent).or_default() += 1;
        }
        let old = match department {
            Some(department) => self.departments.insert(id, department),
            None => self.departments.remove(&id),
        };
        if let Some(old) = old {
            let count = self.children.get_mut(&old.parent).expect("it stood under this one");
            *count -= 1;
            if *count == 0 {
                self.children.remove(&old.parent);
            }
        }
    }
}

fn told(core: &mut Core, asker: Asker, version: u64) {
    asker.answer(core, AdminReply::OrgEdited { version }, |encoder, request| {
        encoder.org_edited(request, version)
    });
}

/// The admin socket is told in words what does not fit.
fn refuse_unfit(core: &mut Core, asker: Asker, edit: u32, reason: String) {
    match asker {
        Asker::Socket(token) => core.reply(token, AdminReply::OrgUnfit { edit, reason }),
        Asker::Session(_) | Asker::Shard(..) => asker.refuse(core, Refusal::OrgUnfit, u64::from(edit), 0),
    }
}

fn tell(core: &mut Core, afresh: bool, changes: TreeChanges) {
    for shard in 0..core.ownership.shards() {
        let to = ShardAddress { node: core.address.node, shard };
        core.control(to, MeshFrame::Org(OrgFrame::Tree { afresh, changes: changes.clone() }));
    }
}

fn range(from: Bytes, to: Bytes, rows_max: u32) -> Query {
    Query::Range { from, to, reverse: false, rows_max, bytes_max: u32::MAX }
}

/// The users that are edited, ascending, each once.
fn users_of(edits: &[OrgItem]) -> Vec<UserId> {
    let user = |item: &OrgItem| match item {
        OrgItem::Member(Member { user, .. }) | OrgItem::MemberGone { user, .. } => Some(*user),
        OrgItem::Department(_) | OrgItem::DepartmentGone(_) => None,
    };
    let mut users: Vec<_> = edits.iter().filter_map(user).collect();
    users.sort_unstable();
    users.dedup();
    users
}

fn places_of(users: &[UserId], rows: &[Rows]) -> Option<BTreeMap<UserId, BTreeMap<u32, OrgMember>>> {
    let place = |row: &record::Row| {
        let Some(Key::OrgMember(_, department)) = Key::parse(&row.key) else { return None };
        Some((department, OrgMember::decode(&row.value).ok()?))
    };
    let places = |rows: &Rows| rows.rows.iter().map(place).collect::<Option<_>>();
    users.iter().zip(rows).map(|(user, rows)| Some((*user, places(rows)?))).collect()
}

fn versions_of(rows: &Rows) -> Option<Vec<u64>> {
    let version = |row: &record::Row| match Key::parse(&row.key) {
        Some(Key::OrgGone(version)) => Some(version),
        _ => None,
    };
    rows.rows.iter().map(version).collect()
}
