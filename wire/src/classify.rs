//! What a node does first with every frame from a client: once, from the command's row.

use crate::command::{Command, Owner, Phase};
use crate::frame::{self, FrameError, HEADER_LEN};
use crate::ids::{CONVERSATION_ID_LEN, ConversationId, UserId};
use crate::limits::{FRAME_LEN_MAX, FRAME_LEN_MAX_BEFORE_LOGIN};
use crate::refusal::Refusal;
use crate::token::{Scope, Scopes};

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectionPhase {
    /// Nothing came yet.
    Greeting,
    /// `Hello` was answered.
    BeforeLogin,
    /// A challenge was sent; its proof is expected. A failed proof leads back to `BeforeLogin`.
    Challenged,
    /// A step of the login is being decided elsewhere; the client waits for its answer.
    Deciding,
    LoggedIn,
    /// Logged in with a token that allows this.
    WithToken(Scopes),
}

impl ConnectionPhase {
    pub const ALL: &[ConnectionPhase] = &[
        ConnectionPhase::Greeting,
        ConnectionPhase::BeforeLogin,
        ConnectionPhase::Challenged,
        ConnectionPhase::Deciding,
        ConnectionPhase::LoggedIn,
        ConnectionPhase::WithToken(Scopes::NONE),
        ConnectionPhase::WithToken(Scopes::ALL),
    ];

    /// Longest frame that is read at all, in bytes behind the length field; a longer one ends the connection.
    pub const fn frame_len_max(self) -> usize {
        match self {
            at if at.is_logged_in() => FRAME_LEN_MAX,
            _ => FRAME_LEN_MAX_BEFORE_LOGIN,
        }
    }

    pub const fn is_logged_in(self) -> bool {
        matches!(self, ConnectionPhase::LoggedIn | ConnectionPhase::WithToken(_))
    }
}

impl Phase {
    /// Whether a command of this phase may come while a connection is at `at`.
    pub const fn allows(self, at: ConnectionPhase) -> bool {
        self.check(at).is_ok()
    }

    /// Why not, with the refusal's detail.
    const fn check(self, at: ConnectionPhase) -> Result<(), (Refusal, u64)> {
        let fits = match self {
            Phase::Greeting => matches!(at, ConnectionPhase::Greeting),
            Phase::BeforeLogin => matches!(at, ConnectionPhase::BeforeLogin),
            Phase::Challenged => matches!(at, ConnectionPhase::Challenged),
            Phase::AfterLogin | Phase::AnySession | Phase::Operator(_) => at.is_logged_in(),
            Phase::Any => !matches!(at, ConnectionPhase::Greeting),
        };
        if !fits {
            return Err((Refusal::WrongPhase, 0));
        }
        let lacking = match (self, at) {
            (Phase::AfterLogin, ConnectionPhase::WithToken(scopes)) if !scopes.has(Scope::Send) => {
                Scope::Send
            }
            (Phase::Operator(scope), ConnectionPhase::WithToken(scopes)) if !scopes.has(scope) => scope,
            (Phase::Operator(scope), ConnectionPhase::LoggedIn) => scope,
            _ => return Ok(()),
        };
        Err((Refusal::NotAllowed, lacking as u64))
    }
}

/// The owner key in front of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerKey {
    None,
    User(UserId),
    Conversation(ConversationId),
}

/// A frame that may be executed. Its body is not verified yet: [`crate::Verified::new`] does that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incoming<'a> {
    pub command: Command,
    pub request: u32,
    /// A valid id of the kind the command's row asks for.
    pub owner: OwnerKey,
    pub body: &'a [u8],
}

/// A frame that is answered with a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misfit {
    pub refusal: Refusal,
    /// Of the frame; 0 when it is too short to have one.
    pub request: u32,
    pub detail: u64,
}

/// Reads header, command, phase, length and owner key of a whole frame without its length field.
pub fn classify(frame: &[u8], at: ConnectionPhase) -> Result<Incoming<'_>, Misfit> {
    let (header, rest) = frame::split(frame).map_err(|error| Misfit {
        refusal: Refusal::Malformed,
        request: match error {
            FrameError::Short => 0,
            FrameError::Flags => request_of(frame),
        },
        detail: 0,
    })?;
    let refuse = |refusal, detail| Misfit { refusal, request: header.request, detail };
    let command =
        Command::from_id(header.id).ok_or_else(|| refuse(Refusal::UnknownCommand, u64::from(header.id)))?;
    let row = command.row();
    if let Err((refusal, detail)) = row.phase.check(at) {
        return Err(refuse(refusal, detail));
    }
    if frame.len() > row.len_max {
        return Err(refuse(Refusal::FrameTooLong, row.len_max as u64));
    }
    let (owner, body) = split_owner(row.owner, rest).ok_or_else(|| refuse(Refusal::Malformed, 0))?;
    let valid = match owner {
        OwnerKey::None => true,
        OwnerKey::User(user) => user.is_valid(),
        OwnerKey::Conversation(conversation) => conversation.is_valid(),
    };
    if !valid {
        return Err(refuse(Refusal::BadField, 0));
    }
    Ok(Incoming { command, request: header.request, owner, body })
}

fn request_of(frame: &[u8]) -> u32 {
    let field = frame[..HEADER_LEN].last_chunk::<4>().expect("the header's last field");
    u32::from_le_bytes(*field)
}

fn split_owner(owner: Owner, rest: &[u8]) -> Option<(OwnerKey, &[u8])> {
    match owner {
        Owner::Connection | Owner::Caller | Owner::Name | Owner::Org => Some((OwnerKey::None, rest)),
        Owner::User => {
            let (key, body) = rest.split_first_chunk::<8>()?;
            Some((OwnerKey::User(UserId(u64::from_le_bytes(*key))), body))
        }
        Owner::Conversation => {
            let (key, body) = rest.split_first_chunk::<CONVERSATION_ID_LEN>()?;
            Some((OwnerKey::Conversation(ConversationId::from_bytes(*key)), body))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Header, LENGTH_LEN, build};

    fn frame(id: u16, owner: &[u8], body: &[u8]) -> Vec<u8> {
        build(Header { id, request: 77 }, owner, body)[LENGTH_LEN..].to_vec()
    }

    fn owner_of(command: Command) -> Vec<u8> {
        match command.row().owner {
            Owner::User => UserId(1 << 10).0.to_le_bytes().to_vec(),
            Owner::Conversation => ConversationId::private(UserId(1 << 10), UserId(2 << 10))
                .expect("two users")
                .to_bytes()
                .to_vec(),
            _ => Vec::new(),
        }
    }

    /// Each command and the letters of the phases it is allowed in: Greeting, Before, Challenged, Deciding, Logged in, with a
    /// Token of all scopes, with one of None. What a login may do, a token of all scopes may do too.
    const ALLOWED: &[(Command, &str)] = &[
        (Command::Hello, "G"),
        (Command::RegisterStart, "B"),
        (Command::Register, "B"),
        (Command::LoginStart, "B"),
        (Command::LoginProof, "C"),
        (Command::Resume, "B"),
        (Command::WhereToConnect, "B"),
        (Command::Ping, "BCDLN"),
        (Command::Logout, "LN"),
        (Command::ListDevices, "L"),
        (Command::EndSession, "L"),
        (Command::EndOtherSessions, "L"),
        (Command::FindUser, "LN"),
        (Command::NameUser, "LN"),
        (Command::SetProfile, "L"),
        (Command::GetProfile, "L"),
        (Command::ProofStart, "L"),
        (Command::ChangePassword, "L"),
        (Command::DeleteAccount, "L"),
        (Command::CodeStart, "B"),
        (Command::RedeemCode, "B"),
        (Command::Send, "L"),
        (Command::Pull, "L"),
        (Command::Mark, "L"),
        (Command::Sync, "L"),
        (Command::ContactRequest, "L"),
        (Command::ContactAccept, "L"),
        (Command::ContactRefuse, "L"),
        (Command::ContactRemove, "L"),
        (Command::Block, "L"),
        (Command::Unblock, "L"),
        (Command::SetContact, "L"),
        (Command::SyncContacts, "L"),
        (Command::SetPresence, "L"),
        (Command::SyncPresence, "L"),
        (Command::GetPresence, "L"),
        (Command::SetAdverts, "L"),
        (Command::SyncOrg, "L"),
        (Command::AddUser, "T"),
        (Command::SetUserState, "T"),
        (Command::IssueCode, "T"),
        (Command::RemoveUser, "T"),
        (Command::ReadAudit, "T"),
        (Command::ListUsers, "T"),
        (Command::ShowUser, "T"),
        (Command::RelatePairs, "T"),
        (Command::TokenLogin, "B"),
        (Command::CreateToken, "T"),
        (Command::ListTokens, "T"),
        (Command::RevokeToken, "T"),
        (Command::ListUserDevices, "T"),
        (Command::EndUserSessions, "T"),
        (Command::Notify, "T"),
        (Command::EditOrg, "T"),
    ];

    #[test]
    fn every_command_in_every_phase() {
        assert_eq!(ALLOWED.len(), Command::ALL.len());
        for (command, phases) in ALLOWED {
            for at in ConnectionPhase::ALL {
                let frame = frame(command.id(), &owner_of(*command), b"body");
                let letter = match at {
                    ConnectionPhase::Greeting => 'G',
                    ConnectionPhase::BeforeLogin => 'B',
                    ConnectionPhase::Challenged => 'C',
                    ConnectionPhase::Deciding => 'D',
                    ConnectionPhase::LoggedIn => 'L',
                    ConnectionPhase::WithToken(Scopes::ALL) => 'T',
                    ConnectionPhase::WithToken(_) => 'N',
                };
                let allowed = phases.contains(letter) || (letter == 'T' && phases.contains('L'));
                match classify(&frame, *at) {
                    Ok(incoming) => {
                        assert!(allowed, "{command:?} was allowed at {at:?}");
                        assert_eq!((incoming.command, incoming.request), (*command, 77));
                        assert_eq!(incoming.body, b"body");
                    }
                    Err(misfit) => {
                        assert!(!allowed, "{command:?} was refused at {at:?}");
                        let elsewhere = at.is_logged_in() && phases.contains(['L', 'T']);
                        let expected = if elsewhere { Refusal::NotAllowed } else { Refusal::WrongPhase };
                        assert_eq!(misfit.refusal, expected, "{command:?} at {at:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn an_operators_command_needs_its_own_scope() {
        for command in Command::ALL {
            let Phase::Operator(needed) = command.row().phase else { continue };
            let frame = frame(command.id(), &owner_of(*command), b"body");
            for scope in Scope::ALL {
                let at = ConnectionPhase::WithToken(Scopes::NONE.with(*scope));
                let expected =
                    if *scope == needed { None } else { Some((Refusal::NotAllowed, needed as u64)) };
                let refused = classify(&frame, at).err().map(|misfit| (misfit.refusal, misfit.detail));
                assert_eq!(refused, expected, "{command:?} with {scope:?}");
            }
        }
    }

    #[test]
    fn bad_headers_have_a_reason_each() {
        let at = ConnectionPhase::LoggedIn;
        let refusal = |frame: &[u8]| classify(frame, at).expect_err("a misfit");
        assert_eq!(refusal(&[1, 0, 0]), Misfit { refusal: Refusal::Malformed, request: 0, detail: 0 });
        let mut flagged = frame(Command::Ping.id(), b"", b"");
        flagged[2] = 1;
        assert_eq!(refusal(&flagged), Misfit { refusal: Refusal::Malformed, request: 77, detail: 0 });
        let unknown = Misfit { refusal: Refusal::UnknownCommand, request: 77, detail: 9_999 };
        assert_eq!(refusal(&frame(9_999, b"", b"")), unknown);
    }

    #[test]
    fn each_commands_length_is_capped_by_its_row() {
        for command in Command::ALL {
            let row = command.row();
            let at = *ConnectionPhase::ALL.iter().find(|at| row.phase.allows(**at)).expect("a phase");
            let owner = owner_of(*command);
            let longest = vec![0; row.len_max - HEADER_LEN - owner.len()];
            assert!(classify(&frame(row.id, &owner, &longest), at).is_ok());
            let longer = [&longest[..], &[0]].concat();
            let misfit = classify(&frame(row.id, &owner, &longer), at).expect_err("too long");
            assert_eq!((misfit.refusal, misfit.detail), (Refusal::FrameTooLong, row.len_max as u64));
            assert!(row.len_max <= at.frame_len_max(), "{} could never come in its phase", row.name);
        }
    }

    #[test]
    fn owner_keys_must_be_whole_and_valid() {
        for command in Command::ALL.iter().filter(|command| command.row().owner.key_len() > 0) {
            let mut phases = ConnectionPhase::ALL.iter();
            let at = *phases.find(|at| command.row().phase.allows(**at)).expect("a phase");
            let owner = owner_of(*command);
            for len in 0..owner.len() {
                let misfit = classify(&frame(command.id(), &owner[..len], b""), at).expect_err("cut short");
                assert_eq!(misfit.refusal, Refusal::Malformed);
            }
            let nobody = vec![0; owner.len()];
            let misfit = classify(&frame(command.id(), &nobody, b""), at).expect_err("nobody");
            assert_eq!(misfit.refusal, Refusal::BadField);
        }
    }
}
