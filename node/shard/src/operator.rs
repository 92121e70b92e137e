//! What the operator asks through the admin socket. Accounts are changed at the home of their name; a list covers the
//! slots of one shard, and the node's outside merges those of all.

mod command;
#[cfg(test)]
mod command_tests;

use std::collections::{BTreeMap, VecDeque};

use record::{Account, Credential, Key, NameEntry, Query, Record, RecordError, Rows, keys};
use wire::{DeviceId, Refusal, Slot, UserId, UserName};

use crate::admin::{AdminReply, AdminRequest, UserLine};
use crate::asker::Asker;
use crate::core::{Core, LoadFor};
use crate::limits::{BUSY_RETRY_MS, LISTED_SLOTS_PER_LOAD_MAX, LISTED_USERS_MAX, LISTINGS_MAX};
use crate::login::{Ending, FirstKey, Logins};
pub use command::OperatorCommand;

/// The listing that waits for a load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LoadKey(u64);

/// One request for a list of users. It reads the names of all slots of this shard, some slots at a time, and keeps the
/// lowest ones; then it reads their accounts.
#[derive(Debug)]
struct Listing {
    asker: Asker,
    after: Option<String>,
    users_max: usize,
    /// Slots whose names are not read yet; those of one store shard stand together.
    slots: VecDeque<Slot>,
    /// The lowest names behind `after` so far, at most one more than asked for.
    names: BTreeMap<String, UserId>,
    /// Of these, the ones whose accounts are not read yet; those of one store shard stand together.
    accounts: Option<VecDeque<UserId>>,
    lines: BTreeMap<UserId, UserLine>,
    asked: Vec<UserId>,
}

/// Requests that wait for reads.
#[derive(Debug, Default)]
pub struct Operator {
    listings: BTreeMap<u64, Listing>,
    last_listing: u64,
}

impl Operator {
    pub(crate) fn handle(&mut self, core: &mut Core, logins: &mut Logins, token: u64, request: AdminRequest) {
        let asker = Asker::Socket(token);
        match request {
            AdminRequest::AddUser { name, credential } => match check(core, &name, &credential) {
                Ok(comparable) => {
                    logins.handle_add(core, asker, comparable, name, FirstKey::Password(credential))
                }
                Err(reason) => core.reply(token, AdminReply::Refused { reason }),
            },
            AdminRequest::ResetUser { name, credential } => match check(core, &name, &credential) {
                Ok(comparable) => logins.handle_reset(core, token, comparable, credential),
                Err(reason) => core.reply(token, AdminReply::Refused { reason }),
            },
            AdminRequest::CreateToken { name, new } => match home_name(core, &name) {
                Ok(comparable) => logins.handle_create_token(core, asker, comparable, name, new),
                Err(reason) => core.reply(token, AdminReply::Refused { reason }),
            },
            AdminRequest::ListTokens { name } => match home_name(core, &name) {
                Ok(name) => logins.handle_list_tokens(core, asker, name),
                Err(reason) => core.reply(token, AdminReply::Refused { reason }),
            },
            AdminRequest::RevokeToken { name, number } => match home_name(core, &name) {
                Ok(name) => logins.handle_revoke_token(core, asker, name, number),
                Err(reason) => core.reply(token, AdminReply::Refused { reason }),
            },
            AdminRequest::ListDevices { name } => match home_name(core, &name) {
                Ok(name) => logins.handle_list_devices(core, asker, name),
                Err(reason) => core.reply(token, AdminReply::Refused { reason }),
            },
            AdminRequest::EndSessions { name, device } => match home_name(core, &name) {
                Ok(name) => {
                    let ending = device.map_or(Ending::All, |device| Ending::Only(DeviceId(device)));
                    logins.handle_end(core, asker, name, ending);
                }
                Err(reason) => core.reply(token, AdminReply::Refused { reason }),
            },
            AdminRequest::ChangeUser { name, act } => match home_name(core, &name) {
                Ok(name) => logins.handle_change(core, asker, name, act),
                Err(reason) => core.reply(token, AdminReply::Refused { reason }),
            },
            AdminRequest::ShowUser { name } => match home_name(core, &name) {
                Ok(name) => logins.handle_show(core, asker, name),
                Err(reason) => core.reply(token, AdminReply::Refused { reason }),
            },
            AdminRequest::ListUsers { after, users_max } => self.handle_list(core, asker, after, users_max),
            AdminRequest::IssueTo { name, notice } => match home_name(core, &name) {
                Ok(name) => logins.handle_issue(core, token, name, notice),
                Err(reason) => core.reply(token, AdminReply::Refused { reason }),
            },
            AdminRequest::Issue { .. } => unreachable!("the home of its conversation carries this out"),
            AdminRequest::Stats
            | AdminRequest::ReadAudit { .. }
            | AdminRequest::EditOrg { .. }
            | AdminRequest::OrgPage { .. }
            | AdminRequest::FindUsers { .. } => {
                unreachable!("the shard answers this itself, or its directory or log")
            }
        }
    }

    /// Users of the slots of this shard.
    pub(crate) fn handle_list(
        &mut self,
        core: &mut Core,
        asker: Asker,
        after: Option<String>,
        users_max: u32,
    ) {
        if self.listings.len() >= LISTINGS_MAX {
            return asker.refuse(core, Refusal::Busy, 0, BUSY_RETRY_MS);
        }
        let mut slots: Vec<_> = core.ownership.slots_of(core.address.shard).collect();
        slots.sort_by_key(|slot| (core.store_shard(*slot), slot.number()));
        let listing = Listing {
            asker,
            after,
            users_max: users_max.clamp(1, LISTED_USERS_MAX) as usize,
            slots: slots.into(),
            names: BTreeMap::new(),
            accounts: None,
            lines: BTreeMap::new(),
            asked: Vec::new(),
        };
        self.last_listing += 1;
        self.go_on(core, self.last_listing, listing);
    }

    pub(crate) fn handle_loaded(&mut self, core: &mut Core, key: LoadKey, rows: Vec<Rows>) {
        let mut listing = self.listings.remove(&key.0).expect("a load is of a listing");
        match listing.take_in(&rows) {
            Ok(()) => self.go_on(core, key.0, listing),
            Err(error) => {
                let slot = rows.iter().flat_map(|rows| &rows.rows).find_map(|row| Key::parse(&row.key));
                let slot = slot.map_or(Slot::of(0), |key| key.slot());
                core.damaged(slot, &format!("a name or an account: {error}"));
            }
        }
    }

    /// Reads what is next, or answers.
    fn go_on(&mut self, core: &mut Core, number: u64, mut listing: Listing) {
        let (slot, queries) = match listing.next(core) {
            Some(next) => next,
            None => {
                let asker = listing.asker;
                return asker.answer(core, listing.reply(), |_, _| {
                    unreachable!("a session is answered with the pages of all shards")
                });
            }
        };
        let asker = listing.asker;
        if core.load(slot, queries, LoadFor::Admin(LoadKey(number))) {
            self.listings.insert(number, listing);
        } else {
            asker.refuse(core, Refusal::Busy, 0, BUSY_RETRY_MS);
        }
    }

    pub(crate) fn check_invariants(&self) {
        assert!(self.listings.len() <= LISTINGS_MAX);
        for listing in self.listings.values() {
            assert!(listing.names.len() <= listing.users_max + 1);
        }
    }
}

/// The comparable form of a name whose home is here.
fn home_name(core: &Core, name: &str) -> Result<UserName, String> {
    let comparable = UserName::parse(name).map_err(|error| error.to_string())?;
    if !core.is_home(comparable.slot()) {
        let home = core.home(comparable.slot()).shard;
        return Err(format!("shard {home} decides about this name"));
    }
    Ok(comparable)
}

/// Whether a name may be given to an account here.
fn check(core: &Core, name: &str, credential: &Credential) -> Result<UserName, String> {
    let comparable = home_name(core, name)?;
    let Credential::ScramSha256 { iterations, .. } = credential;
    if *iterations < wire::scram::ITERATIONS_MIN {
        return Err(format!("fewer than {} iterations", wire::scram::ITERATIONS_MIN));
    }
    Ok(comparable)
}

impl Listing {
    fn next(&mut self, core: &Core) -> Option<(Slot, Vec<Query>)> {
        if let Some(slot) = self.slots.front().copied() {
            let before = (self.names.len() > self.users_max).then(|| self.names.keys().next_back()).flatten();
            let mut queries = Vec::new();
            while let Some(next) = self.slots.front()
                && core.store_shard(*next) == core.store_shard(slot)
                && queries.len() < LISTED_SLOTS_PER_LOAD_MAX
            {
                let (from, to) = keys::name_range(*next, self.after.as_deref(), before.map(String::as_str));
                let rows_max = self.users_max as u32 + 1;
                queries.push(Query::Range { from, to, reverse: false, rows_max, bytes_max: u32::MAX });
                self.slots.pop_front();
            }
            return Some((slot, queries));
        }
        if self.accounts.is_none() {
            let mut users: Vec<_> = self.names.values().take(self.users_max).copied().collect();
            users.sort_by_key(|user| (core.store_shard(user.slot()), user.0));
            self.accounts = Some(users.into());
        }
        let accounts = self.accounts.as_mut().expect("it was made a moment ago");
        let slot = accounts.front()?.slot();
        self.asked.clear();
        while let Some(user) = accounts.front()
            && core.store_shard(user.slot()) == core.store_shard(slot)
        {
            self.asked.push(*user);
            accounts.pop_front();
        }
        Some((slot, self.asked.iter().map(|user| Query::Get(Key::Account(*user).bytes())).collect()))
    }

    fn take_in(&mut self, rows: &[Rows]) -> Result<(), RecordError> {
        if self.accounts.is_none() {
            for row in rows.iter().flat_map(|rows| &rows.rows) {
                let Some(Key::Name(name)) = Key::parse(&row.key) else { return Err(RecordError::Short) };
                self.names.insert(name, UserId(NameEntry::decode(&row.value)?.user));
                if self.names.len() > self.users_max + 1 {
                    self.names.pop_last();
                }
            }
            return Ok(());
        }
        for (user, rows) in self.asked.iter().zip(rows) {
            let Some(row) = rows.rows.first() else { return Err(RecordError::Short) };
            let account = Account::decode(&row.value)?;
            self.lines.insert(*user, UserLine::of(*user, &account));
        }
        Ok(())
    }

    fn reply(mut self) -> AdminReply {
        let more = self.names.len() > self.users_max;
        let names = self.names.into_values().take(self.users_max);
        let users = names.filter_map(|user| self.lines.remove(&user)).collect();
        AdminReply::Users { users, more }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{World, refusal_of};
    use wire::EventBody;

    fn credential(password: &str) -> Credential {
        let salt = [5; 16];
        let keys = wire::scram::stretch(password, &salt, 4_096).expect("good terms").credentials();
        Credential::ScramSha256 {
            salt,
            iterations: 4_096,
            stored_key: keys.stored_key,
            server_key: keys.server_key,
        }
    }

    fn home_of(world: &World, name: &str) -> u16 {
        let user = UserId(u64::from(Slot::of_name(name).number()));
        world.home_of(user)
    }

    #[test]
    fn an_account_is_added_once_and_logs_in() {
        let mut world = World::new(3);
        let home = home_of(&world, "zoe");
        let add = || AdminRequest::AddUser { name: "Zoe".into(), credential: credential("secret") };
        assert!(matches!(world.admin(home, add()), AdminReply::Added { .. }));
        assert!(matches!(world.admin(home, add()), AdminReply::Refused { .. }));
        assert!(matches!(world.admin((home + 1) % 3, add()), AdminReply::Refused { .. }));
        let client = world.connect(0);
        assert!(matches!(world.log_in(client, "zoe", "secret", 0), EventBody::LoggedIn(_)));
    }

    #[test]
    fn a_reset_ends_sessions_tickets_and_the_password() {
        let mut world = World::new(2);
        let (desktop, phone) = (world.login(0, "ann"), world.login(1, "ann"));
        let other = world.login(1, "bob");
        let reset = AdminRequest::ResetUser { name: "ann".into(), credential: credential("new") };
        let reply = world.admin(world.home_of(desktop.user), reset);
        assert_eq!(reply, AdminReply::Reset { user: desktop.user.0, sessions_ended: 2 });
        assert!(
            !world.is_open(desktop.client) && !world.is_open(phone.client) && world.is_open(other.client)
        );
        let (_, reply) = world.resume(0, &phone.ticket, 1);
        assert_eq!(refusal_of(&reply), Refusal::TicketRefused);
        let client = world.connect(0);
        assert_eq!(refusal_of(&world.log_in(client, "ann", "ann", 0)), Refusal::LoginFailed);
        assert!(matches!(world.log_in(client, "ann", "new", 0), EventBody::LoggedIn(_)));
        let nobody = AdminRequest::ResetUser { name: "nobody".into(), credential: credential("new") };
        let home = home_of(&world, "nobody");
        assert!(matches!(world.admin(home, nobody), AdminReply::Refused { .. }));
    }

    #[test]
    fn a_list_pages_through_all_names_in_order() {
        let mut world = World::new(1);
        let mut expected: Vec<_> =
            (0..57).map(|number| format!("user{}", number * 7_919 % 100_000)).collect();
        for name in &expected {
            let request = AdminRequest::AddUser { name: name.clone(), credential: credential("x") };
            assert!(matches!(world.admin(0, request), AdminReply::Added { .. }));
        }
        expected.sort();
        for users_max in [1, 10, 56, 57, 1_000] {
            let (mut listed, mut after) = (Vec::new(), None);
            loop {
                let reply = world.admin(0, AdminRequest::ListUsers { after: after.clone(), users_max });
                let AdminReply::Users { users, more } = reply else { panic!("{reply:?}") };
                assert!(users.len() <= users_max as usize);
                listed.extend(users.into_iter().map(|line| line.name));
                after = listed.last().cloned();
                if !more {
                    break;
                }
            }
            assert_eq!(listed, expected, "by {users_max}");
        }
    }

    #[test]
    fn stats_count_what_happened() {
        let mut world = World::new(1);
        world.login(0, "ann");
        let AdminReply::Stats(stats) = world.admin(0, AdminRequest::Stats) else { panic!("no statistics") };
        let counters = &stats.counters;
        let counted = (counters.logins, counters.sessions, counters.connections, counters.unauthenticated);
        assert_eq!(counted, (1, 1, 1, 0));
        let entries = |name| stats.tables.iter().find(|table| table.name == name).map(|table| table.entries);
        // Whoever is in has left the accounts in memory.
        assert_eq!((entries("accounts"), entries("names")), (Some(0), Some(1)));
        assert_eq!(entries("addresses"), Some(1));
        // Notices for all, and adverts: the shard follows them.
        assert_eq!((entries("conversations"), entries("followed")), (Some(2), Some(2)));
    }
}
