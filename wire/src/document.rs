//! The parts of PROTOCOL.md that are made from code: tables, example frames and the login's test vector. A test holds
//! the file to them.

use std::fmt::Write;

use crate::command::{Command, Durability, Event, Owner, Phase, Rate};
use crate::encode::Encoder;
use crate::ids::{ConversationId, UserId};
use crate::limits;
use crate::message::{BodyKind, Hello, Place, Send, Sent};
use crate::refusal::Refusal;
use crate::scram::{self, BindingFlag};

/// Name and text of each generated section.
pub fn sections() -> Vec<(&'static str, String)> {
    vec![
        ("commands", commands()),
        ("events", events()),
        ("refusals", refusals()),
        ("limits", limits_table()),
        ("frames", frames()),
        ("login", login()),
    ]
}

/// The text with every section between its marks `<!-- begin NAME -->` and `<!-- end NAME -->` made anew.
///
/// # Panics
/// When a section has no marks.
pub fn with_sections(text: &str) -> String {
    let mut text = text.to_owned();
    for (name, section) in sections() {
        let (begin, end) = (format!("<!-- begin {name} -->\n"), format!("<!-- end {name} -->"));
        let from = text.find(&begin).unwrap_or_else(|| panic!("PROTOCOL.md lacks `{begin}`")) + begin.len();
        let to = from + text[from..].find(&end).unwrap_or_else(|| panic!("PROTOCOL.md lacks `{end}`"));
        text.replace_range(from..to, &section);
    }
    text
}

fn commands() -> String {
    let mut out = String::from(
        "| id | command | phase | owner key | longest frame | answer | on disk | rate | |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    for command in Command::ALL {
        let row = command.row();
        let phase = match row.phase {
            Phase::Greeting => "first",
            Phase::BeforeLogin => "before login",
            Phase::Challenged => "challenged",
            Phase::AfterLogin | Phase::AnySession => "after login",
            Phase::Operator(scope) => &format!("token with `{}`", scope.name()),
            Phase::Any => "any but first",
        };
        let owner = match row.owner {
            Owner::Connection | Owner::Caller | Owner::Name | Owner::Org => "",
            Owner::User => "user, 8 bytes",
            Owner::Conversation => "conversation, 16 bytes",
        };
        let durability = match row.durability {
            Durability::None => "",
            Durability::Committed => "yes",
        };
        let rate = match row.rate {
            Rate::Login => "login",
            Rate::Message => "message",
            Rate::Query => "query",
            Rate::Light => "light",
        };
        let (id, name, reply, about) = (row.id, row.name, row.reply, row.about);
        let len_max = row.len_max;
        writeln!(out, "| {id} | `{name}` | {phase} | {owner} | {len_max} | `{reply}` | {durability} | {rate} | {about} |")
            .expect("a string takes all");
    }
    out
}

fn events() -> String {
    let mut out = String::from("| id | event | |\n|---|---|---|\n");
    for event in Event::ALL {
        writeln!(out, "| {} | `{}` | {} |", event.id(), event.name(), event.about())
            .expect("a string takes all");
    }
    out
}

fn refusals() -> String {
    let mut out = String::from("| code | name | |\n|---|---|---|\n");
    for refusal in Refusal::ALL {
        writeln!(out, "| {} | `{}` | {} |", refusal.code(), refusal.name(), refusal.reason())
            .expect("a string takes all");
    }
    out
}

fn limits_table() -> String {
    let rows = [
        ("protocol version, lowest", u64::from(limits::VERSION_MIN)),
        ("protocol version, highest", u64::from(limits::VERSION_MAX)),
        ("frame before login, bytes behind the length field", limits::FRAME_LEN_MAX_BEFORE_LOGIN as u64),
        ("frame after login, bytes behind the length field", limits::FRAME_LEN_MAX as u64),
        ("body of a message, bytes", limits::MESSAGE_BODY_LEN_MAX as u64),
        ("users that a message mentions", limits::MENTIONS_MAX as u64),
        ("a reaction, bytes of UTF-8", limits::REACTION_LEN_MAX as u64),
        ("sends of one device without an answer", u64::from(limits::WINDOW_MAX)),
        ("nesting of a body", limits::BODY_DEPTH_MAX as u64),
        ("tables in a body", limits::BODY_TABLES_MAX as u64),
        ("entries in one `Pulled`", u64::from(limits::PULL_ENTRIES_MAX)),
        (
            "bytes of bodies in one `Pulled` (the entry that crosses it is included)",
            u64::from(limits::PULL_BYTES_MAX),
        ),
        ("changes in one `Synced`", u64::from(limits::SYNC_CHANGES_MAX)),
        ("user name, bytes of UTF-8", limits::NAME_LEN_MAX as u64),
        ("name of a device or of software, bytes of UTF-8", limits::LABEL_LEN_MAX as u64),
        ("text of a request to be a contact, bytes of UTF-8", limits::CONTACT_TEXT_LEN_MAX as u64),
        ("remark on a contact, bytes of UTF-8", limits::CONTACT_REMARK_LEN_MAX as u64),
        ("group of a contact, bytes of UTF-8", limits::CONTACT_GROUP_LEN_MAX as u64),
        ("rows in one `ContactsSynced`", u64::from(limits::CONTACTS_SYNCED_MAX)),
        ("name of a department, bytes of UTF-8", limits::ORG_NAME_LEN_MAX as u64),
        ("title of a member, bytes of UTF-8", limits::ORG_TITLE_LEN_MAX as u64),
        ("rows in one `OrgSynced`", u64::from(limits::ORG_ROWS_MAX)),
        ("text beside a state, bytes of UTF-8", limits::PRESENCE_TEXT_LEN_MAX as u64),
        ("contacts in one `PresenceSynced` or `PresenceChanged`", u64::from(limits::PRESENCES_MAX)),
        ("nickname in a profile, bytes of UTF-8", limits::PROFILE_NICKNAME_LEN_MAX as u64),
        ("avatar or signature in a profile, bytes of UTF-8", limits::PROFILE_TEXT_LEN_MAX as u64),
        ("e-mail or phone in a profile, bytes of UTF-8", limits::PROFILE_CONTACT_LEN_MAX as u64),
        ("free fields of a profile", limits::PROFILE_FIELDS_MAX as u64),
        ("name of a free field, bytes of UTF-8", limits::PROFILE_FIELD_NAME_LEN_MAX as u64),
        ("value of a free field, bytes of UTF-8", limits::PROFILE_FIELD_VALUE_LEN_MAX as u64),
        ("users in one `UsersListed`", limits::USERS_LISTED_MAX.into()),
        ("lines in one `AuditRead`", limits::AUDIT_LINES_MAX.into()),
        ("users in one `Notify`", limits::NOTIFY_USERS_MAX as u64),
        ("edits in one `EditOrg`", limits::ORG_EDITS_MAX as u64),
        ("pairs in one `RelatePairs`", limits::PAIRS_MAX as u64),
        ("tokens of one service account", limits::TOKENS_MAX as u64),
        ("label of a token, bytes of UTF-8", limits::TOKEN_LABEL_LEN_MAX as u64),
        ("SCRAM message or ticket, bytes", limits::LOGIN_FIELD_LEN_MAX as u64),
        ("validity of a challenge, ms", limits::CHALLENGE_MS_MAX),
        ("PBKDF2 iterations, fewest", u64::from(scram::ITERATIONS_MIN)),
        ("PBKDF2 iterations, most", u64::from(scram::ITERATIONS_MAX)),
        ("PBKDF2 iterations, as nodes usually ask", u64::from(scram::ITERATIONS_DEFAULT)),
        ("salt, bytes a client takes", scram::SALT_LEN_MAX as u64),
    ];
    let mut out = String::from("| limit | value |\n|---|---|\n");
    for (name, value) in rows {
        writeln!(out, "| {name} | {value} |").expect("a string takes all");
    }
    out
}

fn frames() -> String {
    let mut encoder = Encoder::new();
    let hello = Hello { version_min: 1, version_max: 1, features: 0, software: "example" };
    let users = [UserId(1 << 10 | 5), UserId(2 << 10 | 9)];
    let conversation = ConversationId::private(users[0], users[1]).expect("two users");
    let send = Send::plain(7, 6, BodyKind::Text, b"hello");
    let place = Place { seq: 40, ord: 38 };
    let sent = Sent { conversation, counter: 7, place, time_ms: 1_800_000_000_123, epoch: 1 };
    let mut out = String::new();
    for (about, frame) in [
        ("`Hello`, request 1, versions 1 to 1, software \"example\"", encoder.hello(1, &hello)),
        (
            "`Send`, request 9, conversation (1029, 2057), counter 7, previous 6, text \"hello\"",
            encoder.send(9, conversation, &send),
        ),
        ("`Sent`, the answer: seq 40, ord 38, time 1800000000123, epoch 1", encoder.sent(9, &sent)),
    ] {
        writeln!(out, "{about}:\n\n```text\n{}```\n", hex_lines(&frame)).expect("a string takes all");
    }
    out
}

fn login() -> String {
    const SALT: [u8; 16] =
        [0x5b, 0x6d, 0x99, 0x68, 0x9d, 0x12, 0x35, 0x8e, 0xec, 0xa0, 0x4b, 0x14, 0x12, 0x36, 0xfa, 0x81];
    let keys = scram::stretch("pencil", &SALT, 4_096).expect("terms within the bounds");
    let credentials = keys.credentials();
    let mut out =
        String::from("Password `pencil`, salt `W22ZaJ0SNY7soEsUEjb6gQ==`, 4096 iterations:\n\n```text\n");
    for (name, key) in [
        ("ClientKey", &keys.client_key),
        ("StoredKey", &credentials.stored_key),
        ("ServerKey", &credentials.server_key),
    ] {
        writeln!(out, "{name} = {}", hex(key)).expect("a string takes all");
    }
    out.push_str("```\n");
    let binding = [0xc4; 32];
    for (about, flag, binding) in [
        ("Without channel binding (the example of RFC 7677)", BindingFlag::Unsupported, &[][..]),
        ("With `tls-server-end-point`, certificate hash 32 times `c4`", BindingFlag::EndPoint, &binding[..]),
    ] {
        let client = scram::ClientStart::with_flag(flag, "user", "rOprNGfwEbeRWgbNEkqO".to_owned());
        let first = client.message().to_owned();
        let parsed = scram::ClientFirst::parse(&first).expect("its own message");
        let exchange = scram::server_first(&parsed, &SALT, 4_096, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");
        let proved =
            client.handle_server_first(&exchange.server_first).expect("acceptable").prove(&keys, binding);
        let proven =
            scram::verify(&exchange, proved.message(), &credentials, binding).expect("the right proof");
        let session_key = hex(&proven.session_key.0);
        writeln!(
            out,
            "\n{about}:\n\n```text\nclient_first = {first}\nserver_first = {}\nclient_final = {}\nserver_final = {}\nsession key  = {session_key}\n```",
            exchange.server_first, proved.message(), proven.server_final
        )
        .expect("a string takes all");
    }
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Sixteen bytes to a line, with offsets.
fn hex_lines(bytes: &[u8]) -> String {
    let mut out = String::new();
    for (line, chunk) in bytes.chunks(16).enumerate() {
        let octets: Vec<String> = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(out, "{:04x}  {}", line * 16, octets.join(" ")).expect("a string takes all");
    }
    out
}
