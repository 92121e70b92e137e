//! The clients' side of links, and what is read off the wire on the way.

use bytes::Bytes;
use shard::Security;
use wire::command::Command;
use wire::message::MarkKind;
use wire::token::Secret;
use wire::{ConnectionPhase, ConversationId, DeviceId, Incoming, OwnerKey, Scopes, body, verified};

use super::faults::Fault;
use super::model::sessions::Ends;
use super::model::{Asked, Identity, NameAsked, SendKey};
use super::network::{Actor, LinkId, Side};
use super::queue::Event;
use super::world::World;

/// Frames of others that a hostile client has overheard.
const OVERHEARD_MAX: usize = 64;

impl World {
    /// An actor opens a connection.
    pub fn connect(&mut self, actor: Actor) -> LinkId {
        let link = self.network.open(actor);
        let delay_us = self.network.delay_us();
        self.trace.note(self.queue.now_us(), &[50, u64::from(link)], &[], || {
            format!("{actor:?} opens link {link}")
        });
        self.queue.after(delay_us, Event::Accept { link });
        link
    }

    pub fn binding(&self) -> Vec<u8> {
        match &self.security {
            Security::Tls { binding: Some(binding) } => binding.to_vec(),
            _ => Vec::new(),
        }
    }

    pub fn actor_connected(&mut self, link: LinkId) {
        match self.network.link(link).map(|link| link.actor) {
            Some(Actor::Device(number)) => {
                self.connected.insert(link);
                self.on_connected_device(number);
            }
            Some(Actor::Probe(number)) => self.on_connected_probe(number),
            None => {}
        }
    }

    /// Bytes leave an actor.
    pub fn transmit(&mut self, link: LinkId, bytes: Bytes) {
        let now_us = self.queue.now_us();
        self.trace.note(now_us, &[51, u64::from(link)], &bytes, || {
            format!("link {link} sends {} bytes", bytes.len())
        });
        if bytes.is_empty() {
            return;
        }
        let stream = &mut self.network.stream;
        let split = if stream.chance(80) { stream.index(bytes.len()) } else { 0 };
        for part in [bytes.slice(..split), bytes.slice(split..)] {
            if part.is_empty() {
                continue;
            }
            if let Some(at_us) = self.network.arrival(link, Side::Node, now_us) {
                self.queue.at(at_us, Event::Bytes { link, to: Side::Node, bytes: part });
            }
        }
    }

    /// An actor closes: what it sent still arrives, what comes is lost.
    pub fn close_from_actor(&mut self, link_id: LinkId) {
        let now_us = self.queue.now_us();
        let Some(at_us) = self.network.arrival(link_id, Side::Node, now_us) else { return };
        let Some(link) = self.network.link(link_id) else { return };
        link.actor_open = false;
        link.untaken.clear();
        self.queue.at(at_us, Event::Ended { link: link_id, at: Side::Node });
        self.network.sweep(link_id);
    }

    /// An actor is gone without a word. The node may notice late.
    pub fn reset_from_actor(&mut self, link_id: LinkId) {
        let late = self.network.stream.chance(250);
        let delay_us = self.network.stream.between(20, if late { 4_000_000 } else { 5_000 });
        let Some(link) = self.network.link(link_id) else { return };
        link.cut();
        link.actor_open = false;
        if late {
            self.tally.add(Fault::LateReset);
        }
        self.queue.after(delay_us, Event::Ended { link: link_id, at: Side::Node });
        self.network.sweep(link_id);
    }

    /// The network drops a link: both sides find out, each in its time.
    pub fn reset_link(&mut self, link_id: LinkId) {
        let late = self.network.stream.chance(250);
        let (node_us, actor_us) =
            (self.network.stream.between(20, 5_000), self.network.stream.between(20, 5_000));
        let late_us = self.network.stream.between(5_000, 3_000_000);
        let Some(link) = self.network.link(link_id) else { return };
        link.cut();
        self.tally.add(Fault::ConnectionReset);
        if late {
            self.tally.add(Fault::LateReset);
        }
        self.trace
            .note(self.queue.now_us(), &[52, u64::from(link_id)], &[], || format!("link {link_id} is reset"));
        let late_us = if late { late_us } else { 0 };
        self.queue.after(node_us + late_us, Event::Ended { link: link_id, at: Side::Node });
        self.queue.after(actor_us, Event::Ended { link: link_id, at: Side::Actor });
    }

    pub fn on_bytes(&mut self, link_id: LinkId, to: Side, bytes: Bytes) {
        let Some(link) = self.network.link(link_id) else { return };
        if link.is_cut {
            return;
        }
        if to == Side::Node {
            return self.on_bytes_at_node(link_id, &bytes);
        }
        if !link.actor_open {
            link.down.in_flight -= bytes.len();
            return self.flush(link_id); // they arrive, and nobody reads them
        }
        link.untaken.push_back(bytes);
        self.take_untaken(link_id, to);
    }

    /// The actor reads what has arrived, if it reads.
    pub fn take_untaken(&mut self, link_id: LinkId, at: Side) {
        assert_eq!(at, Side::Actor);
        loop {
            let Some(actor) = self.network.link(link_id).map(|link| link.actor) else { return };
            let reads = match actor {
                Actor::Device(number) => self.devices[number].reads(),
                Actor::Probe(number) => self.probes[number].reading,
            };
            if !reads {
                return;
            }
            let Some(link) = self.network.link(link_id) else { return };
            let Some(bytes) = link.untaken.pop_front() else { break };
            link.down.in_flight -= bytes.len();
            match actor {
                Actor::Device(number) => self.on_bytes_at_device(number, &bytes),
                Actor::Probe(number) => self.on_bytes_at_probe(number, &bytes),
            }
        }
        self.flush(link_id);
        let over = self.network.link(link_id).is_some_and(|link| link.over_at_actor);
        if over {
            self.on_ended(link_id, Side::Actor);
        }
    }

    pub fn on_ended(&mut self, link_id: LinkId, at: Side) {
        if at == Side::Node {
            return self.on_ended_at_node(link_id);
        }
        let Some(link) = self.network.link(link_id) else { return };
        if !link.actor_open {
            return;
        }
        if !link.untaken.is_empty() {
            link.over_at_actor = true; // it is told when it has read what came before
            return;
        }
        let actor = link.actor;
        link.actor_open = false;
        let was_connected = self.connected.remove(&link_id);
        self.network.sweep(link_id);
        match actor {
            Actor::Device(number) => self.on_ended_at_device(number, link_id, was_connected),
            Actor::Probe(number) => self.on_ended_at_probe(number, link_id),
        }
    }

    /// Reads the commands in bytes that leave an actor: whole frames, as the session state machine hands them out.
    pub fn note_transmitted(&mut self, link: LinkId, device: Option<usize>, bytes: &Bytes) {
        let mut rest = super::network::Unread::default();
        rest.push(bytes);
        while let super::network::Cut::Frame(frame) = rest.cut(wire::limits::FRAME_LEN_MAX) {
            self.note_frame(link, device, &frame);
            if self.overheard.len() == OVERHEARD_MAX {
                let place = self.network.stream.index(OVERHEARD_MAX);
                self.overheard.swap_remove(place);
            }
            self.overheard.push(frame);
        }
        assert!(rest.is_empty(), "a session hands out whole frames");
    }

    fn note_frame(&mut self, link: LinkId, device: Option<usize>, frame: &[u8]) {
        let phases = ConnectionPhase::ALL.iter();
        let Some(incoming) = phases.rev().find_map(|phase| wire::classify(frame, *phase).ok()) else {
            return;
        };
        let requested = self.model.requests.entry((link, incoming.request)).or_default();
        requested.commands.push(incoming.command);
        requested.at_us = self.queue.now_us();
        let identity = self.model.identities.get(&link).copied();
        let conversation = match incoming.owner {
            OwnerKey::Conversation(conversation) => Some(conversation),
            _ => None,
        };
        self.trace.note(self.queue.now_us(), &[53, u64::from(link)], &[], || {
            format!(
                "link {link} asks {:?} {:?} as request {}",
                incoming.command, conversation, incoming.request
            )
        });
        let asked_at = (link, incoming.request);
        match (incoming.command, conversation, identity) {
            (Command::Send, Some(conversation), Some(identity)) => {
                self.note_send(asked_at, conversation, identity, device, incoming.body);
            }
            (Command::Pull, Some(conversation), _) => {
                if let Ok(view) = verified::view::<body::Pull>(incoming.body) {
                    let moment = self.model.recalls.next_moment();
                    let (from, to, epoch) = (view.from(), view.to(), view.epoch());
                    let asked = Asked { conversation, from, to, epoch, moment };
                    self.model.pulls.entry(asked_at).or_default().push(asked);
                }
            }
            (Command::Mark, Some(conversation), Some(identity)) => {
                if let Ok(view) = verified::view::<body::Mark>(incoming.body) {
                    self.note_mark(conversation, identity, view.kind(), view.seq());
                }
            }
            (Command::Sync, _, _) => {
                if let Ok(view) = verified::view::<body::Sync>(incoming.body) {
                    self.model.syncs.entry(asked_at).or_default().push(view.uver());
                }
            }
            (Command::TokenLogin | Command::CreateToken, _, _) => self.note_token(asked_at, &incoming),
            (
                Command::LoginProof
                | Command::Resume
                | Command::EndSession
                | Command::EndOtherSessions
                | Command::EndUserSessions,
                ..,
            ) => {
                self.note_session(asked_at, incoming.command, incoming.body);
            }
            (Command::FindUser, _, _) => {
                if let Ok(view) = verified::view::<body::FindUser>(incoming.body) {
                    let name = view.name().unwrap_or_default().to_owned();
                    self.model.names_asked.entry(asked_at).or_default().push(NameAsked::ByName(name));
                }
            }
            (Command::NameUser, _, _) => {
                if let OwnerKey::User(user) = incoming.owner {
                    self.model.names_asked.entry(asked_at).or_default().push(NameAsked::ById(user));
                }
            }
            _ => {}
        }
    }

    fn note_token(&mut self, asked_at: (LinkId, u32), incoming: &Incoming<'_>) {
        if let (OwnerKey::User(user), Ok(view)) =
            (incoming.owner, verified::view::<body::TokenLogin>(incoming.body))
        {
            if let Some(secret) = view.secret().and_then(|secret| secret.bytes().try_into().ok()) {
                self.model.tokens.on_login(asked_at, user, view.number(), Secret(secret).hash());
            }
        } else if let Ok(view) = verified::view::<body::CreateToken>(incoming.body)
            && let Some(hash) = view.hash().and_then(|hash| hash.bytes().try_into().ok())
            && let Some(scopes) = Scopes::from_bits(view.scopes())
        {
            self.model.tokens.on_asked(asked_at, hash, scopes);
        }
    }

    fn note_session(&mut self, at: (LinkId, u32), command: Command, bytes: &[u8]) {
        if command == Command::EndUserSessions {
            let Ok(view) = verified::view::<body::EndUserSessions>(bytes) else { return };
            let Some(user) = self.model.user_named(view.name().unwrap_or_default()) else { return };
            let device = Some(DeviceId(view.device())).filter(|device| *device != DeviceId(0));
            return self.model.sessions.on_ends_sent(at, Ends::OfUser(user, device));
        }
        let sessions = &mut self.model.sessions;
        match command {
            Command::LoginProof => {
                if let Ok(view) = verified::view::<body::LoginProof>(bytes) {
                    sessions.on_ends_sent(at, Ends::Login(view.device_class()));
                }
            }
            Command::Resume => {
                if let Ok(view) = verified::view::<body::Resume>(bytes) {
                    let ticket = view.ticket().map(|ticket| ticket.bytes()).unwrap_or_default();
                    sessions.on_resume_sent(at, ticket);
                    self.model.tickets.on_presented(at.0, at.1, ticket);
                }
            }
            Command::EndSession => {
                if let Ok(view) = verified::view::<body::EndSession>(bytes) {
                    sessions.on_ends_sent(at, Ends::Only(DeviceId(view.device())));
                }
            }
            _ => sessions.on_ends_sent(at, Ends::Others),
        }
    }

    fn note_send(
        &mut self,
        (link, request): (LinkId, u32),
        conversation: ConversationId,
        identity: Identity,
        device: Option<usize>,
        bytes: &[u8],
    ) {
        let Ok(view) = verified::view::<body::Send>(bytes) else { return };
        let content = view.body().map(|body| Bytes::copy_from_slice(body.bytes())).unwrap_or_default();
        let key = SendKey { conversation, sender: identity, counter: view.counter() };
        self.model.on_transmitted(key, content.clone(), device.is_some(), self.queue.now_us());
        let requested = self.model.requests.entry((link, request)).or_default();
        requested.send = (requested.commands.len() == 1).then_some(key);
        if let Some(number) = device {
            self.model.order.on_requested(link, request, conversation, key.counter, view.previous());
            let outgoing = &self.devices[number].disk.stored.outgoing;
            let kept = outgoing.iter().any(|send| send.counter == key.counter && send.body == content);
            self.model
                .violation_if(!kept, || format!("device {number} sends {key:?} before it is on its disk"));
        }
    }

    fn note_mark(&mut self, conversation: ConversationId, identity: Identity, kind: MarkKind, seq: u64) {
        if conversation.is_of(identity.user) {
            let bounds = self.model.mark_bounds(conversation, identity.user, kind);
            bounds.asked = bounds.asked.max(seq);
            self.model.note_mark_for_both(&self.store, conversation, identity.user);
        }
    }
}
