use std::sync::{Mutex, Weak};

use shard::admin::UserLine;

use super::*;
use crate::admin::Credential;
use crate::admin::testing::Whole;
use crate::metrics::{Scraper, ShardSnapshot};

const SHARDS: u16 = 3;

/// Answers at once, as shards that hold these names.
struct Fake {
    replies: Weak<Replies>,
    names: [&'static [&'static str]; SHARDS as usize],
    silent: Option<u16>,
    stopped: bool,
    seen: Mutex<Vec<u16>>,
}

impl Shards for Fake {
    fn submit(&self, shard: u16, token: u64, request: AdminRequest) -> bool {
        self.seen.lock().unwrap().push(shard);
        if self.stopped {
            return false;
        }
        if self.silent == Some(shard) {
            return true;
        }
        let reply = match request {
            AdminRequest::AddUser { .. } => AdminReply::Added { user: 7 },
            AdminRequest::ListDevices { .. } => AdminReply::Devices { user: 7, devices: Vec::new() },
            AdminRequest::EndSessions { .. } => AdminReply::Ended { user: 7, sessions_ended: 2 },
            AdminRequest::ChangeUser { .. } => AdminReply::Changed { user: 7, sessions_ended: 2 },
            AdminRequest::ResetUser { .. } | AdminRequest::ShowUser { .. } => {
                AdminReply::Refused { reason: "no such user".into() }
            }
            AdminRequest::ListUsers { after, users_max } => {
                let behind = |name: &&&str| after.as_deref().is_none_or(|after| **name > after);
                let names: Vec<_> = self.names[shard as usize].iter().filter(behind).collect();
                let line = |name: &&&str| UserLine {
                    user: 1,
                    name: name.to_string(),
                    created_ms: 0,
                    devices: 0,
                    state: record::AccountState::Active,
                    state_ms: 0,
                };
                // A shard may give fewer than asked, each its own number.
                let users_max = users_max.min(1 + u32::from(shard));
                let users: Vec<_> = names.iter().take(users_max as usize).map(line).collect();
                AdminReply::Users { more: names.len() > users.len(), users }
            }
            AdminRequest::Issue { notice, .. } | AdminRequest::IssueTo { notice, .. } => {
                AdminReply::Issued { seq: notice.id, time_ms: 1 }
            }
            AdminRequest::EditOrg { edits, .. } => AdminReply::OrgEdited { version: edits.len() as u64 },
            AdminRequest::OrgPage { .. } => AdminReply::OrgPage(Box::default()),
            AdminRequest::FindUsers { names } => {
                let users = names.iter().map(|name| Some(name.len() as u64)).collect();
                AdminReply::Found { users }
            }
            AdminRequest::CreateToken { .. } => AdminReply::TokenCreated { user: 7, number: 1 },
            AdminRequest::ListTokens { .. } => AdminReply::Tokens { user: 7, tokens: Vec::new() },
            AdminRequest::ReadAudit { .. } => AdminReply::Audit { lines: Vec::new(), covered: None },
            AdminRequest::RevokeToken { .. } => AdminReply::Refused { reason: "no such token".into() },
            AdminRequest::Stats => {
                let mut snapshot = ShardSnapshot::default();
                snapshot.shard.counters.messages = 10;
                snapshot.shard.counters.refused(wire::Refusal::Busy);
                self.replies.upgrade().unwrap().deliver(token, ShardAnswer::Stats(Box::new(snapshot)));
                return true;
            }
        };
        self.replies.upgrade().unwrap().deliver(token, ShardAnswer::Done(reply));
        true
    }
}

fn desk(change: impl FnOnce(&mut Fake)) -> (Desk, Arc<Fake>, Arc<Replies>) {
    let replies = Arc::new(Replies::default());
    let mut fake = Fake {
        replies: Arc::downgrade(&replies),
        names: [&["ann", "dora", "eve"], &["bob"], &["carl", "fritz"]],
        silent: None,
        stopped: false,
        seen: Mutex::default(),
    };
    change(&mut fake);
    let fake = Arc::new(fake);
    let status = Status {
        version: "0".into(),
        process: 1,
        shards: SHARDS,
        store_shards: 8,
        listen: vec![],
        listen_plain: vec![],
        admin_http: None,
        fingerprint: None,
        iterations: 4096,
        registration_open: false,
    };
    let ownership = Arc::new(Ownership::new(SHARDS, 8));
    let scraper = Scraper::new(fake.clone(), replies.clone(), SHARDS);
    let metrics = Arc::new(Metrics::new(scraper, Arc::new(Whole)));
    let mut desk = Desk::new(fake.clone(), replies.clone(), ownership, status, metrics);
    desk.answer_max = Duration::from_millis(1);
    (desk, fake, replies)
}

fn add(name: &str) -> Request {
    let credential = Credential { salt: [0; 16], iterations: 4096, stored_key: [0; 32], server_key: [0; 32] };
    Request::AddUser { name: name.into(), credential }
}

#[test]
fn an_account_is_made_at_the_home_of_its_comparable_name() {
    let (desk, fake, _) = desk(|_| {});
    for name in ["ann", "Ann", "ANN"] {
        assert_eq!(desk.handle(add(name)), Reply::Added { user: 7 });
    }
    let home = Ownership::new(SHARDS, 8).shard_of(Slot::of_name("ann"));
    assert_eq!(*fake.seen.lock().unwrap(), [home; 3]);
    assert!(matches!(desk.handle(add("not a name")), Reply::Refused { .. }));
    assert_eq!(fake.seen.lock().unwrap().len(), 3, "a wrong name goes nowhere");
}

#[test]
fn pages_of_users_are_in_order_and_miss_nobody() {
    let (desk, _, replies) = desk(|_| {});
    for users_max in 1..=7 {
        let (mut names, mut after) = (Vec::new(), None);
        loop {
            let reply = desk.handle(Request::ListUsers { after: after.clone(), users_max });
            let Reply::Users { users, more } = reply else { panic!("{reply:?}") };
            assert!(users.len() <= users_max as usize);
            names.extend(users.into_iter().map(|user| user.name));
            after = names.last().cloned();
            if !more {
                break;
            }
        }
        assert_eq!(names, ["ann", "bob", "carl", "dora", "eve", "fritz"], "pages of {users_max}");
    }
    assert_eq!(replies.awaited(), 0);
}

#[test]
fn figures_are_summed_over_the_shards() {
    let (desk, _, replies) = desk(|_| {});
    let Reply::Stats { figures, silent } = desk.handle(Request::Stats) else { panic!() };
    assert_eq!(figures["ringtalk_messages_accepted_total"], 30.0);
    assert_eq!(figures["ringtalk_refusals_total{code=\"busy\"}"], 3.0);
    assert_eq!((figures["ringtalk_shard_up"], silent), (3.0, vec![]));
    assert_eq!(replies.awaited(), 0);
}

#[test]
fn a_silent_shard_and_a_stopping_node_are_told() {
    let (desk, _, replies) = desk(|fake| fake.silent = Some(2));
    let list = || Request::ListUsers { after: None, users_max: 1 };
    let Reply::Failed { reason } = desk.handle(list()) else { panic!() };
    assert!(reason.contains("shard 2"), "{reason}");
    assert_eq!(replies.awaited(), 0, "nothing is left waiting");
    replies.deliver(3, ShardAnswer::Done(AdminReply::Added { user: 1 }));
    let Reply::Stats { figures, silent } = desk.handle(Request::Stats) else { panic!() };
    assert_eq!((figures["ringtalk_shard_up"], silent), (2.0, vec![2]));

    let (desk, _, replies) = self::desk(|fake| fake.stopped = true);
    let Reply::Failed { reason } = desk.handle(add("ann")) else { panic!() };
    assert!(reason.contains("stopping"), "{reason}");
    assert_eq!(replies.awaited(), 0);
}
