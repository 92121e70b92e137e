//! Commands that concern many homes: the caller's home sends each of them its part and answers when all have.
//!
//! No shard waits: what was asked stands here until the last answer comes. A command is one frame to each shard, whatever
//! is in it.

use std::collections::BTreeMap;

use record::AuditAct;
use wire::limits::NOTIFY_USERS_MAX;
use wire::operator::{AuditRead, Notified, UsersListed};
use wire::service::PairsRelated;
use wire::{ConversationId, Refusal, ShardAddress, UserId};

use crate::admin::{AdminReply, Notice};
use crate::core::Core;
use crate::limits::{AUDIT_ROWS_MAX, BUSY_RETRY_MS, LISTED_USERS_MAX, PARTED_MAX};
use crate::mesh::{Caller, MeshFrame};
use crate::pages::{AuditPages, UserPages};

/// Of one command, at its caller's home; never used twice.
pub(crate) type PartNumber = u64;

/// What one shard is asked to do.
#[derive(Debug)]
pub enum PartAsk {
    /// These pairs become contacts.
    Relate(Vec<ConversationId>),
    /// A notice to each of these users.
    Notify { by: UserId, users: Vec<UserId>, notice: Notice },
    /// Its users behind a name.
    Users { after: Option<String>, users_max: u32 },
    /// Its entries of the audit log behind a time and number.
    Audit { after: (u64, u64), rows_max: u32 },
}

/// What came of it.
#[derive(Debug)]
pub enum PartAnswer {
    Related { changed: u32, unchanged: u32, refused: u32 },
    Told(Box<AdminReply>),
    Refused { refusal: Refusal, retry_ms: u32 },
}

impl PartAnswer {
    pub(crate) fn send(self, core: &mut Core, to: ShardAddress, number: PartNumber) {
        core.control(to, MeshFrame::PartDone { number, answer: self });
    }
}

/// What has come so far.
#[derive(Debug)]
enum Sum {
    Related(PairsRelated),
    Notified(Notified),
    Users { pages: UserPages, users_max: u32 },
    Audit { pages: AuditPages, after: (u64, u64), rows_max: u32 },
}

#[derive(Debug)]
struct Parted {
    caller: Caller,
    /// Answers that have not come: one of each shard, or one for each user of a notice.
    waiting: u16,
    sum: Sum,
    /// Why one of them has not done its part: then the caller gets no sum.
    refused: Option<(Refusal, u32)>,
}

/// Commands that are being carried out in parts, for callers whose home is here. In memory only.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    parted: BTreeMap<PartNumber, Parted>,
    last: PartNumber,
}

impl Parts {
    /// Pairs that become contacts.
    pub fn handle_relate(&mut self, core: &mut Core, caller: Caller, pairs: Vec<ConversationId>) {
        self.audit(core, caller, AuditAct::PairsRelated, format!("{} pairs", pairs.len()));
        let mut by_home: BTreeMap<u16, Vec<ConversationId>> = BTreeMap::new();
        for id in pairs {
            by_home.entry(core.home(id.slot()).shard).or_default().push(id);
        }
        let asks = by_home.into_iter().map(|(shard, pairs)| (shard, PartAsk::Relate(pairs))).collect();
        self.ask(core, caller, asks, Sum::Related(PairsRelated::default()));
    }

    /// A notice to each of these users.
    pub fn handle_notify(
        &mut self,
        core: &mut Core,
        caller: Caller,
        mut users: Vec<UserId>,
        notice: &Notice,
    ) {
        users.sort_unstable();
        users.dedup();
        self.audit(
            core,
            caller,
            AuditAct::NoticeIssued,
            format!("to {} users, under {}", users.len(), notice.id),
        );
        let mut by_home: BTreeMap<u16, Vec<UserId>> = BTreeMap::new();
        for user in users {
            by_home.entry(core.home(user.slot()).shard).or_default().push(user);
        }
        let ask = |users| PartAsk::Notify { by: caller.user, users, notice: notice.clone() };
        let asks = by_home.into_iter().map(|(shard, users)| (shard, ask(users))).collect();
        self.ask(core, caller, asks, Sum::Notified(Notified::default()));
    }

    /// Acts on many stand in the log once, under whoever asked for them.
    fn audit(&self, core: &mut Core, caller: Caller, act: AuditAct, detail: String) {
        let slot = caller.user.slot();
        if self.parted.len() < PARTED_MAX && core.write_refusal(slot).is_none() {
            core.audit(slot, act, caller.user, UserId::NOBODY, "", detail);
        }
    }

    /// A page of all users.
    pub fn handle_list_users(
        &mut self,
        core: &mut Core,
        caller: Caller,
        after: Option<String>,
        users_max: u32,
    ) {
        let users_max = or_most(users_max, LISTED_USERS_MAX);
        let asks = all(core, || PartAsk::Users { after: after.clone(), users_max });
        self.ask(core, caller, asks, Sum::Users { pages: UserPages::default(), users_max });
    }

    /// A page of the whole audit log.
    pub fn handle_read_audit(&mut self, core: &mut Core, caller: Caller, after: (u64, u64), rows_max: u32) {
        let rows_max = or_most(rows_max, AUDIT_ROWS_MAX);
        let asks = all(core, || PartAsk::Audit { after, rows_max });
        self.ask(core, caller, asks, Sum::Audit { pages: AuditPages::default(), after, rows_max });
    }

    fn ask(&mut self, core: &mut Core, caller: Caller, asks: Vec<(u16, PartAsk)>, sum: Sum) {
        if self.parted.len() >= PARTED_MAX {
            return core.refuse_caller(caller, Refusal::Busy, 0, BUSY_RETRY_MS);
        }
        self.last += 1;
        let number = self.last;
        let answers = |(_, ask): &(u16, PartAsk)| match ask {
            PartAsk::Notify { users, .. } => users.len() as u16,
            PartAsk::Relate(_) | PartAsk::Users { .. } | PartAsk::Audit { .. } => 1,
        };
        let waiting = asks.iter().map(answers).sum();
        self.parted.insert(number, Parted { caller, waiting, sum, refused: None });
        for (shard, ask) in asks {
            let to = ShardAddress { node: core.address.node, shard };
            core.control(to, MeshFrame::Part { number, ask });
        }
        if waiting == 0 {
            self.finish(core, number);
        }
    }

    /// A shard has done its part.
    pub fn handle_done(&mut self, core: &mut Core, number: PartNumber, answer: PartAnswer) {
        let parted = self.parted.get_mut(&number).expect("an answer is to a part that was sent");
        match (&mut parted.sum, answer) {
            (Sum::Related(sum), PartAnswer::Related { changed, unchanged, refused }) => {
                sum.changed += changed;
                sum.unchanged += unchanged;
                sum.refused += refused;
            }
            (Sum::Notified(sum), PartAnswer::Told(reply)) => match *reply {
                AdminReply::Issued { time_ms, .. } => {
                    sum.told += 1;
                    sum.time_ms = sum.time_ms.max(time_ms);
                }
                other => unreachable!("{other:?} is no answer to a notice"),
            },
            (
                Sum::Notified(sum),
                PartAnswer::Refused { refusal: Refusal::UnknownUser | Refusal::AccountDeleted, .. },
            ) => sum.unknown += 1,
            (Sum::Notified(sum), PartAnswer::Refused { .. }) => sum.refused += 1,
            (_, PartAnswer::Refused { refusal, retry_ms }) => parted.refused = Some((refusal, retry_ms)),
            (Sum::Users { pages, .. }, PartAnswer::Told(reply)) => match *reply {
                AdminReply::Users { users, more } => pages.add(users, more),
                other => unreachable!("{other:?} is no page of users"),
            },
            (Sum::Audit { pages, .. }, PartAnswer::Told(reply)) => match *reply {
                AdminReply::Audit { lines, covered } => pages.add(lines, covered),
                other => unreachable!("{other:?} is no page of the audit log"),
            },
            (sum, answer) => unreachable!("{answer:?} does not add to {sum:?}"),
        }
        parted.waiting -= 1;
        if parted.waiting == 0 {
            self.finish(core, number);
        }
    }

    fn finish(&mut self, core: &mut Core, number: PartNumber) {
        let Parted { caller, sum, refused, .. } = self.parted.remove(&number).expect("it is there");
        if let Some((refusal, retry_ms)) = refused {
            return core.refuse_caller(caller, refusal, 0, retry_ms);
        }
        let request = caller.request;
        let frame = match sum {
            Sum::Related(sum) => core.encoder.pairs_related(request, &sum),
            Sum::Notified(sum) => core.encoder.notified(request, &sum),
            Sum::Users { pages, users_max } => {
                let (users, more) = pages.page(users_max as usize);
                let users = users.into_iter().map(Into::into).collect();
                core.encoder.users_listed(request, &UsersListed { users, more })
            }
            Sum::Audit { pages, after, rows_max } => {
                let (lines, covered) = pages.page(rows_max as usize);
                let last = lines.last().map(|line| (line.time_ms, line.number));
                let to = covered.or(last).unwrap_or(after);
                let lines = lines.into_iter().map(Into::into).collect();
                core.encoder.audit_read(request, &AuditRead { lines, more: covered.is_some(), to })
            }
        };
        core.answer(caller, frame);
    }

    pub fn check_invariants(&self, core: &Core) {
        assert!(self.parted.len() <= PARTED_MAX);
        for parted in self.parted.values() {
            let most = core.ownership.shards().max(NOTIFY_USERS_MAX as u16);
            assert!((1..=most).contains(&parted.waiting));
        }
    }
}

/// The same for every shard.
fn all(core: &Core, ask: impl Fn() -> PartAsk) -> Vec<(u16, PartAsk)> {
    (0..core.ownership.shards()).map(|shard| (shard, ask())).collect()
}

/// 0 asks for as many as there may be.
fn or_most(wanted: u32, most: u32) -> u32 {
    if wanted == 0 { most } else { wanted.min(most) }
}
