//! Refusals: a normal "no" to the peer, with a stable code. Codes are never reused or renumbered.

macro_rules! refusals {
    ($($(#[doc = $doc:literal])+ $code:literal $name:ident $text:literal;)+) => {
        /// Why the node says no.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum Refusal { $($(#[doc = $doc])+ $name = $code,)+ }

        impl Refusal {
            /// Every refusal, by code.
            pub const ALL: &[Refusal] = &[$(Refusal::$name,)+];

            pub const fn code(self) -> u16 { self as u16 }

            /// The stable name, as it stands in the `name` field of `Refused`.
            pub const fn name(self) -> &'static str { match self { $(Refusal::$name => $text,)+ } }

            /// One sentence for people.
            pub const fn reason(self) -> &'static str { match self { $(Refusal::$name => concat!($($doc),+).trim_ascii(),)+ } }

            /// The refusal with this code; `None` for one of a later version.
            pub fn from_code(code: u16) -> Option<Self> { match code { $($code => Some(Refusal::$name),)+ _ => None } }
        }
    };
}

refusals! {
    /// No common protocol version; `detail` is (lowest << 16 | highest) that this node speaks.
    1 UnsupportedVersion "unsupported_version";
    /// The frame is longer than allowed in this phase; `detail` is the allowed length.
    2 FrameTooLong "frame_too_long";
    /// The body does not verify, is cut short or has trailing bytes.
    3 Malformed "malformed";
    /// No command has this id; `detail` is the id.
    4 UnknownCommand "unknown_command";
    /// The command is not allowed in this phase of the connection.
    5 WrongPhase "wrong_phase";
    /// A field has a value that is not allowed; `detail` is the allowed limit where there is one.
    6 BadField "bad_field";
    /// Too many commands; wait `retry_ms`.
    7 TooManyRequests "too_many_requests";
    /// The node is overloaded at this place; try again after `retry_ms`.
    8 Busy "busy";
    /// Too many connections or attempts from this address; wait `retry_ms`.
    9 TooManyFromAddress "too_many_from_address";
    /// The node is stopping.
    10 Stopping "stopping";
    /// Nothing came for too long, or the login took too long.
    11 TimedOut "timed_out";

    /// Login failed: unknown user, wrong password, wrong, old or used challenge are not told apart.
    20 LoginFailed "login_failed";
    /// The ticket is not valid any more: log in with the password.
    21 TicketRefused "ticket_refused";
    /// Too many failed logins for this user; wait `retry_ms`.
    22 LoginDelayed "login_delayed";
    /// Registration is closed on this node.
    23 RegistrationClosed "registration_closed";
    /// The name is taken.
    24 NameTaken "name_taken";
    /// The name is not allowed.
    25 BadName "bad_name";
    /// Not on a connection without encryption from another machine.
    26 NotOnPlain "not_on_plain";
    /// The login mechanism is not offered on this connection.
    27 UnknownMechanism "unknown_mechanism";
    /// This user has too many devices or sessions.
    28 TooManyDevices "too_many_devices";
    /// The session is over: its device logged in again, or the operator gave the account a new password.
    29 SessionEnded "session_ended";
    /// The code is wrong, was used, or is too old.
    30 CodeRefused "code_refused";
    /// The operator has disabled the account.
    31 AccountDisabled "account_disabled";
    /// The password is not the present one.
    32 WrongPassword "wrong_password";
    /// There is no challenge for this proof, or it is too old: begin anew.
    33 ProofExpired "proof_expired";
    /// The session is over: another device of the same class logged in.
    34 TakenOver "taken_over";
    /// The session is over: the user ended it from another device.
    35 EndedByUser "ended_by_user";
    /// The session is over: the password was changed.
    36 PasswordChanged "password_changed";
    /// The session is over: the operator ended it.
    37 EndedByOperator "ended_by_operator";
    /// The account is deleted.
    38 AccountDeleted "account_deleted";
    /// The session is over: the token that it was opened with is revoked.
    39 TokenRevoked "token_revoked";

    /// No such user.
    40 UnknownUser "unknown_user";
    /// Not one of the people of this conversation.
    41 NotMember "not_member";
    /// The counter was used before with another body.
    42 CounterReused "counter_reused";
    /// The counter is older than the node remembers: pull the conversation and look for it there.
    43 SyncFirst "sync_first";
    /// The send before it is not decided; `detail` is the last counter taken from this device here.
    44 OutOfOrder "out_of_order";
    /// More sends without an answer than allowed; `detail` is the allowed number.
    45 WindowFull "window_full";
    /// The body is larger than allowed; `detail` is the allowed size.
    46 BodyTooLong "body_too_long";
    /// The disk is nearly full: nothing is written until there is space.
    47 StorageFull "storage_full";
    /// No device of this user has this id.
    48 UnknownDevice "unknown_device";

    /// Not with this session: it lacks a token with the scope that the command needs; `detail` is the scope's bit.
    49 NotAllowed "not_allowed";
    /// This account logs in with tokens, not with a password, or the other way round.
    50 OtherKindOfAccount "other_kind_of_account";
    /// The account has as many tokens as it may have; `detail` is the number.
    51 TooManyTokens "too_many_tokens";
    /// The account has no token with this number.
    52 UnknownToken "unknown_token";

    /// There is no request of this user to accept or refuse.
    60 NoRequest "no_request";
    /// Not for somebody whom the caller has blocked himself.
    61 BlockedByYou "blocked_by_you";
    /// Only contacts may write to each other here.
    62 NotContact "not_contact";

    /// The directory was changed meanwhile: read it again, and edit what it is now.
    90 OrgMoved "org_moved";

    /// The message was recalled.
    110 AlreadyRecalled "already_recalled";
    /// Too late to recall the message; `detail` is the time there was, in milliseconds.
    111 TooLate "too_late";
    /// The message is somebody else's.
    112 NotYours "not_yours";
    /// The message was edited as often as it can be; `detail` is the number.
    113 TooManyEdits "too_many_edits";
}

impl Refusal {
    /// Whether a session is over for good that is closed with this: its ticket serves no more.
    pub const fn ends_session(self) -> bool {
        matches!(
            self,
            Refusal::SessionEnded
                | Refusal::AccountDisabled
                | Refusal::TakenOver
                | Refusal::EndedByUser
                | Refusal::PasswordChanged
                | Refusal::EndedByOperator
                | Refusal::AccountDeleted
                | Refusal::TokenRevoked
        )
    }
}
