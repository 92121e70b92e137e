//! How the scripted node answers each command.

use bytes::Bytes;
use tokio::sync::mpsc;
use wire::classify::OwnerKey;
use wire::message::{
    Challenge, DeviceClass, LoggedIn, MarkKind, Marked, PulledRange, RegisterTerms, Resumed, Sent, Synced,
    UserFound, Welcome,
};
use wire::scram::{self, ClientFirst, Credentials, Exchange, Mechanism};
use wire::verified::view;
use wire::{
    Command, ConnectionPhase, ConversationId, DeviceId, Encoder, Incoming, Refusal, SessionId, UserId, body,
    classify,
};

use super::world::{Connected, World, is_due};

const SALT: [u8; 16] = *b"sixteen of salt.";
const ITERATIONS: u32 = 4_096;

pub(super) enum Answer {
    Send(Bytes),
    Close,
}

/// One connection's conversation with the node.
pub(super) struct Talk {
    id: u64,
    binding: Vec<u8>,
    phase: ConnectionPhase,
    exchange: Option<(Exchange, String)>,
    user: UserId,
    device: DeviceId,
    pushes: mpsc::UnboundedSender<Option<Bytes>>,
    encoder: Encoder,
}

impl Talk {
    pub(super) fn new(id: u64, binding: Vec<u8>, pushes: mpsc::UnboundedSender<Option<Bytes>>) -> Self {
        Self {
            id,
            binding,
            phase: ConnectionPhase::Greeting,
            exchange: None,
            user: UserId::NOBODY,
            device: DeviceId(0),
            pushes,
            encoder: Encoder::new(),
        }
    }

    pub(super) fn handle(&mut self, world: &mut World, frame: &[u8]) -> Answer {
        let incoming = classify(frame, self.phase).expect("a client that keeps to the protocol");
        let request = incoming.request;
        match self.answer(world, &incoming) {
            Ok(answer) => answer,
            Err(refusal) => Answer::Send(self.encoder.refused(request, refusal, 0, 10)),
        }
    }

    fn answer(&mut self, world: &mut World, incoming: &Incoming<'_>) -> Result<Answer, Refusal> {
        let request = incoming.request;
        Ok(Answer::Send(match incoming.command {
            Command::Hello => self.hello(request),
            Command::RegisterStart => self
                .encoder
                .register_terms(request, &RegisterTerms { salt: SALT.to_vec(), iterations: ITERATIONS }),
            Command::Register => self.register(world, incoming)?,
            Command::LoginStart => self.login_start(incoming),
            Command::LoginProof => self.login_proof(world, incoming)?,
            Command::Resume => self.resume(world, incoming)?,
            Command::Ping => self.encoder.pong(request, 0),
            Command::Logout => {
                world.tickets.retain(|_, owner| *owner != (self.user, self.device));
                self.phase = ConnectionPhase::BeforeLogin;
                self.encoder.logged_out(request)
            }
            Command::FindUser => {
                let wanted = view::<body::FindUser>(incoming.body).expect("verifies");
                let name = wanted.name().expect("a name").to_owned();
                let user = world.user_named(&name).ok_or(Refusal::UnknownUser)?.id;
                self.encoder.user_found(request, &UserFound { user, name, deleted: false })
            }
            Command::NameUser => {
                let OwnerKey::User(user) = incoming.owner else { return Err(Refusal::Malformed) };
                let name = world.user(user).ok_or(Refusal::UnknownUser)?.name.clone();
                self.encoder.user_found(request, &UserFound { user, name, deleted: false })
            }
            Command::Send => return self.send(world, incoming),
            Command::Pull => self.pull(world, incoming)?,
            Command::Mark => self.mark(world, incoming)?,
            Command::Sync => {
                let from = view::<body::Sync>(incoming.body).expect("verifies").uver();
                let (to, changes) = world.changes(self.user, from);
                self.encoder.synced(request, &Synced { from, to, more: false, changes, adverts_off: false })
            }
            Command::WhereToConnect => self.encoder.connect(request, &[]),
            _ => return Err(Refusal::UnknownCommand),
        }))
    }

    fn hello(&mut self, request: u32) -> Bytes {
        self.phase = ConnectionPhase::BeforeLogin;
        let mechanism = if self.binding.is_empty() { Mechanism::Sha256 } else { Mechanism::Sha256Plus };
        let welcome = Welcome {
            version: 1,
            features: 0,
            software: "scripted".into(),
            time_ms: 0,
            registration_open: true,
            mechanisms: vec![mechanism.name().to_owned()],
            idle_ms_max: 60_000,
            body_bytes_max: 65_536,
            window: 32,
        };
        self.encoder.welcome(request, &welcome)
    }

    fn register(&mut self, world: &mut World, incoming: &Incoming<'_>) -> Result<Bytes, Refusal> {
        let register = view::<body::Register>(incoming.body).expect("verifies");
        let name = register.name().expect("a name");
        if world.user_named(name).is_some() {
            return Err(Refusal::NameTaken);
        }
        let stored_key = register.stored_key().expect("a key").bytes().try_into().expect("32 bytes");
        let server_key = register.server_key().expect("a key").bytes().try_into().expect("32 bytes");
        let credentials = Credentials { stored_key, server_key };
        let user = world.add_user(name, credentials);
        Ok(self.encoder.registered(incoming.request, user))
    }

    fn login_start(&mut self, incoming: &Incoming<'_>) -> Bytes {
        let start = view::<body::LoginStart>(incoming.body).expect("verifies");
        let first = ClientFirst::parse(start.client_first().expect("a message")).expect("SCRAM");
        let nonce = scram::nonce_text(&[self.id as u8; 18]);
        let exchange = scram::server_first(&first, &SALT, ITERATIONS, &nonce);
        self.phase = ConnectionPhase::Challenged;
        let server_first = exchange.server_first.clone();
        self.exchange = Some((exchange, first.name));
        self.encoder.challenge(incoming.request, &Challenge { server_first, valid_ms: 60_000 })
    }

    fn login_proof(&mut self, world: &mut World, incoming: &Incoming<'_>) -> Result<Bytes, Refusal> {
        self.phase = ConnectionPhase::BeforeLogin;
        let proof = view::<body::LoginProof>(incoming.body).expect("verifies");
        assert_eq!(proof.device_class(), DeviceClass::Desktop);
        let (exchange, name) = self.exchange.take().expect("a challenge");
        let user = world.user_named(&name).ok_or(Refusal::LoginFailed)?;
        let client_final = proof.client_final().expect("a message");
        let proven = scram::verify(&exchange, client_final, &user.credentials, &self.binding)
            .map_err(|_| Refusal::LoginFailed)?;
        let (id, name) = (user.id, user.name.clone());
        let mut device = DeviceId(proof.device());
        if device == DeviceId(0) {
            world.last_device += 1;
            device = DeviceId(world.last_device);
        }
        self.begin_session(world, id, device);
        let logged_in = LoggedIn {
            server_final: proven.server_final,
            user: id,
            name,
            device,
            session: SessionId(self.id),
            ticket: world.ticket(id, device),
            ticket_ms: 3_600_000,
            reconnect_ms: 10,
            idle_ms_max: 60_000,
            uver: 0,
        };
        Ok(self.encoder.logged_in(incoming.request, &logged_in))
    }

    fn resume(&mut self, world: &mut World, incoming: &Incoming<'_>) -> Result<Bytes, Refusal> {
        let resume = view::<body::Resume>(incoming.body).expect("verifies");
        let ticket = resume.ticket().expect("a ticket").bytes();
        let (user, device) = *world.tickets.get(ticket).ok_or(Refusal::TicketRefused)?;
        self.begin_session(world, user, device);
        let resumed = Resumed {
            user,
            name: world.user(user).expect("a user").name.clone(),
            device,
            session: SessionId(self.id),
            ticket: ticket.to_vec(),
            ticket_ms: 3_600_000,
            reconnect_ms: 10,
            idle_ms_max: 60_000,
            afresh: false,
            from: resume.uver(),
        };
        Ok(self.encoder.resumed(incoming.request, &resumed))
    }

    fn begin_session(&mut self, world: &mut World, user: UserId, device: DeviceId) {
        (self.user, self.device, self.phase) = (user, device, ConnectionPhase::LoggedIn);
        world.connected.insert(self.id, Connected { user, device, pushes: self.pushes.clone() });
    }

    fn conversation(&self, incoming: &Incoming<'_>) -> Result<ConversationId, Refusal> {
        match incoming.owner {
            OwnerKey::Conversation(conversation) if conversation.has(self.user) => Ok(conversation),
            _ => Err(Refusal::NotMember),
        }
    }

    fn send(&mut self, world: &mut World, incoming: &Incoming<'_>) -> Result<Answer, Refusal> {
        let conversation = self.conversation(incoming)?;
        let send = view::<body::Send>(incoming.body).expect("verifies");
        if !world.faults.refusals.is_empty() {
            return Err(world.faults.refusals.remove(0));
        }
        if send.previous() > world.last_taken(conversation, self.device) {
            return Err(Refusal::OutOfOrder);
        }
        let text = send.body().expect("a body").bytes();
        let place = world.send(conversation, self.user, self.device, send.counter(), text);
        if is_due(&mut world.faults.lost_acks) {
            return Ok(Answer::Close);
        }
        let time_ms = 1_700_000_000_000 + place.seq;
        let sent = Sent { conversation, counter: send.counter(), place, time_ms, epoch: 1 };
        Ok(Answer::Send(self.encoder.sent(incoming.request, &sent)))
    }

    fn pull(&mut self, world: &mut World, incoming: &Incoming<'_>) -> Result<Bytes, Refusal> {
        let conversation = self.conversation(incoming)?;
        let pull = view::<body::Pull>(incoming.body).expect("verifies");
        let head = world.head(conversation);
        let (from, to) = (pull.from(), pull.to().min(head.seq).max(pull.from() - 1));
        let log = world.logs.get(&conversation).map_or(&[][..], |log| log);
        let entries =
            log.iter().filter(|entry| (from..=to).contains(&entry.place.seq)).map(|entry| entry.view());
        let range = PulledRange { conversation, from, to, epoch: 1, head };
        Ok(self.encoder.pulled(incoming.request, &range, entries, &[]))
    }

    fn mark(&mut self, world: &mut World, incoming: &Incoming<'_>) -> Result<Bytes, Refusal> {
        let conversation = self.conversation(incoming)?;
        let mark = view::<body::Mark>(incoming.body).expect("verifies");
        let kinds = match mark.kind() {
            MarkKind::Read => [MarkKind::Delivered, MarkKind::Read],
            kind => [kind, kind],
        };
        let seq = mark.seq().min(world.head(conversation).seq);
        let place = wire::message::Place { seq, ord: seq };
        for kind in kinds {
            if world.mark(conversation, self.user, kind, place) {
                world.touch(conversation);
                let marked = Marked { conversation, user: self.user, kind, place };
                let frame = self.encoder.marked(0, &marked);
                for (id, connected) in &world.connected {
                    if conversation.has(connected.user) && *id != self.id {
                        let _ = connected.pushes.send(Some(frame.clone()));
                    }
                }
            }
        }
        let place = world.marked(conversation, self.user, mark.kind());
        let marked = Marked { conversation, user: self.user, kind: mark.kind(), place };
        Ok(self.encoder.marked(incoming.request, &marked))
    }
}
