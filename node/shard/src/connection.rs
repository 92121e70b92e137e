//! Connections of this shard: what each may do now, where its commands go, and when it ends. Owned by the shard the
//! socket is on; nothing of it is durable.

mod address;
mod allowance;
mod close;
mod follow;
mod forward;
mod hello;
mod home_command;
mod login;
mod open;
mod operator;
mod org;
mod place;
mod push;
mod register;
mod reply;
mod resume;
mod service;
mod state;
mod table;
#[cfg(test)]
mod tests;
mod wheel;

use wire::{Command, ConnectionId, ConnectionPhase, Incoming, Misfit, Refusal, classify, verified};

use crate::core::Core;
use crate::follow::{Above, Follows};
use crate::input::CloseReason;
use crate::limits::{ADDRESSES_MAX, FRAMES_BEFORE_LOGIN_MAX, LOGIN_STEPS, MALFORMED_PER_CONNECTION_MAX};
use crate::mesh::{MeshFrame, SessionFrame};
use crate::placement::Load;
use crate::stats::TableStats;
use address::Addresses;
use allowance::Cost;
use follow::FanOuts;
pub(crate) use forward::LocalSend;
use state::{Connection, State, Step};
use table::Table;
use wheel::Wheel;

/// A connection on its way to another shard, with the command that waits for it to arrive.
#[derive(Debug)]
pub struct Transfer {
    connection: Connection,
}

/// The connections of one shard.
#[derive(Debug)]
pub struct Connections {
    table: Table,
    wheel: Wheel,
    addresses: Addresses,
    costs: Costs,
    follows: Follows,
    fan_outs: FanOuts,
    /// From this place of the table on, what sessions follow of departments is to be found anew.
    replaced: Option<u32>,
    before_login: u32,
    sessions: u32,
    /// As the login shard knows it.
    reported: Load,
    org_telling: Option<org::OrgTelling>,
}

/// What a command of each class costs.
#[derive(Debug)]
struct Costs {
    login: Cost,
    message: Cost,
    query: Cost,
    light: Cost,
}

/// Why a frame is refused: with its detail and delay.
struct No {
    refusal: Refusal,
    detail: u64,
    retry_ms: u32,
}

impl From<Refusal> for No {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, detail: 0, retry_ms: 0 }
    }
}

impl No {
    fn with_detail(refusal: Refusal, detail: u64) -> Self {
        Self { detail, ..refusal.into() }
    }

    fn after_ms(refusal: Refusal, retry_ms: u32) -> Self {
        Self { retry_ms, ..refusal.into() }
    }
}

/// A body that does not verify.
impl From<verified::Unverifiable> for No {
    fn from(_: verified::Unverifiable) -> Self {
        Refusal::Malformed.into()
    }
}

impl Connections {
    pub(crate) fn new(core: &mut Core) -> Self {
        let config = &core.config;
        let costs = Costs {
            login: Cost::new(config.logins_per_s_max, core.ownership.shards()).with_burst_min(LOGIN_STEPS),
            message: Cost::new(config.messages_per_s_max, 1),
            query: Cost::new(config.queries_per_s_max, 1),
            light: Cost::new(config.light_per_s_max, 1),
        };
        Self {
            table: Table::default(),
            wheel: Wheel::new(),
            addresses: Addresses::new(&mut core.rng),
            costs,
            follows: Follows::new(core),
            fan_outs: FanOuts::default(),
            replaced: None,
            before_login: 0,
            sessions: 0,
            reported: Load::default(),
            org_telling: None,
        }
    }

    /// What is in memory beside the connections themselves.
    pub(crate) fn tables(&self) -> [TableStats; 2] {
        [TableStats::new("addresses", self.addresses.len(), ADDRESSES_MAX), self.follows.table()]
    }

    /// When a connection may have reached its deadline, in `Now::mono_ms`. At once while sessions are being told something.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        let is_idle = self.fan_outs.is_empty() && self.replaced.is_none();
        if is_idle { self.wheel.next_ms() } else { Some(0) }
    }

    /// Subscribes to what everybody may follow.
    pub(crate) fn start(&mut self, core: &mut Core) {
        self.follows.start(core);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.table.len() == 0
    }

    /// A whole frame, without its length field.
    pub(crate) fn handle_frame<'a>(
        &mut self,
        core: &mut Core,
        id: ConnectionId,
        frame: &'a [u8],
    ) -> Option<LocalSend<'a>> {
        core.counters.frames_in += 1;
        let Some(connection) = self.table.find(id) else {
            core.counters.late_frames += 1;
            return None;
        };
        let Some(phase) = connection.phase() else {
            core.counters.late_frames += 1;
            return None;
        };
        connection.heard_ms = core.now.mono_ms;
        if let Some(before) = connection.before() {
            before.frames += 1;
            if before.frames > FRAMES_BEFORE_LOGIN_MAX {
                self.close(core, id, CloseReason::TooManyFailures, Some(Refusal::TooManyRequests));
                return None;
            }
        }
        match classify(frame, phase) {
            Ok(incoming) => match self.execute(core, id, phase, &incoming) {
                Ok(local) => return local,
                Err(no) => self.refuse(core, id, incoming.request, &no),
            },
            Err(Misfit { refusal, request, detail }) => {
                self.refuse(core, id, request, &No::with_detail(refusal, detail));
            }
        }
        None
    }

    fn execute<'a>(
        &mut self,
        core: &mut Core,
        id: ConnectionId,
        phase: ConnectionPhase,
        incoming: &Incoming<'a>,
    ) -> Result<Option<LocalSend<'a>>, No> {
        if !phase.is_logged_in() {
            self.charge_before_login(core, id, incoming.command)?;
        }
        match incoming.command {
            Command::Hello => self.hello(core, id, incoming)?,
            Command::Ping => self.ping(core, id, incoming)?,
            Command::WhereToConnect => self.where_to_connect(core, id, incoming)?,
            Command::RegisterStart => self.register_start(core, id, incoming)?,
            Command::Register => self.register(core, id, incoming)?,
            Command::LoginStart => self.login_start(core, id, incoming)?,
            Command::LoginProof => self.login_proof(core, id, incoming)?,
            Command::CodeStart => self.code_start(core, id, incoming)?,
            Command::RedeemCode => self.redeem_code(core, id, incoming)?,
            Command::Resume => self.resume(core, id, incoming)?,
            Command::TokenLogin => self.token_login(core, id, incoming)?,
            Command::Logout
            | Command::ListDevices
            | Command::EndSession
            | Command::EndOtherSessions
            | Command::FindUser
            | Command::NameUser
            | Command::SetProfile
            | Command::GetProfile
            | Command::ProofStart
            | Command::ChangePassword
            | Command::DeleteAccount
            | Command::Send
            | Command::Pull
            | Command::Mark
            | Command::Sync
            | Command::ContactRequest
            | Command::ContactAccept
            | Command::ContactRefuse
            | Command::ContactRemove
            | Command::Block
            | Command::Unblock
            | Command::SetContact
            | Command::SyncContacts
            | Command::SetPresence
            | Command::SyncPresence
            | Command::GetPresence
            | Command::SetAdverts
            | Command::SyncOrg
            | Command::AddUser
            | Command::SetUserState
            | Command::IssueCode
            | Command::RemoveUser
            | Command::ReadAudit
            | Command::ListUsers
            | Command::ShowUser
            | Command::RelatePairs
            | Command::CreateToken
            | Command::ListTokens
            | Command::RevokeToken
            | Command::ListUserDevices
            | Command::EndUserSessions
            | Command::Notify
            | Command::EditOrg => return self.forward(core, id, incoming),
        }
        Ok(None)
    }

    /// Refuses a frame; one that does not verify counts against its connection.
    fn refuse(&mut self, core: &mut Core, id: ConnectionId, request: u32, no: &No) {
        core.refuse(id, request, no.refusal, no.detail, no.retry_ms);
        if matches!(no.refusal, Refusal::Malformed | Refusal::FrameTooLong)
            && let Some(connection) = self.table.find(id)
        {
            connection.malformed += 1;
            if connection.malformed >= MALFORMED_PER_CONNECTION_MAX {
                self.close(core, id, CloseReason::Malformed, Some(Refusal::Malformed));
            }
        }
    }

    /// The peer announced a frame that is longer than any of its phase. What follows cannot be understood.
    pub(crate) fn handle_frame_too_long(&mut self, core: &mut Core, id: ConnectionId, _length: usize) {
        let Some(phase) = self.table.find(id).and_then(|connection| connection.phase()) else {
            core.counters.late_frames += 1;
            return;
        };
        core.refuse(id, 0, Refusal::FrameTooLong, phase.frame_len_max() as u64, 0);
        self.close(core, id, CloseReason::FrameTooLong, None);
    }

    /// Tells sessions what they follow, and the login shard how many sessions there are, when that has changed.
    pub(crate) fn end_turn(&mut self, core: &mut Core, above: Above<'_>) {
        self.replace_some(core, above);
        self.fan_out(core);
        self.tell_org(core);
        let load = Load { sessions: self.sessions };
        if self.reported != load {
            self.reported = load;
            core.control(core.login_shard(), MeshFrame::Session(SessionFrame::LoadReport { load }));
        }
        core.counters.connections = self.table.len() as u64;
        core.counters.sessions = u64::from(self.sessions);
        core.counters.unauthenticated = u64::from(self.before_login);
    }

    pub(crate) fn check_invariants(&self, _core: &Core) {
        let (mut before_login, mut sessions, mut addresses, mut follows) = (0, 0, 0, 0);
        for (index, connection) in self.table.iter() {
            addresses += usize::from(connection.address.is_some());
            assert_eq!(self.wheel.contains(index), connection.phase().is_some(), "connection {index}");
            assert!(connection.malformed <= MALFORMED_PER_CONNECTION_MAX);
            match &connection.state {
                State::Before(before) => {
                    before_login += 1;
                    assert!(
                        before.settled || !matches!(before.step, Step::Starting(_) | Step::Challenged(_))
                    );
                }
                State::LoggedIn(session) => {
                    sessions += 1;
                    follows += session.follows.as_ref().map_or(0, |follows| follows.conversations.len());
                    session.check_invariants();
                }
                State::Closing => {}
            }
        }
        assert_eq!((before_login, sessions), (self.before_login, self.sessions));
        assert_eq!(self.wheel.len() as u32, before_login + sessions);
        self.addresses.check_invariants(addresses);
        self.follows.check_invariants(follows);
        self.fan_outs.check_invariants();
    }
}
