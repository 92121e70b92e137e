//! Values to frames. One [`Encoder`] per shard or connection: its builder is reused, so a frame costs one allocation.

use bytes::{Bytes, BytesMut};
use flatbuffers::{FlatBufferBuilder, WIPOffset};

use crate::body::{self, OfCommand, OfEvent};
use crate::extras;
use crate::frame::{self, Header};
use crate::generated as fb;
use crate::ids::{ConversationId, DeviceId, UserId};
use crate::message::{
    Challenge, EntryView, HeadMoved, Hello, LoggedIn, LoginProof, MarkKind, Marked, Move, Pull, PulledRange,
    Range, RegisterTerms, Resumed, Send, Sent, Summary, Synced, UserFound, Welcome,
};
use crate::refusal::Refusal;
use crate::template;

pub type Builder = FlatBufferBuilder<'static>;

/// Builds whole frames, length field included.
pub struct Encoder {
    builder: Builder,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Encoder")
    }
}

impl Default for Encoder {
    fn default() -> Self {
        Self { builder: FlatBufferBuilder::with_capacity(1_024) }
    }
}

impl Encoder {
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes fields with default values too, for [`crate::template`].
    pub(crate) fn with_all_fields() -> Self {
        let mut encoder = Self::default();
        encoder.builder.force_defaults(true);
        encoder
    }

    /// A frame with this id; `finish` builds the body's root table.
    pub fn frame<T>(
        &mut self,
        header: Header,
        owner: &[u8],
        finish: impl FnOnce(&mut Builder) -> WIPOffset<T>,
    ) -> Bytes {
        frame::build(header, owner, self.body(finish))
    }

    /// Appends a frame to `out`.
    pub fn frame_into<T>(
        &mut self,
        out: &mut BytesMut,
        header: Header,
        owner: &[u8],
        finish: impl FnOnce(&mut Builder) -> WIPOffset<T>,
    ) {
        frame::put(out, header, owner, self.body(finish));
    }

    /// A size-prefixed body alone; valid until the next call.
    pub fn body<T>(&mut self, finish: impl FnOnce(&mut Builder) -> WIPOffset<T>) -> &[u8] {
        self.builder.reset();
        let root = finish(&mut self.builder);
        self.builder.finish_size_prefixed(root, None);
        self.builder.finished_data()
    }

    /// A frame of event `E`; `request` is 0 for events that answer nothing.
    pub fn event<E: OfEvent>(
        &mut self,
        request: u32,
        finish: impl FnOnce(&mut Builder) -> WIPOffset<E::View<'static>>,
    ) -> Bytes {
        self.frame(Header { id: E::EVENT.id(), request }, &[], finish)
    }

    /// A frame of command `C` with the owner key its row asks for.
    pub fn command<C: OfCommand>(
        &mut self,
        request: u32,
        owner: &[u8],
        finish: impl FnOnce(&mut Builder) -> WIPOffset<C::View<'static>>,
    ) -> Bytes {
        let row = C::COMMAND.row();
        assert_eq!(owner.len(), row.owner.key_len(), "owner key of {}", row.name);
        self.frame(Header { id: row.id, request }, owner, finish)
    }
}

/// Events.
impl Encoder {
    pub fn welcome(&mut self, request: u32, welcome: &Welcome) -> Bytes {
        self.event::<body::Welcome>(request, |b| {
            let software = b.create_string(&welcome.software);
            let mechanisms = strings(b, &welcome.mechanisms);
            let args = fb::WelcomeArgs {
                version: welcome.version,
                features: welcome.features,
                software: Some(software),
                time_ms: welcome.time_ms,
                registration_open: welcome.registration_open,
                mechanisms: Some(mechanisms),
                idle_ms_max: welcome.idle_ms_max,
                body_bytes_max: welcome.body_bytes_max,
                window: welcome.window,
            };
            fb::Welcome::create(b, &args)
        })
    }

    /// `detail` and `retry_ms` are 0 where the refusal has none.
    pub fn refused(&mut self, request: u32, refusal: Refusal, detail: u64, retry_ms: u32) -> Bytes {
        self.event::<body::Refused>(request, |b| {
            let name = b.create_string(refusal.name());
            let reason = b.create_string(refusal.reason());
            let args = fb::RefusedArgs {
                code: refusal.code(),
                name: Some(name),
                reason: Some(reason),
                detail,
                retry_ms,
            };
            fb::Refused::create(b, &args)
        })
    }

    pub fn closing(&mut self, refusal: Refusal) -> Bytes {
        self.event::<body::Closing>(0, |b| {
            let name = b.create_string(refusal.name());
            let reason = b.create_string(refusal.reason());
            fb::Closing::create(
                b,
                &fb::ClosingArgs { code: refusal.code(), name: Some(name), reason: Some(reason) },
            )
        })
    }

    pub fn register_terms(&mut self, request: u32, terms: &RegisterTerms) -> Bytes {
        self.event::<body::RegisterTerms>(request, |b| {
            let salt = b.create_vector(&terms.salt);
            fb::RegisterTerms::create(
                b,
                &fb::RegisterTermsArgs { salt: Some(salt), iterations: terms.iterations },
            )
        })
    }

    pub fn registered(&mut self, request: u32, user: UserId) -> Bytes {
        self.event::<body::Registered>(request, |b| {
            fb::Registered::create(b, &fb::RegisteredArgs { user: user.0 })
        })
    }

    pub fn challenge(&mut self, request: u32, challenge: &Challenge) -> Bytes {
        self.event::<body::Challenge>(request, |b| {
            let server_first = b.create_string(&challenge.server_first);
            let args = fb::ChallengeArgs { server_first: Some(server_first), valid_ms: challenge.valid_ms };
            fb::Challenge::create(b, &args)
        })
    }

    pub fn logged_in(&mut self, request: u32, logged_in: &LoggedIn) -> Bytes {
        self.event::<body::LoggedIn>(request, |b| {
            let server_final = b.create_string(&logged_in.server_final);
            let name = b.create_string(&logged_in.name);
            let ticket = b.create_vector(&logged_in.ticket);
            let args = fb::LoggedInArgs {
                server_final: Some(server_final),
                user: logged_in.user.0,
                name: Some(name),
                device: logged_in.device.0,
                session: logged_in.session.0,
                ticket: Some(ticket),
                ticket_ms: logged_in.ticket_ms,
                reconnect_ms: logged_in.reconnect_ms,
                idle_ms_max: logged_in.idle_ms_max,
                uver: logged_in.uver,
            };
            fb::LoggedIn::create(b, &args)
        })
    }

    pub fn resumed(&mut self, request: u32, resumed: &Resumed) -> Bytes {
        self.event::<body::Resumed>(request, |b| {
            let name = b.create_string(&resumed.name);
            let ticket = b.create_vector(&resumed.ticket);
            let args = fb::ResumedArgs {
                user: resumed.user.0,
                name: Some(name),
                device: resumed.device.0,
                session: resumed.session.0,
                ticket: Some(ticket),
                ticket_ms: resumed.ticket_ms,
                reconnect_ms: resumed.reconnect_ms,
                idle_ms_max: resumed.idle_ms_max,
                afresh: resumed.afresh,
                from: resumed.from,
            };
            fb::Resumed::create(b, &args)
        })
    }

    pub fn connect(&mut self, request: u32, addresses: &[String]) -> Bytes {
        self.event::<body::Connect>(request, |b| {
            let addresses = strings(b, addresses);
            fb::Connect::create(b, &fb::ConnectArgs { addresses: Some(addresses) })
        })
    }

    pub fn pong(&mut self, request: u32, time_ms: u64) -> Bytes {
        self.event::<body::Pong>(request, |b| fb::Pong::create(b, &fb::PongArgs { time_ms }))
    }

    pub fn logged_out(&mut self, request: u32) -> Bytes {
        self.event::<body::LoggedOut>(request, |b| fb::LoggedOut::create(b, &fb::LoggedOutArgs::default()))
    }

    pub fn move_away(&mut self, to: &Move) -> Bytes {
        self.event::<body::Move>(0, |b| {
            let addresses = strings(b, &to.addresses);
            let args = fb::MoveArgs {
                addresses: Some(addresses),
                reconnect_ms: to.reconnect_ms,
                deadline_ms: to.deadline_ms,
            };
            fb::Move::create(b, &args)
        })
    }

    pub fn user_found(&mut self, request: u32, found: &UserFound) -> Bytes {
        self.event::<body::UserFound>(request, |b| {
            let name = b.create_string(&found.name);
            let (user, deleted) = (found.user.0, found.deleted);
            fb::UserFound::create(b, &fb::UserFoundArgs { user, name: Some(name), deleted })
        })
    }

    pub fn sent(&mut self, request: u32, sent: &Sent) -> Bytes {
        Bytes::copy_from_slice(&template::sent(request, sent))
    }

    /// Appends a frame of [`template::SENT_FRAME_LEN`] bytes.
    pub fn sent_into(&mut self, out: &mut Vec<u8>, request: u32, sent: &Sent) {
        out.extend_from_slice(&template::sent(request, sent));
    }

    /// At most [`crate::limits::PULL_ENTRIES_MAX`] entries and [`crate::limits::PULL_BYTES_MAX`] bytes (the entry that
    /// crosses it included).
    pub fn pulled<'e>(
        &mut self,
        request: u32,
        range: &PulledRange,
        entries: impl IntoIterator<Item = EntryView<'e>>,
        ranges: &[Range],
    ) -> Bytes {
        self.event::<body::Pulled>(request, |b| {
            let entries: Vec<_> = entries.into_iter().map(|entry| put_entry(b, &entry)).collect();
            assert!(entries.len() <= crate::limits::PULL_ENTRIES_MAX as usize, "{} entries", entries.len());
            let entries = b.create_vector(&entries);
            let ranges: Vec<_> = ranges
                .iter()
                .map(|r| fb::Range::create(b, &fb::RangeArgs { from: r.from, to: r.to, kind: r.kind }))
                .collect();
            let ranges = b.create_vector(&ranges);
            let args = fb::PulledArgs {
                conversation: Some(&range.conversation.into()),
                from: range.from,
                to: range.to,
                epoch: range.epoch,
                head: Some(&range.head.into()),
                entries: Some(entries),
                ranges: Some(ranges),
            };
            fb::Pulled::create(b, &args)
        })
    }

    pub fn marked(&mut self, request: u32, marked: &Marked) -> Bytes {
        self.event::<body::Marked>(request, |b| {
            let args = fb::MarkedArgs {
                conversation: Some(&marked.conversation.into()),
                user: marked.user.0,
                kind: marked.kind,
                place: Some(&marked.place.into()),
            };
            fb::Marked::create(b, &args)
        })
    }

    /// At most [`crate::limits::SYNC_CHANGES_MAX`] changes.
    pub fn synced(&mut self, request: u32, synced: &Synced) -> Bytes {
        let Synced { from, to, more, ref changes, adverts_off } = *synced;
        assert!(changes.len() <= crate::limits::SYNC_CHANGES_MAX as usize, "{} changes", changes.len());
        self.event::<body::Synced>(request, |b| {
            let changes: Vec<_> = changes.iter().map(|summary| put_summary(b, summary)).collect();
            let changes = b.create_vector(&changes);
            fb::Synced::create(b, &fb::SyncedArgs { from, to, more, changes: Some(changes), adverts_off })
        })
    }

    pub fn message(&mut self, conversation: ConversationId, epoch: u32, entry: &EntryView<'_>) -> Bytes {
        let mut out = Vec::with_capacity(template::message_frame_len(entry.body.len()));
        self.message_into(&mut out, conversation, epoch, entry);
        out.into()
    }

    /// Appends a frame, of [`template::message_frame_len`] bytes when the entry has no extras.
    pub fn message_into(
        &mut self,
        out: &mut Vec<u8>,
        conversation: ConversationId,
        epoch: u32,
        entry: &EntryView<'_>,
    ) {
        if entry.extras.is_some() {
            out.extend_from_slice(&self.message_with_extras(conversation, epoch, entry));
        } else {
            template::message_into(out, conversation, epoch, entry);
        }
    }

    fn message_with_extras(
        &mut self,
        conversation: ConversationId,
        epoch: u32,
        entry: &EntryView<'_>,
    ) -> Bytes {
        self.event::<body::Message>(0, |b| {
            let entry = Some(put_entry(b, entry));
            let args = fb::MessageArgs { conversation: Some(&conversation.into()), epoch, entry };
            fb::Message::create(b, &args)
        })
    }

    pub fn head_moved(&mut self, moved: &HeadMoved) -> Bytes {
        self.event::<body::HeadMoved>(0, |b| {
            let args = fb::HeadMovedArgs {
                conversation: Some(&moved.conversation.into()),
                epoch: moved.epoch,
                head: Some(&moved.head.into()),
            };
            fb::HeadMoved::create(b, &args)
        })
    }

    pub fn sync_needed(&mut self) -> Bytes {
        self.event::<body::SyncNeeded>(0, |b| fb::SyncNeeded::create(b, &fb::SyncNeededArgs::default()))
    }
}

/// Commands.
impl Encoder {
    pub fn hello(&mut self, request: u32, hello: &Hello<'_>) -> Bytes {
        self.command::<body::Hello>(request, &[], |b| {
            let software = b.create_string(hello.software);
            let args = fb::HelloArgs {
                version_min: hello.version_min,
                version_max: hello.version_max,
                features: hello.features,
                software: Some(software),
            };
            fb::Hello::create(b, &args)
        })
    }

    pub fn register_start(&mut self, request: u32, name: &str) -> Bytes {
        self.command::<body::RegisterStart>(request, &[], |b| {
            let name = b.create_string(name);
            fb::RegisterStart::create(b, &fb::RegisterStartArgs { name: Some(name) })
        })
    }

    pub fn register(&mut self, request: u32, name: &str, stored_key: &[u8], server_key: &[u8]) -> Bytes {
        self.command::<body::Register>(request, &[], |b| {
            let name = b.create_string(name);
            let stored_key = b.create_vector(stored_key);
            let server_key = b.create_vector(server_key);
            let args = fb::RegisterArgs {
                name: Some(name),
                stored_key: Some(stored_key),
                server_key: Some(server_key),
            };
            fb::Register::create(b, &args)
        })
    }

    pub fn login_start(&mut self, request: u32, mechanism: &str, client_first: &str) -> Bytes {
        self.command::<body::LoginStart>(request, &[], |b| {
            let mechanism = b.create_string(mechanism);
            let client_first = b.create_string(client_first);
            let args = fb::LoginStartArgs { mechanism: Some(mechanism), client_first: Some(client_first) };
            fb::LoginStart::create(b, &args)
        })
    }

    pub fn login_proof(&mut self, request: u32, proof: &LoginProof<'_>) -> Bytes {
        self.command::<body::LoginProof>(request, &[], |b| {
            let client_final = b.create_string(proof.client_final);
            let device_name = b.create_string(proof.device_name);
            let args = fb::LoginProofArgs {
                client_final: Some(client_final),
                device: proof.device.0,
                device_name: Some(device_name),
                device_class: proof.device_class,
            };
            fb::LoginProof::create(b, &args)
        })
    }

    pub fn resume(&mut self, request: u32, ticket: &[u8], uver: u64) -> Bytes {
        self.command::<body::Resume>(request, &[], |b| {
            let ticket = b.create_vector(ticket);
            fb::Resume::create(b, &fb::ResumeArgs { ticket: Some(ticket), uver })
        })
    }

    pub fn where_to_connect(&mut self, request: u32, name: &str) -> Bytes {
        self.command::<body::WhereToConnect>(request, &[], |b| {
            let name = b.create_string(name);
            fb::WhereToConnect::create(b, &fb::WhereToConnectArgs { name: Some(name) })
        })
    }

    pub fn ping(&mut self, request: u32, time_ms: u64) -> Bytes {
        self.command::<body::Ping>(request, &[], |b| fb::Ping::create(b, &fb::PingArgs { time_ms }))
    }

    /// `forget_ticket`: the ticket ends too.
    pub fn logout(&mut self, request: u32, forget_ticket: bool) -> Bytes {
        self.command::<body::Logout>(request, &[], |b| {
            fb::Logout::create(b, &fb::LogoutArgs { forget_ticket })
        })
    }

    pub fn find_user(&mut self, request: u32, name: &str) -> Bytes {
        self.command::<body::FindUser>(request, &[], |b| {
            let name = b.create_string(name);
            fb::FindUser::create(b, &fb::FindUserArgs { name: Some(name) })
        })
    }

    pub fn name_user(&mut self, request: u32, user: UserId) -> Bytes {
        self.command::<body::NameUser>(request, &user.0.to_le_bytes(), |b| {
            fb::NameUser::create(b, &fb::NameUserArgs { user: user.0 })
        })
    }

    pub fn send(&mut self, request: u32, conversation: ConversationId, send: &Send<'_>) -> Bytes {
        self.command::<body::Send>(request, &conversation.to_bytes(), |b| {
            let body = b.create_vector(send.body);
            let extras = send.extras.map(|extras| extras::put(b, extras));
            let args = fb::SendArgs {
                counter: send.counter,
                previous: send.previous,
                body_kind: send.body_kind,
                body: Some(body),
                kind: send.kind,
                extras,
            };
            fb::Send::create(b, &args)
        })
    }

    pub fn pull(&mut self, request: u32, conversation: ConversationId, pull: &Pull) -> Bytes {
        self.command::<body::Pull>(request, &conversation.to_bytes(), |b| {
            let args =
                fb::PullArgs { from: pull.from, to: pull.to, bytes_max: pull.bytes_max, epoch: pull.epoch };
            fb::Pull::create(b, &args)
        })
    }

    pub fn mark(&mut self, request: u32, conversation: ConversationId, kind: MarkKind, seq: u64) -> Bytes {
        self.command::<body::Mark>(request, &conversation.to_bytes(), |b| {
            fb::Mark::create(b, &fb::MarkArgs { kind, seq })
        })
    }

    pub fn sync(&mut self, request: u32, uver: u64, changes_max: u32) -> Bytes {
        self.command::<body::Sync>(request, &[], |b| fb::Sync::create(b, &fb::SyncArgs { uver, changes_max }))
    }
}

/// The id of a new device, for clients that have none yet.
pub const NEW_DEVICE: DeviceId = DeviceId(0);

fn strings(
    builder: &mut Builder,
    strings: &[String],
) -> WIPOffset<flatbuffers::Vector<'static, flatbuffers::ForwardsUOffset<&'static str>>> {
    let offsets: Vec<_> = strings.iter().map(|string| builder.create_string(string)).collect();
    builder.create_vector(&offsets)
}

fn put_entry(builder: &mut Builder, entry: &EntryView<'_>) -> WIPOffset<fb::Entry<'static>> {
    let body = builder.create_vector(entry.body);
    let extras = entry.extras.map(|extras| extras::put(builder, extras));
    let args = fb::EntryArgs {
        seq: entry.place.seq,
        ord: entry.place.ord,
        time_ms: entry.time_ms,
        sender: entry.sender.0,
        device: entry.device.0,
        counter: entry.counter,
        kind: entry.kind,
        body_kind: entry.body_kind,
        body: Some(body),
        extras,
    };
    fb::Entry::create(builder, &args)
}

fn put_summary(builder: &mut Builder, summary: &Summary) -> WIPOffset<fb::Summary<'static>> {
    let args = fb::SummaryArgs {
        conversation: Some(&summary.conversation.into()),
        uver: summary.uver,
        epoch: summary.epoch,
        head: Some(&summary.head.into()),
        read: Some(&summary.read.into()),
        delivered: Some(&summary.delivered.into()),
        peer_read: Some(&summary.peer_read.into()),
        peer_delivered: Some(&summary.peer_delivered.into()),
        time_ms: summary.time_ms,
        mentioned: summary.mentioned,
    };
    fb::Summary::create(builder, &args)
}
