//! The directory of the organisation. One slot's home keeps it ([`wire::org::ORG_SLOT`]): departments in memory, members in
//! the store only. Edits come in pieces, one at a time; pages of changes are read from the store, so what they show is on
//! disk. Each user's home is told through an outbox which departments he is in, and each shard holds which department stands
//! under which.

mod announce;
mod edit;
mod find;
mod home;
mod outbox;
mod pages;
mod place;
#[cfg(test)]
mod tests;
mod tree;

use std::sync::Arc;

use record::{ORG_DEPARTMENTS_MAX, Rows, StoreShardId};
use wire::org::{OrgItem, OrgPosition, org_slot};
use wire::{ConversationId, Notices, Refusal, ShardAddress, UserId};

use crate::admin::AdminReply;
use crate::core::Core;
use crate::limits::{BUSY_RETRY_MS, ORG_OUTBOX_MAX, ORG_PAGES_MAX};
use crate::mesh::Caller;
use crate::stats::TableStats;

use self::announce::Announce;
use self::find::Findings;
use self::home::Home;
pub(crate) use self::home::Written;
use self::pages::Pages;
pub(crate) use self::place::Placed;
use self::place::Places;
use self::tree::Tree;

/// What a load is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LoadKey {
    /// Departments, then what a crash left in the outbox.
    Start(u64),
    /// What the piece being edited needs.
    Piece(u64),
    Page(u64),
    Find(u64),
}

/// Who is answered.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asker {
    /// The operator, by the admin socket.
    Operator {
        token: u64,
    },
    Caller(Caller),
}

/// A part of the tree that changed: each department with the one it stands under now, or with none when it is gone.
pub(crate) type TreeChanges = Arc<[(u32, Option<u32>)]>;

/// The directory as one shard knows it. Only its home has all of it.
#[derive(Debug)]
pub(crate) struct Org {
    home: Option<Home>,
    pages: Pages,
    findings: Findings,
    announce: Announce,
    places: Places,
    tree: Tree,
}

impl Org {
    pub fn new(core: &Core) -> Self {
        Self {
            home: core.is_home(org_slot()).then(Home::default),
            pages: Pages::default(),
            findings: Findings::default(),
            announce: Announce::default(),
            places: Places::default(),
            tree: Tree::default(),
        }
    }

    pub fn tables(&self) -> [TableStats; 3] {
        let home = self.home.as_ref();
        [
            TableStats::new("org_departments", home.map_or(0, Home::departments), ORG_DEPARTMENTS_MAX),
            TableStats::new("org_outbox", home.map_or(0, Home::outbox_len), ORG_OUTBOX_MAX),
            TableStats::new("org_pages", self.pages.len(), ORG_PAGES_MAX),
        ]
    }

    pub fn start(&mut self, core: &mut Core) {
        if let Some(home) = &mut self.home {
            home.start(core);
        }
    }

    pub fn next_deadline(&self, core: &Core) -> Option<u64> {
        self.announce.next_deadline(core)
    }

    /// The departments and all those above them, ascending, each once.
    pub fn above(&self, direct: &[u32]) -> Vec<u32> {
        self.tree.above(direct)
    }

    /// # Errors
    /// When these are notices of a department that does not exist.
    pub fn check_notices(&self, conversation: ConversationId) -> Result<(), Refusal> {
        match conversation.notice() {
            Some(Notices::Department(department)) => self.tree.check(department),
            _ => Ok(()),
        }
    }

    /// A piece of edits, all of which are done or none.
    pub fn handle_edit(
        &mut self,
        core: &mut Core,
        asker: crate::asker::Asker,
        expected: u64,
        edits: Vec<OrgItem>,
    ) {
        match &mut self.home {
            Some(home) => home.handle_edit(core, asker, expected, edits),
            None => asker.refuse_for(core, Refusal::Busy), // another shard keeps the directory
        }
    }

    /// A page of changes, from the store.
    pub fn handle_sync(&mut self, core: &mut Core, asker: Asker, position: OrgPosition, rows_max: u32) {
        if self.home.is_none() {
            return asker.refuse(core, Refusal::Busy, "another shard keeps the directory");
        }
        self.pages.handle_sync(core, asker, position, rows_max);
    }

    /// Which users have these names, of this shard's slots.
    pub fn handle_find(&mut self, core: &mut Core, token: u64, names: Vec<String>) {
        self.findings.handle(core, token, names);
    }

    pub fn handle_loaded(&mut self, core: &mut Core, key: LoadKey, rows: Vec<Rows>) {
        match (key, &mut self.home) {
            (LoadKey::Page(number), _) => self.pages.handle_loaded(core, number, &rows),
            (LoadKey::Find(number), _) => self.findings.handle_loaded(core, number, &rows),
            (LoadKey::Start(reading), Some(home)) => {
                home.handle_start_loaded(core, reading, &rows, &mut self.announce);
            }
            (LoadKey::Piece(reading), Some(home)) => home.handle_piece_loaded(core, reading, &rows),
            (key, None) => unreachable!("{key:?} is read at the home of the directory"),
        }
    }

    /// A piece is on disk.
    pub fn handle_written(&mut self, core: &mut Core, written: Written) {
        let home = self.home.as_mut().expect("only the home writes");
        home.handle_written(core, written, &mut self.announce);
    }

    /// A piece was not written: the disk is full.
    pub fn handle_refused(core: &mut Core, written: &Written) {
        written.asker.refuse_for(core, Refusal::StorageFull);
    }

    /// The departments of a user of this shard changed.
    pub fn handle_place(
        &mut self,
        core: &mut Core,
        from: ShardAddress,
        user: UserId,
        version: u64,
        departments: Vec<u32>,
    ) {
        self.places.handle_place(core, Placed { from, user, version, departments });
    }

    pub fn handle_place_written(&mut self, core: &mut Core, placed: &Placed) {
        self.places.handle_written(core, placed);
    }

    pub fn handle_place_refused(&mut self, placed: Placed) {
        self.places.handle_refused(placed);
    }

    pub fn handle_place_done(&mut self, core: &mut Core, user: UserId, version: u64) {
        let home = self.home.as_mut().expect("only the home tells users' homes");
        home.handle_place_done(core, user, version);
    }

    pub fn handle_tree(&mut self, afresh: bool, changes: &TreeChanges) {
        self.tree.handle(afresh, changes);
    }

    pub fn end_turn(&mut self, core: &mut Core) {
        if let Some(home) = &mut self.home {
            home.end_turn(core);
        }
        self.places.end_turn(core);
        self.announce.end_turn(core);
    }

    /// A batch of this store shard was not written: the directory is read anew.
    pub fn forget(&mut self, core: &mut Core, store_shard: StoreShardId) {
        if let Some(home) = self.home.as_mut().filter(|_| core.store_shard(org_slot()) == store_shard) {
            home.forget(core);
        }
    }

    pub fn check_invariants(&self) {
        if let Some(home) = &self.home {
            home.check_invariants();
        }
        self.pages.check_invariants();
        self.places.check_invariants();
    }
}

impl Asker {
    fn refuse(self, core: &mut Core, refusal: Refusal, reason: &str) {
        match self {
            Asker::Operator { token } => {
                core.reply(token, AdminReply::Refused { reason: reason.to_owned() });
            }
            Asker::Caller(caller) => core.refuse_caller(caller, refusal, 0, BUSY_RETRY_MS),
        }
    }
}
