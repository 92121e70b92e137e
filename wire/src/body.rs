//! One type per body, to name it in `Verified<...>`; the views and builders are in [`crate::generated`].

use crate::command::{Command, Event};
use crate::verified::Body;

/// A body that a command carries.
pub trait OfCommand: Body {
    const COMMAND: Command;
}

/// A body that an event carries.
pub trait OfEvent: Body {
    const EVENT: Event;
}

macro_rules! bodies {
    ($($name:ident,)+) => {
        $(
            #[derive(Debug)]
            pub enum $name {}

            impl Body for $name {
                type View<'a> = crate::generated::$name<'a>;
            }
        )+
    };
}

bodies! {
    Hello,
    Welcome,
    RegisterStart,
    RegisterTerms,
    Register,
    Registered,
    LoginStart,
    Challenge,
    LoginProof,
    LoggedIn,
    Resume,
    Resumed,
    WhereToConnect,
    Connect,
    Ping,
    Pong,
    Refused,
    Closing,
    Move,
    Logout,
    LoggedOut,
    ListDevices,
    Devices,
    EndSession,
    EndOtherSessions,
    SessionsEnded,
    FindUser,
    UserFound,
    NameUser,
    SetProfile,
    ProfileChanged,
    GetProfile,
    ProfileFound,
    ProofStart,
    ProofTerms,
    ChangePassword,
    PasswordChanged,
    DeleteAccount,
    AccountDeleted,
    CodeStart,
    RedeemCode,
    CodeRedeemed,
    Send,
    Sent,
    Pull,
    Pulled,
    Mark,
    Marked,
    Sync,
    Synced,
    Message,
    HeadMoved,
    SyncNeeded,
    ContactRequest,
    ContactAccept,
    ContactRefuse,
    ContactRemove,
    Block,
    Unblock,
    Related,
    SetContact,
    ContactChanged,
    SyncContacts,
    ContactsSynced,
    SetPresence,
    PresenceSet,
    SyncPresence,
    PresenceSynced,
    GetPresence,
    PresenceFound,
    PresenceChanged,
    SetAdverts,
    AdvertsSet,
    Announced,
    SyncOrg,
    OrgSynced,
    OrgChanged,
    AddUser,
    UserAdded,
    SetUserState,
    IssueCode,
    RemoveUser,
    UserChanged,
    ReadAudit,
    AuditRead,
    ListUsers,
    UsersListed,
    ShowUser,
    RelatePairs,
    PairsRelated,
    TokenLogin,
    CreateToken,
    TokenCreated,
    ListTokens,
    TokensListed,
    RevokeToken,
    TokenRevoked,
    ListUserDevices,
    EndUserSessions,
    Notify,
    Notified,
    EditOrg,
    OrgEdited,
}
