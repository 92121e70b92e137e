//! What an operator is told over the protocol is on disk, and in order.

use record::{Account, Key};
use store::MemoryStore;
use wire::device::Device;
use wire::operator::{AccountState, OperatorAnswer, UserLine};
use wire::{Command, EventBody, EventFrame, UserId, UserName};

use super::{Model, disk};
use crate::sim::network::LinkId;

impl Model {
    /// What answers an operator, and what a user may ask of himself too.
    pub fn check_operator_event(&mut self, store: &MemoryStore, link: LinkId, frame: &EventFrame) {
        match &frame.event {
            EventBody::Devices(devices) => self.check_devices_shown(store, (link, frame.request), devices),
            EventBody::SessionsEnded { .. } => self.on_sessions_ended(link, frame.request),
            EventBody::Operator(answer) => self.check_operator(store, answer),
            other => unreachable!("{other:?} is no answer to an operator"),
        }
    }

    fn check_operator(&mut self, store: &MemoryStore, answer: &OperatorAnswer) {
        match answer {
            OperatorAnswer::UserAdded { user } | OperatorAnswer::UserChanged { user, .. } => {
                let account = disk::record::<Account>(store, &Key::Account(*user));
                match account {
                    Some(account) => {
                        self.users.entry(*user).or_insert(account.name);
                    }
                    None => self.violate(format!("{answer:?} is told, and there is no such account on disk")),
                }
            }
            OperatorAnswer::UsersListed(listed) => self.check_users_listed(store, &listed.users),
            OperatorAnswer::AuditRead(read) => {
                let places: Vec<_> = read.lines.iter().map(|line| (line.time_ms, line.number)).collect();
                let is_sound = places.is_sorted_by(|one, next| one < next)
                    && places.iter().all(|place| *place <= read.to);
                self.violation_if(!is_sound, || format!("out of order: {read:?}"));
            }
            OperatorAnswer::OrgEdited { version } => self.check_org_version(store, *version),
            OperatorAnswer::Notified(_) => {}
            OperatorAnswer::Devices(_)
            | OperatorAnswer::SessionsEnded { .. }
            | OperatorAnswer::PairsRelated(_)
            | OperatorAnswer::TokenCreated(_)
            | OperatorAnswer::TokensListed(_)
            | OperatorAnswer::TokenRevoked(_) => {
                unreachable!("events of their own")
            }
        }
    }

    fn check_users_listed(&mut self, store: &MemoryStore, users: &[UserLine]) {
        let comparable = |line: &UserLine| UserName::parse(&line.name).ok();
        let sorted = users.is_sorted_by(|one, next| {
            comparable(one)
                .is_some_and(|one| comparable(next).is_some_and(|next| one.as_str() < next.as_str()))
        });
        let is_so = |line: &UserLine| {
            let account = disk::record::<Account>(store, &Key::Account(line.user));
            account.is_some_and(|account| {
                let is_deleted = account.state == record::AccountState::Deleted;
                account.name == line.name && (line.state != AccountState::Deleted || is_deleted)
            })
        };
        let known = users.iter().all(is_so);
        self.violation_if(!sorted || !known, || format!("an operator is told {users:?}"));
    }

    /// Devices of the one who asks, or of somebody else whom an operator asked about.
    fn check_devices_shown(
        &mut self,
        store: &MemoryStore,
        (link, request): (LinkId, u32),
        devices: &[Device],
    ) {
        let asked = self.requests.get(&(link, request));
        let of_another = asked.is_some_and(|asked| asked.commands.contains(&Command::ListUserDevices));
        if !of_another {
            self.check_devices(store, link, devices);
        }
    }

    /// Of a name, as far as somebody knows him.
    pub fn user_named(&self, name: &str) -> Option<UserId> {
        self.users.iter().find(|(_, known)| known.eq_ignore_ascii_case(name)).map(|(user, _)| *user)
    }
}
