//! The workload: one file per command. A command without an operation does not compile.

mod account;
mod adverts;
mod contacts;
mod devices;
mod find_user;
mod hello;
mod login_proof;
mod login_start;
mod logout;
mod mark;
mod name_user;
mod operators;
mod ping;
mod presence;
mod profile;
mod pull;
mod register;
mod register_start;
mod resume;
mod send;
mod sync;
mod sync_org;
mod tokens;
mod verbs;
mod where_to_connect;

use wire::{Command, ConversationId};

use super::world::World;

/// How an operation is done, and how often among all.
struct Operation {
    weight: u64,
    run: fn(&mut World),
}

fn operation_of(command: Command) -> Operation {
    let (weight, run): (u64, fn(&mut World)) = match command {
        Command::Hello => (8, hello::run),
        Command::RegisterStart => (6, register_start::run),
        Command::Register => (6, register::run),
        Command::LoginStart => (12, login_start::run),
        Command::LoginProof => (4, login_proof::run),
        Command::Resume => (12, resume::run),
        Command::WhereToConnect => (4, where_to_connect::run),
        Command::Ping => (10, ping::run),
        Command::Logout => (2, logout::run),
        Command::ListDevices => (10, devices::list),
        Command::EndSession => (6, devices::end),
        Command::EndOtherSessions => (3, devices::end_others),
        Command::FindUser => (16, find_user::run),
        Command::NameUser => (16, name_user::run),
        Command::SetProfile => (14, profile::set),
        Command::GetProfile => (16, profile::get),
        Command::ProofStart => (8, account::start_proof),
        Command::ChangePassword => (2, account::change_password),
        Command::DeleteAccount => (2, account::delete),
        Command::CodeStart => (3, account::start_code),
        Command::RedeemCode => (3, account::redeem),
        Command::Send => (620, send::run),
        Command::Pull => (60, pull::run),
        Command::Mark => (190, mark::run),
        Command::Sync => (34, sync::run),
        Command::ContactRequest => (24, contacts::request),
        Command::ContactAccept => (20, contacts::accept),
        Command::ContactRefuse => (8, contacts::refuse),
        Command::ContactRemove => (10, contacts::remove),
        Command::Block => (12, contacts::block),
        Command::Unblock => (8, contacts::unblock),
        Command::SetContact => (8, contacts::set),
        Command::SyncContacts => (12, contacts::sync),
        Command::SetPresence => (26, presence::set),
        Command::SyncPresence => (24, presence::sync),
        Command::GetPresence => (14, presence::get),
        Command::SetAdverts => (14, adverts::run),
        Command::SyncOrg => (12, sync_org::run),
        Command::AddUser => (4, operators::add),
        Command::SetUserState => (4, operators::set_state),
        Command::IssueCode => (3, operators::issue_code),
        Command::RemoveUser => (2, operators::remove),
        Command::ReadAudit => (4, operators::read_audit),
        Command::ListUsers => (4, operators::list),
        Command::ShowUser => (3, operators::show),
        Command::RelatePairs => (6, tokens::relate),
        Command::TokenLogin => (14, tokens::log_in),
        Command::CreateToken => (8, tokens::create),
        Command::ListTokens => (4, tokens::list),
        Command::RevokeToken => (6, tokens::revoke),
        Command::ListUserDevices => (3, operators::list_devices),
        Command::EndUserSessions => (3, operators::end_sessions),
        Command::Notify => (5, operators::notify),
        Command::EditOrg => (5, operators::edit_org),
    };
    Operation { weight, run }
}

impl World {
    /// Does one operation of the workload.
    pub fn operate(&mut self) {
        let total: u64 = Command::ALL.iter().map(|command| operation_of(*command).weight).sum();
        let mut drawn = self.workload.below(total);
        for command in Command::ALL {
            let Operation { weight, run } = operation_of(*command);
            if drawn < weight {
                self.operations += 1;
                return run(self);
            }
            drawn -= weight;
        }
        unreachable!("the weights add up to the total");
    }

    /// A device whose application runs and which knows its account.
    fn some_device(&mut self) -> Option<usize> {
        let able = |device: &super::device::Device| device.session.is_some() && device.user_id().is_some();
        let able: Vec<_> = (0..self.devices.len()).filter(|number| able(&self.devices[*number])).collect();
        (!able.is_empty()).then(|| *self.workload.pick(&able))
    }

    /// Something that a logged-in hostile client does with conversations, its own and those of others.
    pub fn harass(&mut self, probe: usize) {
        match self.workload.below(16) {
            0..5 => send::hostile(self, probe),
            5..7 => pull::hostile(self, probe),
            7..9 => mark::hostile(self, probe),
            9..12 => contacts::hostile(self, probe),
            12..14 => adverts::hostile(self, probe),
            14 => sync_org::hostile(self, probe),
            _ => sync::hostile(self, probe),
        }
    }

    fn some_probe(&mut self) -> usize {
        self.workload.index(self.probes.len())
    }

    /// A conversation of this device's user with another honest user. Two pairs are busier than the others.
    fn some_conversation(&mut self, number: usize) -> Option<ConversationId> {
        let me = self.devices[number].user_id()?;
        let others: Vec<_> = self.honest_users().into_iter().filter(|user| *user != me).collect();
        if others.is_empty() {
            return None;
        }
        let busy = self.workload.chance(self.script.focus_permille);
        let other = if busy { others[0] } else { *self.workload.pick(&others) };
        ConversationId::private(me, other)
    }

    /// Users of devices, as far as they have registered.
    pub fn honest_users(&self) -> Vec<wire::UserId> {
        let honest = |name: &String| self.devices.iter().any(|device| device.name == *name);
        self.model.users.iter().filter(|(_, name)| honest(name)).map(|(user, _)| *user).collect()
    }
}
