//! Every event and every command: encoded, decoded, the same again; cut short or lengthened, refused.

use bytes::Bytes;
use wire::account::{PasswordChanged, ProofTerms};
use wire::contact::{Contact, ContactState, ContactsSynced, Related};
use wire::device::Device;
use wire::frame::{LENGTH_LEN, split};
use wire::message::{
    BodyKind, Challenge, DeviceClass, Entry, EntryKind, HeadMoved, Hello, LoggedIn, LoginProof, MarkKind,
    Marked, Message, Move, Place, Pull, Pulled, PulledRange, Range, RangeKind, RegisterTerms, Resumed, Send,
    Sent, Summary, Synced, UserFound, Welcome,
};
use wire::notice::Announced;
use wire::operator::{
    AccountState, AuditLine, AuditRead, Notified, OperatorAnswer, OperatorQuery, Reach, Recipients, UserLine,
    UsersListed,
};
use wire::org::{Department, Member, OrgItem, OrgPosition, OrgRow, OrgSynced};
use wire::presence::{
    LastSeenFor, OwnPresence, Presence, PresenceFound, PresenceState, PresenceSynced, PresenceWish,
};
use wire::profile::{Audience, Gender, Profile, ProfileChanged, ProfileField, ProfileFound, Shown};
use wire::service::{NewToken, PairsRelated, TokenCreated, TokenLine, TokenRevoked, TokensListed};
use wire::token::{SECRET_LEN, Secret, Token};
use wire::{
    Command, ConnectionPhase, ConversationId, DeviceId, Encoder, Event, EventBody, OwnerKey, Refusal, Scope,
    Scopes, SessionId, UserId, body, classify, decode_event, verified,
};

const ANNA: UserId = UserId(5 << 10 | 3);
const BERT: UserId = UserId(9 << 10 | 700);

fn chat() -> ConversationId {
    ConversationId::private(ANNA, BERT).expect("two users")
}

fn place(seq: u64) -> Place {
    Place { seq, ord: seq - 1 }
}

fn entry(seq: u64, body: &'static [u8]) -> Entry {
    Entry {
        place: place(seq),
        time_ms: 1_800_000_000_000,
        sender: BERT,
        device: DeviceId(3),
        counter: 12,
        kind: EntryKind::Message,
        body_kind: BodyKind::Opaque,
        body: Bytes::from_static(body),
        extras: None,
    }
}

fn summary(uver: u64) -> Summary {
    Summary {
        conversation: chat(),
        uver,
        epoch: 2,
        head: place(90),
        read: place(80),
        delivered: place(85),
        peer_read: place(70),
        peer_delivered: place(75),
        time_ms: 1_800_000_000_001,
        mentioned: 88,
    }
}

fn login_events() -> Vec<EventBody> {
    vec![
        EventBody::Welcome(Welcome {
            version: 1,
            features: 5,
            software: "ringtalk 0.1".to_owned(),
            time_ms: 7,
            registration_open: true,
            mechanisms: vec!["SCRAM-SHA-256-PLUS".to_owned(), "SCRAM-SHA-256".to_owned()],
            idle_ms_max: 90_000,
            body_bytes_max: 65_536,
            window: 32,
        }),
        EventBody::RegisterTerms(RegisterTerms { salt: vec![1; 16], iterations: 600_000 }),
        EventBody::Registered { user: ANNA },
        EventBody::Challenge(Challenge { server_first: "r=a,s=b,i=4096".to_owned(), valid_ms: 60_000 }),
        EventBody::LoggedIn(LoggedIn {
            server_final: "v=x".to_owned(),
            user: ANNA,
            name: "anna".to_owned(),
            device: DeviceId(4),
            session: SessionId(99),
            ticket: vec![7; 80],
            ticket_ms: 1,
            reconnect_ms: 2,
            idle_ms_max: 3,
            uver: 4,
        }),
        EventBody::Resumed(Resumed {
            user: ANNA,
            name: "anna".to_owned(),
            device: DeviceId(4),
            session: SessionId(99),
            ticket: vec![7; 80],
            ticket_ms: 1,
            reconnect_ms: 2,
            idle_ms_max: 3,
            afresh: true,
            from: 4,
        }),
        EventBody::Connect { addresses: vec!["127.0.0.1:7000".to_owned()] },
        EventBody::Pong { time_ms: 8 },
        EventBody::LoggedOut,
        EventBody::Move(Move { addresses: Vec::new(), reconnect_ms: 20, deadline_ms: 5_000 }),
        EventBody::Devices(vec![Device {
            device: DeviceId(4),
            name: "laptop".to_owned(),
            class: DeviceClass::Mobile,
            address: "127.0.0.1".to_owned(),
            since_ms: 1,
            active_ms: 2,
            online: true,
            own: false,
        }]),
        EventBody::SessionsEnded { count: 3 },
    ]
}

fn account_events() -> Vec<EventBody> {
    vec![
        EventBody::ProofTerms(ProofTerms {
            server_first: "r=abc,s=c2FsdA==,i=4096".into(),
            valid_ms: 60_000,
            salt: vec![1; 16],
            iterations: 4_096,
        }),
        EventBody::PasswordChanged(PasswordChanged {
            server_final: "v=AAAA".into(),
            ticket: vec![9; 90],
            ticket_ms: 5,
        }),
        EventBody::AccountDeleted { server_final: "v=AAAA".into() },
        EventBody::CodeRedeemed { user: BERT },
        EventBody::ProfileChanged(Box::new(ProfileChanged { version: 3, profile: profile() })),
        EventBody::ProfileFound(Box::new(ProfileFound {
            user: BERT,
            name: "bert".to_owned(),
            deleted: false,
            version: 3,
            profile: profile(),
        })),
    ]
}

fn chat_events() -> Vec<EventBody> {
    vec![
        EventBody::UserFound(UserFound { user: BERT, name: "bert".to_owned(), deleted: true }),
        EventBody::Sent(Sent { conversation: chat(), counter: 5, place: place(6), time_ms: 7, epoch: 8 }),
        EventBody::Pulled(Pulled {
            conversation: chat(),
            from: 1,
            to: 9,
            epoch: 1,
            head: place(20),
            entries: vec![entry(3, b"three"), entry(4, b"")],
            ranges: vec![
                Range { from: 1, to: 2, kind: RangeKind::Gone },
                Range { from: 5, to: 9, kind: RangeKind::More },
            ],
        }),
        EventBody::Marked(Marked { conversation: chat(), user: BERT, kind: MarkKind::Read, place: place(3) }),
        EventBody::Synced(Synced {
            from: 3,
            to: 9,
            more: true,
            changes: vec![summary(8), summary(9)],
            adverts_off: true,
        }),
        EventBody::Message(Message { conversation: chat(), epoch: 1, entry: entry(7, b"hello") }),
        EventBody::HeadMoved(HeadMoved { conversation: chat(), epoch: 1, head: place(8) }),
        EventBody::SyncNeeded,
        EventBody::Related(Related {
            user: BERT,
            state: ContactState::Requested,
            blocked: true,
            since_ms: 9,
        }),
        EventBody::ContactChanged(contact(4)),
        EventBody::AdvertsSet { off: true },
        EventBody::Announced(Announced {
            conversation: ConversationId::of_notices(wire::Notices::All),
            time_ms: 5,
            body_kind: BodyKind::Text,
            body: "now".into(),
        }),
        EventBody::ContactsSynced(ContactsSynced {
            from: 1,
            to: 9,
            more: true,
            contacts: vec![contact(4), contact(9)],
        }),
        EventBody::OrgSynced(OrgSynced { over: 9, to: 7, more: true, afresh: true, rows: org_rows() }),
        EventBody::OrgChanged { version: 7 },
        EventBody::PairsRelated(PairsRelated { changed: 3, unchanged: 2, refused: 1 }),
        EventBody::TokenCreated(TokenCreated { user: ANNA, number: 3 }),
        EventBody::TokensListed(TokensListed { user: ANNA, tokens: vec![token_line(1), token_line(3)] }),
        EventBody::TokenRevoked(TokenRevoked { user: ANNA, number: 3, sessions_ended: 2 }),
    ]
}

fn operator_events() -> Vec<EventBody> {
    let line = |name: &str, state| UserLine {
        user: ANNA,
        name: name.into(),
        created_ms: 5,
        devices: 2,
        state,
        state_ms: 9,
    };
    let users = vec![line("anna", AccountState::Active), line("bert", AccountState::Disabled)];
    let act = AuditLine {
        time_ms: 7,
        number: 1 << 40 | 3,
        act: "user added".into(),
        by: BERT,
        subject: ANNA,
        name: "anna".into(),
        detail: "more".into(),
    };
    let answers = [
        OperatorAnswer::UserAdded { user: ANNA },
        OperatorAnswer::UserChanged { user: ANNA, sessions_ended: 3 },
        OperatorAnswer::UsersListed(UsersListed { users, more: true }),
        OperatorAnswer::Notified(Notified { told: 5, unknown: 2, refused: 1, seq: 9, time_ms: 77 }),
        OperatorAnswer::OrgEdited { version: 12 },
        OperatorAnswer::AuditRead(AuditRead { lines: vec![act], more: true, to: (7, 1 << 40 | 3) }),
    ];
    answers.map(EventBody::Operator).to_vec()
}

/// All that come after login.
fn later_events() -> Vec<EventBody> {
    [account_events(), chat_events(), operator_events()].concat()
}

fn org_rows() -> Vec<OrgRow> {
    let department = Department { id: 3, parent: 1, order: 2, name: "Research".into() };
    let (name, title) = ("bert".to_owned(), "Head".to_owned());
    let items = [
        OrgItem::Department(department),
        OrgItem::Member(Member { department: 3, user: BERT, order: 1, name, title }),
        OrgItem::DepartmentGone(4),
        OrgItem::MemberGone { department: 3, user: BERT },
    ];
    (4..).zip(items).map(|(version, item)| OrgRow { version, item }).collect()
}

fn contact(cver: u64) -> Contact {
    Contact {
        user: BERT,
        cver,
        state: ContactState::Asked,
        blocked: false,
        since_ms: 1_800_000_000_002,
        text: "it is me".to_owned(),
        remark: String::new(),
        group: "work".to_owned(),
    }
}

fn presence_events() -> Vec<EventBody> {
    vec![
        EventBody::PresenceSet(own_presence()),
        EventBody::PresenceSynced(PresenceSynced {
            after: 1,
            to: 9 << 10,
            more: true,
            own: own_presence(),
            contacts: vec![presence(PresenceState::Online, ""), presence(PresenceState::Busy, "in a call")],
        }),
        EventBody::PresenceFound(PresenceFound {
            presence: presence(PresenceState::Offline, ""),
            last_seen_ms: 1_800_000_000_003,
        }),
        EventBody::PresenceChanged(vec![presence(PresenceState::Away, "lunch")]),
    ]
}

fn own_presence() -> OwnPresence {
    OwnPresence {
        state: PresenceState::Invisible,
        text: "busy".to_owned(),
        last_seen: LastSeenFor::Everybody,
    }
}

fn presence(state: PresenceState, text: &str) -> Presence {
    Presence { user: BERT, state, text: text.to_owned() }
}

fn token_line(number: u32) -> TokenLine {
    TokenLine {
        number,
        scopes: Scopes::NONE.with(Scope::Org),
        label: "nightly import".to_owned(),
        created_ms: 1_800_000_000_003,
        expires_ms: 0,
    }
}

/// Which event a body is of, and its frame.
fn encode(encoder: &mut Encoder, request: u32, event: &EventBody) -> (Event, Bytes) {
    match event {
        EventBody::Welcome(welcome) => (Event::Welcome, encoder.welcome(request, welcome)),
        EventBody::RegisterTerms(terms) => (Event::RegisterTerms, encoder.register_terms(request, terms)),
        EventBody::Registered { user } => (Event::Registered, encoder.registered(request, *user)),
        EventBody::Challenge(challenge) => (Event::Challenge, encoder.challenge(request, challenge)),
        EventBody::LoggedIn(logged_in) => (Event::LoggedIn, encoder.logged_in(request, logged_in)),
        EventBody::Resumed(resumed) => (Event::Resumed, encoder.resumed(request, resumed)),
        EventBody::Connect { addresses } => (Event::Connect, encoder.connect(request, addresses)),
        EventBody::Pong { time_ms } => (Event::Pong, encoder.pong(request, *time_ms)),
        EventBody::LoggedOut => (Event::LoggedOut, encoder.logged_out(request)),
        EventBody::Move(to) => (Event::Move, encoder.move_away(to)),
        EventBody::Devices(devices) => (Event::Devices, encoder.devices(request, devices)),
        EventBody::SessionsEnded { count } => (Event::SessionsEnded, encoder.sessions_ended(request, *count)),
        EventBody::UserFound(found) => (Event::UserFound, encoder.user_found(request, found)),
        EventBody::ProfileChanged(changed) => {
            (Event::ProfileChanged, encoder.profile_changed(request, changed))
        }
        EventBody::ProofTerms(terms) => (Event::ProofTerms, encoder.proof_terms(request, terms)),
        EventBody::PasswordChanged(changed) => {
            (Event::PasswordChanged, encoder.password_changed(request, changed))
        }
        EventBody::AccountDeleted { server_final } => {
            (Event::AccountDeleted, encoder.account_deleted(request, server_final))
        }
        EventBody::CodeRedeemed { user } => (Event::CodeRedeemed, encoder.code_redeemed(request, *user)),
        EventBody::ProfileFound(found) => (Event::ProfileFound, encoder.profile_found(request, found)),
        EventBody::Sent(sent) => (Event::Sent, encoder.sent(request, sent)),
        EventBody::Pulled(p) => {
            let (from, to, epoch, head) = (p.from, p.to, p.epoch, p.head);
            let range = PulledRange { conversation: p.conversation, from, to, epoch, head };
            let entries = p.entries.iter().map(Entry::view);
            (Event::Pulled, encoder.pulled(request, &range, entries, &p.ranges))
        }
        EventBody::Marked(marked) => (Event::Marked, encoder.marked(request, marked)),
        EventBody::Synced(s) => (Event::Synced, encoder.synced(request, s)),
        EventBody::Message(m) => (Event::Message, encoder.message(m.conversation, m.epoch, &m.entry.view())),
        EventBody::HeadMoved(moved) => (Event::HeadMoved, encoder.head_moved(moved)),
        EventBody::SyncNeeded => (Event::SyncNeeded, encoder.sync_needed()),
        EventBody::Related(related) => (Event::Related, encoder.related(request, related)),
        EventBody::ContactChanged(contact) => {
            (Event::ContactChanged, encoder.contact_changed(request, contact))
        }
        EventBody::AdvertsSet { off } => (Event::AdvertsSet, encoder.adverts_set(request, *off)),
        EventBody::Announced(a) => {
            (Event::Announced, encoder.announced(a.conversation, a.time_ms, a.body_kind, &a.body))
        }
        EventBody::ContactsSynced(synced) => {
            (Event::ContactsSynced, encoder.contacts_synced(request, synced))
        }
        EventBody::OrgSynced(synced) => (Event::OrgSynced, encoder.org_synced(request, synced)),
        EventBody::OrgChanged { version } => (Event::OrgChanged, encoder.org_changed(*version)),
        EventBody::Operator(answer) => (answer.event(), answer.encode(encoder, request)),
        EventBody::PairsRelated(related) => (Event::PairsRelated, encoder.pairs_related(request, related)),
        EventBody::PresenceSet(own) => (Event::PresenceSet, encoder.presence_set(request, own)),
        EventBody::PresenceSynced(synced) => {
            (Event::PresenceSynced, encoder.presence_synced(request, synced))
        }
        EventBody::PresenceFound(found) => (Event::PresenceFound, encoder.presence_found(request, found)),
        EventBody::PresenceChanged(contacts) => (Event::PresenceChanged, encoder.presence_changed(contacts)),
        EventBody::TokenCreated(created) => (Event::TokenCreated, encoder.token_created(request, created)),
        EventBody::TokensListed(listed) => (Event::TokensListed, encoder.tokens_listed(request, listed)),
        EventBody::TokenRevoked(revoked) => (Event::TokenRevoked, encoder.token_revoked(request, revoked)),
        EventBody::Refused(_) | EventBody::Closing(_) | EventBody::Unknown(_) => {
            unreachable!("not in the lists")
        }
    }
}

#[test]
fn every_event_comes_back() {
    let mut encoder = Encoder::new();
    let events: Vec<_> = login_events().into_iter().chain(later_events()).chain(presence_events()).collect();
    assert_eq!(events.len() + 2, Event::ALL.len(), "Refused and Closing have a test of their own");
    for event in &events {
        let (id, frame) = encode(&mut encoder, 42, event);
        let decoded = decode_event(&frame[LENGTH_LEN..]).expect("decodes");
        assert_eq!(&decoded.event, event);
        let pushed = matches!(
            id,
            Event::Move
                | Event::Message
                | Event::HeadMoved
                | Event::SyncNeeded
                | Event::Announced
                | Event::OrgChanged
                | Event::PresenceChanged
        );
        assert_eq!(decoded.request, if pushed { 0 } else { 42 });
    }
}

#[test]
fn refusals_and_closings_carry_code_name_and_reason() {
    let mut encoder = Encoder::new();
    for refusal in Refusal::ALL {
        let frame = encoder.refused(9, *refusal, 1 << 40, 250);
        let decoded = decode_event(&frame[LENGTH_LEN..]).expect("decodes");
        let EventBody::Refused(refused) = decoded.event else { panic!("{decoded:?}") };
        assert_eq!((decoded.request, refused.detail, refused.retry_ms), (9, 1 << 40, 250));
        assert_eq!(Refusal::from_code(refused.code), Some(*refusal));
        assert_eq!((&refused.name[..], &refused.reason[..]), (refusal.name(), refusal.reason()));
        let frame = encoder.closing(*refusal);
        let decoded = decode_event(&frame[LENGTH_LEN..]).expect("decodes");
        let EventBody::Closing(closing) = decoded.event else { panic!("{decoded:?}") };
        assert_eq!((closing.code, &closing.name[..]), (refusal.code(), refusal.name()));
    }
}

#[test]
fn a_cut_or_lengthened_event_is_an_error_and_an_unknown_one_is_skipped() {
    let mut encoder = Encoder::new();
    for event in login_events().iter().chain(&later_events()).chain(&presence_events()) {
        let (_, frame) = encode(&mut encoder, 1, event);
        let frame = &frame[LENGTH_LEN..];
        for len in 0..frame.len() {
            assert!(decode_event(&frame[..len]).is_err(), "{event:?} cut to {len}");
        }
        assert!(decode_event(&[frame, &[0]].concat()).is_err(), "{event:?} with a byte behind it");
        let mut later = frame.to_vec();
        later[..2].copy_from_slice(&60_000u16.to_le_bytes());
        assert_eq!(decode_event(&later).expect("skipped").event, EventBody::Unknown(60_000));
    }
}

#[test]
fn flipped_bits_never_panic() {
    let mut encoder = Encoder::new();
    for event in login_events().iter().chain(&later_events()).chain(&presence_events()) {
        let (_, frame) = encode(&mut encoder, 1, event);
        let mut frame = frame[LENGTH_LEN..].to_vec();
        for bit in 0..frame.len() * 8 {
            frame[bit / 8] ^= 1 << (bit % 8);
            let _ = decode_event(&frame);
            frame[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

/// As full as it may be.
fn profile() -> Profile {
    use wire::limits::*;
    let text = |len| Shown { value: "x".repeat(len), to: Audience::Nobody };
    let field = ProfileField {
        name: "n".repeat(PROFILE_FIELD_NAME_LEN_MAX),
        value: "v".repeat(PROFILE_FIELD_VALUE_LEN_MAX),
        to: Audience::Contacts,
    };
    Profile {
        nickname: text(PROFILE_NICKNAME_LEN_MAX),
        gender: Shown { value: Gender::Other, to: Audience::Contacts },
        avatar: text(PROFILE_TEXT_LEN_MAX),
        signature: text(PROFILE_TEXT_LEN_MAX),
        email: text(PROFILE_CONTACT_LEN_MAX),
        phone: text(PROFILE_CONTACT_LEN_MAX),
        fields: vec![field; PROFILE_FIELDS_MAX],
    }
}

fn commands(encoder: &mut Encoder) -> Vec<(Command, ConnectionPhase, Bytes)> {
    use ConnectionPhase::{BeforeLogin, Challenged, Greeting, LoggedIn, WithToken};
    let hello = Hello { version_min: 1, version_max: 2, features: 3, software: "test" };
    let proof = LoginProof {
        client_final: "c=biws,r=x,p=y",
        device: DeviceId(0),
        device_name: "laptop",
        device_class: DeviceClass::Bot,
    };
    let send = Send::plain(4, 2, BodyKind::Text, b"hello");
    let pull = Pull { from: 1, to: 50, bytes_max: 1_000, epoch: 1 };
    let wish = PresenceWish {
        state: Some(PresenceState::Away),
        text: Some("t".repeat(wire::limits::PRESENCE_TEXT_LEN_MAX)),
        last_seen: Some(LastSeenFor::Nobody),
    };
    let token = Token { user: ANNA, number: 2, secret: Secret([9; SECRET_LEN]) };
    let (hash, name, label) = ([5; 32], "n".repeat(64), "l".repeat(64));
    let new = NewToken { name: &name, hash: &hash, scopes: Scopes::ALL, expires_ms: 7, label: &label };
    vec![
        (Command::Hello, Greeting, encoder.hello(1, &hello)),
        (Command::RegisterStart, BeforeLogin, encoder.register_start(1, "anna")),
        (Command::Register, BeforeLogin, encoder.register(1, "anna", &[1; 32], &[2; 32])),
        (Command::LoginStart, BeforeLogin, encoder.login_start(1, "SCRAM-SHA-256", "n,,n=anna,r=abc")),
        (Command::LoginProof, Challenged, encoder.login_proof(1, &proof)),
        (Command::Resume, BeforeLogin, encoder.resume(1, &[3; 90], 17)),
        (Command::WhereToConnect, BeforeLogin, encoder.where_to_connect(1, "anna")),
        (Command::Ping, LoggedIn, encoder.ping(1, 55)),
        (Command::Logout, LoggedIn, encoder.logout(1, false)),
        (Command::ListDevices, LoggedIn, encoder.list_devices(1)),
        (Command::EndSession, LoggedIn, encoder.end_session(1, DeviceId(7))),
        (Command::EndOtherSessions, LoggedIn, encoder.end_other_sessions(1)),
        (Command::FindUser, LoggedIn, encoder.find_user(1, "bert")),
        (Command::NameUser, LoggedIn, encoder.name_user(1, BERT)),
        (Command::SetProfile, LoggedIn, encoder.set_profile(1, &profile())),
        (Command::GetProfile, LoggedIn, encoder.get_profile(1, BERT)),
        (Command::ProofStart, LoggedIn, encoder.proof_start(1, "n,,n=anna,r=abc")),
        (Command::ChangePassword, LoggedIn, encoder.change_password(1, "c=biws", &[1; 32], &[2; 32])),
        (Command::DeleteAccount, LoggedIn, encoder.delete_account(1, "c=biws")),
        (Command::CodeStart, BeforeLogin, encoder.code_start(1, "anna")),
        (Command::RedeemCode, BeforeLogin, encoder.redeem_code(1, "anna", "abcde", &[1; 32], &[2; 32])),
        (Command::Send, LoggedIn, encoder.send(1, chat(), &send)),
        (Command::Pull, LoggedIn, encoder.pull(1, chat(), &pull)),
        (Command::Mark, LoggedIn, encoder.mark(1, chat(), MarkKind::Read, 12)),
        (Command::Sync, LoggedIn, encoder.sync(1, 9, 100)),
        (Command::ContactRequest, LoggedIn, encoder.contact_request(1, chat(), &"h".repeat(256))),
        (Command::ContactAccept, LoggedIn, encoder.contact_accept(1, chat())),
        (Command::ContactRefuse, LoggedIn, encoder.contact_refuse(1, chat())),
        (Command::ContactRemove, LoggedIn, encoder.contact_remove(1, chat())),
        (Command::Block, LoggedIn, encoder.block(1, chat())),
        (Command::Unblock, LoggedIn, encoder.unblock(1, chat())),
        (Command::SetContact, LoggedIn, encoder.set_contact(1, BERT, &"r".repeat(128), &"g".repeat(64))),
        (Command::SyncContacts, LoggedIn, encoder.sync_contacts(1, 9, 100)),
        (Command::SetPresence, LoggedIn, encoder.set_presence(1, &wish)),
        (Command::SyncPresence, LoggedIn, encoder.sync_presence(1, 9, 100)),
        (Command::GetPresence, LoggedIn, encoder.get_presence(1, BERT)),
        (Command::SetAdverts, LoggedIn, encoder.set_adverts(1, true)),
        (Command::SyncOrg, LoggedIn, encoder.sync_org(1, OrgPosition { over: 9, page: 7 }, 100)),
        (
            Command::RelatePairs,
            WithToken(Scopes::ALL),
            encoder.relate_pairs(1, &[chat(); wire::limits::PAIRS_MAX]),
        ),
        (Command::TokenLogin, BeforeLogin, encoder.token_login(1, &token, DeviceId(0), &label)),
        (Command::CreateToken, WithToken(Scopes::ALL), encoder.create_token(1, &new)),
        (Command::ListTokens, WithToken(Scopes::ALL), encoder.list_tokens(1, &name)),
        (Command::RevokeToken, WithToken(Scopes::ALL), encoder.revoke_token(1, &name, 2)),
    ]
}

fn longest_edits() -> Vec<OrgItem> {
    let (name, title) = ("n".repeat(wire::limits::NAME_LEN_MAX), "t".repeat(wire::limits::ORG_TITLE_LEN_MAX));
    let member = Member { department: 3, user: BERT, order: 1, name, title };
    vec![OrgItem::Member(member); wire::limits::ORG_EDITS_MAX]
}

fn operator_commands(encoder: &mut Encoder) -> Vec<(Command, ConnectionPhase, bytes::Bytes)> {
    let name = "n".repeat(64);
    let after = name.clone();
    let code_hash = [3; 32];
    let queries = [
        (Command::AddUser, OperatorQuery::AddUser { name: name.clone(), code_hash }),
        (
            Command::SetUserState,
            OperatorQuery::SetUserState { name: name.clone(), state: AccountState::Disabled },
        ),
        (Command::IssueCode, OperatorQuery::IssueCode { name: name.clone(), code_hash }),
        (Command::RemoveUser, OperatorQuery::RemoveUser { name: name.clone() }),
        (Command::ReadAudit, OperatorQuery::ReadAudit { after: (u64::MAX, u64::MAX), rows_max: 5 }),
        (Command::ListUsers, OperatorQuery::ListUsers { after, users_max: 7 }),
        (Command::ShowUser, OperatorQuery::ShowUser { name: name.clone() }),
        (Command::ListUserDevices, OperatorQuery::ListUserDevices { name: name.clone() }),
        (Command::EndUserSessions, OperatorQuery::EndUserSessions { name, device: DeviceId(4) }),
        (
            Command::Notify,
            OperatorQuery::Notify {
                id: 7,
                to: Recipients::Users(vec![ANNA; wire::limits::NOTIFY_USERS_MAX]),
                reach: Reach::OnlineNow,
                body_kind: BodyKind::Opaque,
                body: vec![1; wire::limits::MESSAGE_BODY_LEN_MAX].into(),
            },
        ),
        (Command::EditOrg, OperatorQuery::EditOrg { expected: 3, edits: longest_edits() }),
    ];
    let with_token = ConnectionPhase::WithToken(Scopes::ALL);
    queries.into_iter().map(|(command, query)| (command, with_token, query.encode(encoder, 1))).collect()
}

#[test]
fn every_command_is_classified_and_verifies() {
    let mut commands = commands(&mut Encoder::new());
    commands.extend(operator_commands(&mut Encoder::new()));
    assert_eq!(commands.len(), Command::ALL.len());
    for (command, at, frame) in &commands {
        let incoming = classify(&frame[LENGTH_LEN..], *at).expect("fits");
        assert_eq!((incoming.command, incoming.request), (*command, 1));
        match incoming.command {
            Command::Send => {
                assert_eq!(incoming.owner, OwnerKey::Conversation(chat()));
                let send = verified::view::<body::Send>(incoming.body).expect("verifies");
                assert_eq!((send.counter(), send.previous(), send.body_kind()), (4, 2, BodyKind::Text));
                assert_eq!(send.body().expect("a body").bytes(), b"hello");
            }
            Command::NameUser | Command::GetProfile | Command::GetPresence => {
                assert_eq!(incoming.owner, OwnerKey::User(BERT))
            }
            Command::Logout => {
                let logout = verified::view::<body::Logout>(incoming.body).expect("verifies");
                assert!(!logout.forget_ticket());
            }
            Command::LoginProof => {
                let proof = verified::view::<body::LoginProof>(incoming.body).expect("verifies");
                assert_eq!(proof.client_final(), Some("c=biws,r=x,p=y"));
                assert_eq!(proof.device_class(), DeviceClass::Bot);
            }
            Command::Mark => {
                let mark = verified::view::<body::Mark>(incoming.body).expect("verifies");
                assert_eq!((mark.kind(), mark.seq()), (MarkKind::Read, 12));
            }
            _ => {}
        }
        let (_, rest) = split(&frame[LENGTH_LEN..]).expect("a header");
        assert!(rest.len() >= incoming.body.len());
    }
}

#[test]
fn the_longest_message_and_the_fullest_answers_fit() {
    let mut encoder = Encoder::new();
    let body = vec![1; wire::limits::MESSAGE_BODY_LEN_MAX];
    let send = Send::plain(u64::MAX, u64::MAX, BodyKind::Opaque, &body);
    let frame = encoder.send(u32::MAX, chat(), &send);
    assert!(frame.len() - LENGTH_LEN <= Command::Send.row().len_max);
    assert!(classify(&frame[LENGTH_LEN..], ConnectionPhase::LoggedIn).is_ok());

    let range = PulledRange { conversation: chat(), from: 1, to: 1_024, epoch: 1, head: place(9_000) };
    let small = vec![entry(7, b""); wire::limits::PULL_ENTRIES_MAX as usize];
    let frame = encoder.pulled(1, &range, small.iter().map(Entry::view), &[]);
    assert!(decode_event(&frame[LENGTH_LEN..]).is_ok(), "as many entries as allowed");

    let changes = vec![summary(3); wire::limits::SYNC_CHANGES_MAX as usize];
    let frame = encoder.synced(1, &Synced { from: 0, to: 3, more: false, changes, adverts_off: false });
    assert!(decode_event(&frame[LENGTH_LEN..]).is_ok(), "as many changes as allowed");

    let long = Contact {
        text: "t".repeat(wire::limits::CONTACT_TEXT_LEN_MAX),
        remark: "r".repeat(wire::limits::CONTACT_REMARK_LEN_MAX),
        group: "g".repeat(wire::limits::CONTACT_GROUP_LEN_MAX),
        ..contact(3)
    };
    let contacts = vec![long; wire::limits::CONTACTS_SYNCED_MAX as usize];
    let frame = encoder.contacts_synced(1, &ContactsSynced { from: 0, to: 3, more: false, contacts });
    assert!(decode_event(&frame[LENGTH_LEN..]).is_ok(), "as many contacts as allowed");
    let (name, title) = ("n".repeat(wire::limits::NAME_LEN_MAX), "t".repeat(wire::limits::ORG_TITLE_LEN_MAX));
    let member = Member { department: 3, user: BERT, order: 1, name, title };
    let row = OrgRow { version: u64::MAX, item: OrgItem::Member(member) };
    let rows = vec![row; wire::limits::ORG_ROWS_MAX as usize];
    let frame = encoder.org_synced(1, &OrgSynced { rows, ..OrgSynced::default() });
    assert!(decode_event(&frame[LENGTH_LEN..]).is_ok(), "as many rows of the directory as allowed");

    let longest = UserLine {
        user: BERT,
        name: "n".repeat(wire::limits::NAME_LEN_MAX),
        created_ms: u64::MAX,
        devices: u32::MAX,
        state: AccountState::Deleted,
        state_ms: u64::MAX,
    };
    let users = vec![longest; wire::limits::USERS_LISTED_MAX as usize];
    let frame = encoder.users_listed(1, &UsersListed { users, more: true });
    assert!(decode_event(&frame[LENGTH_LEN..]).is_ok(), "as many users as allowed");

    let long = presence(PresenceState::Busy, &"t".repeat(wire::limits::PRESENCE_TEXT_LEN_MAX));
    let frame = encoder.presence_changed(&vec![long; wire::limits::PRESENCES_MAX as usize]);
    assert!(decode_event(&frame[LENGTH_LEN..]).is_ok(), "as many states as allowed");
}
