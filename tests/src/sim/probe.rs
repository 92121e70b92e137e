//! A hostile client: hand-made frames, true and false, in and out of phase. It may be refused or cut off, and nobody else
//! may notice.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use wire::message::{DeviceClass, Hello, LoginProof};
use wire::scram::{ClientChallenged, ClientStart, Mechanism};
use wire::{Command, DeviceId, Encoder, EventBody, UserId};

use super::faults::Fault;
use super::network::{Actor, Cut, LinkId, Unread};
use super::queue::Event;
use super::scram;
use super::world::World;

/// How far a probe's login has come.
#[derive(Default)]
pub enum Login {
    #[default]
    No,
    Started(ClientStart),
    Challenged(ClientChallenged),
    Done(UserId),
}

/// One hostile client with an account of its own.
pub struct Probe {
    pub name: String,
    pub password: String,
    pub link: Option<LinkId>,
    pub connected: bool,
    pub reading: bool,
    pub greeted: bool,
    pub registered: bool,
    pub login: Login,
    pub encoder: Encoder,
    pub last_request: u32,
    pub next_counter: u64,
    /// Its last counter in each conversation.
    pub previous: BTreeMap<wire::ConversationId, u64>,
    pub ticket: Vec<u8>,
    pub last_proof: String,
    /// The first step of the proof of its password in a session.
    pub proof: Option<ClientStart>,
    /// Asked for and not confirmed.
    pub new_password: Option<String>,
    /// Accounts that it had before.
    pub lives: u32,
    unread: Unread,
}

impl Probe {
    pub fn new(name: String, password: String) -> Self {
        Self {
            name,
            password,
            link: None,
            connected: false,
            reading: true,
            greeted: false,
            registered: false,
            login: Login::No,
            encoder: Encoder::new(),
            last_request: 1_000_000, // apart from those that it replays
            next_counter: 1,
            previous: BTreeMap::new(),
            ticket: Vec::new(),
            last_proof: String::new(),
            proof: None,
            new_password: None,
            lives: 0,
            unread: Unread::default(),
        }
    }

    pub fn request(&mut self) -> u32 {
        self.last_request += 1;
        self.last_request
    }

    pub fn user(&self) -> Option<UserId> {
        match self.login {
            Login::Done(user) => Some(user),
            _ => None,
        }
    }
}

impl World {
    /// The probe's open link; it opens one otherwise.
    pub fn probe_link(&mut self, number: usize) -> Option<LinkId> {
        let probe = &self.probes[number];
        match probe.link {
            Some(link) if probe.connected => Some(link),
            Some(_) => None,
            None => {
                let link = self.connect(Actor::Probe(number));
                self.probes[number].link = Some(link);
                None
            }
        }
    }

    /// Sends a frame made by `make` on the probe's link, if it is open.
    pub fn probe_sends(&mut self, number: usize, make: impl FnOnce(&mut Probe) -> Bytes) {
        let Some(link) = self.probe_link(number) else { return };
        let frame = make(&mut self.probes[number]);
        self.note_transmitted(link, None, &frame);
        self.transmit(link, frame);
    }

    /// The same for a probe that has said Hello; it says so otherwise.
    pub fn greeted_probe_sends(&mut self, number: usize, make: impl FnOnce(&mut Probe) -> Bytes) {
        if self.probes[number].greeted {
            self.probe_sends(number, make);
        } else {
            self.probe_sends(number, |probe| {
                let request = probe.request();
                let hello = Hello { version_min: 1, version_max: 1, features: 0, software: "probe" };
                probe.encoder.hello(request, &hello)
            });
        }
    }

    pub fn on_connected_probe(&mut self, number: usize) {
        let probe = &mut self.probes[number];
        probe.connected = true;
        probe.unread.clear();
        if self.probe_stream.chance(50) {
            self.tally.add(Fault::SilentConnection);
            return;
        }
        self.greeted_probe_sends(number, |_| unreachable!("a new connection was not greeted"));
    }

    pub fn on_ended_at_probe(&mut self, number: usize, link: LinkId) {
        let probe = &mut self.probes[number];
        if probe.link == Some(link) {
            probe.link = None;
            probe.connected = false;
            probe.greeted = false;
            probe.reading = true;
            probe.login = Login::No;
            probe.previous.clear();
        }
    }

    pub fn probe_closes(&mut self, number: usize) {
        if let Some(link) = self.probes[number].link {
            self.on_ended_at_probe(number, link);
            self.reset_from_actor(link);
        }
    }

    pub fn on_bytes_at_probe(&mut self, number: usize, bytes: &Bytes) {
        self.probes[number].unread.push(bytes);
        loop {
            let frame = match self.probes[number].unread.cut(wire::limits::FRAME_LEN_MAX) {
                Cut::Frame(frame) => frame,
                Cut::Nothing => return,
                Cut::TooLong(length) => {
                    return self.model.violate(format!("the node sent a frame of {length} bytes"));
                }
            };
            match wire::decode_event(&frame) {
                Ok(event) => self.on_event_at_probe(number, event.event),
                Err(error) => {
                    self.model.violate(format!("the node sent a frame that does not decode: {error}"))
                }
            }
        }
    }

    fn on_event_at_probe(&mut self, number: usize, event: EventBody) {
        self.trace.note(self.queue.now_us(), &[60, number as u64], &[], || {
            format!("probe {number} reads {event:?}")
        });
        let binding = self.binding();
        let probe = &mut self.probes[number];
        match event {
            EventBody::Welcome(_) => probe.greeted = true,
            EventBody::RegisterTerms(terms) => {
                let keys = scram::stretch(&probe.password, &terms.salt, terms.iterations);
                let credentials = keys.credentials();
                self.probe_sends(number, |probe| {
                    let request = probe.request();
                    let (stored, server) = (&credentials.stored_key, &credentials.server_key);
                    probe.encoder.register(request, &probe.name.clone(), stored, server)
                });
            }
            // Whose account it is shows at its login: this may answer a frame of somebody else, replayed.
            EventBody::Registered { .. } => probe.registered = true,
            EventBody::Challenge(challenge) => {
                if let Login::Started(start) = std::mem::take(&mut probe.login)
                    && let Ok(challenged) = start.handle_server_first(&challenge.server_first)
                {
                    probe.login = Login::Challenged(challenged);
                    self.probe_proves(number, &binding);
                }
            }
            EventBody::LoggedIn(event) => {
                let name = event.name.clone();
                probe.ticket = event.ticket;
                probe.login = Login::Done(event.user);
                self.model.users.insert(event.user, name);
            }
            EventBody::Resumed(event) => {
                probe.ticket = event.ticket;
                probe.login = Login::Done(event.user);
            }
            EventBody::Refused(refused) => {
                if refused.code == wire::Refusal::NameTaken.code() {
                    probe.registered = true;
                }
                if !matches!(probe.login, Login::Done(_)) {
                    probe.login = Login::No;
                }
            }
            EventBody::LoggedOut => probe.login = Login::No,
            EventBody::ProofTerms(terms) => self.probe_confirms(number, &terms),
            EventBody::PasswordChanged(changed) => {
                probe.ticket = changed.ticket;
                if let Some(new) = probe.new_password.take() {
                    probe.password = new;
                }
            }
            EventBody::AccountDeleted { .. } => self.probe_begins_anew(number),
            _ => {}
        }
    }

    /// Starts a login, as itself.
    pub fn probe_starts_login(&mut self, number: usize) {
        let nonce: [u8; wire::scram::NONCE_LEN] = self.probe_stream.bytes();
        let bound = !self.binding().is_empty();
        let offered = [if bound { Mechanism::Sha256Plus } else { Mechanism::Sha256 }.name()];
        let name = self.probes[number].name.clone();
        let nonce = wire::scram::nonce_text(&nonce);
        let Ok((mechanism, start)) = ClientStart::new(&offered, bound, &name, nonce) else { return };
        let message = start.message().to_owned();
        self.probes[number].login = Login::Started(start);
        self.greeted_probe_sends(number, |probe| {
            let request = probe.request();
            probe.encoder.login_start(request, mechanism.name(), &message)
        });
    }

    /// Answers its challenge: mostly right, sometimes with another password or an old proof.
    fn probe_proves(&mut self, number: usize, binding: &[u8]) {
        let wrong = self.probe_stream.chance(150);
        let replayed = self.probe_stream.chance(100);
        let probe = &mut self.probes[number];
        let Login::Challenged(challenged) = std::mem::take(&mut probe.login) else { return };
        let password = if wrong { "guess" } else { probe.password.as_str() };
        let keys = scram::stretch(password, challenged.salt(), challenged.iterations());
        let proved = challenged.prove(&keys, binding);
        let mut message = proved.message().to_owned();
        if replayed && !probe.last_proof.is_empty() {
            message = probe.last_proof.clone();
        }
        if wrong || replayed {
            self.tally.add(Fault::BadProof);
        }
        self.probes[number].last_proof = message.clone();
        self.probe_sends(number, |probe| {
            let request = probe.request();
            let proof = LoginProof {
                client_final: &message,
                device: DeviceId(0),
                device_name: "probe",
                device_class: DeviceClass::Bot,
            };
            probe.encoder.login_proof(request, &proof)
        });
    }

    /// Something hostile, or nothing.
    pub fn on_probe_wakes(&mut self, number: usize) {
        if self.healed {
            return;
        }
        let delay_us = self.probe_stream.between(2_000, 120_000);
        self.queue.after(delay_us, Event::ProbeWakes { probe: number });
        if self.lull.is_some() {
            return;
        }
        let Some(link) = self.probe_link(number) else { return };
        let logged_in = self.probes[number].user().is_some();
        match self.probe_stream.below(100) {
            0..5 => self.probe_sends_garbage(link),
            5..10 => self.probe_sends_out_of_phase(number),
            10..25 => self.probe_replays(number, link),
            25..30 => self.probe_tampers_with_ticket(number),
            30..40 => {
                let reading = self.probe_stream.chance(700);
                self.probes[number].reading = reading;
                if reading {
                    self.take_untaken(link, super::network::Side::Actor);
                }
            }
            40..44 => self.probe_closes(number),
            44..90 if logged_in => self.harass(number),
            44..60 if self.probes[number].registered => self.probe_starts_login(number),
            _ => {}
        }
    }

    fn probe_sends_garbage(&mut self, link: LinkId) {
        self.garbled.insert(link);
        self.tally.add(Fault::Garbage);
        let length = self.probe_stream.between(1, 300) as usize;
        let mut bytes = BytesMut::zeroed(length);
        for byte in bytes.iter_mut() {
            *byte = self.probe_stream.u64() as u8;
        }
        // Half of it claims to be a frame of its length.
        if self.probe_stream.chance(500) && length > 12 {
            bytes[..4].copy_from_slice(&(length as u32 - 4).to_le_bytes());
            bytes[4] %= 40;
            bytes[5..8].fill(0);
        }
        self.transmit(link, bytes.freeze());
    }

    /// Before the probes leave: whatever they asked on a link that still stands was answered.
    pub fn on_probes_leave(&mut self) {
        for number in 0..self.probes.len() {
            let Some(id) = self.probes[number].link else { continue };
            let stands = self.network.link(id).is_some_and(|link| {
                !link.is_cut && link.actor_open && link.node.as_ref().is_some_and(|end| !end.closing)
            });
            if stands
                && !self.garbled.contains(&id)
                && let Some(what) = self.model.unanswered(id, u64::MAX, |key| self.may_stay_unanswered(key))
            {
                self.model.violate(format!("never answered: {what}"));
            }
            self.probe_closes(number);
        }
    }

    fn probe_sends_out_of_phase(&mut self, number: usize) {
        self.tally.add(Fault::OutOfPhase);
        let done = self.probes[number].user().is_some();
        self.probe_sends(number, |probe| {
            let request = probe.request();
            if done {
                probe.encoder.login_start(request, "SCRAM-SHA-256", "n,,n=ann,r=abc")
            } else {
                probe.encoder.sync(request, 0, 10)
            }
        });
    }

    /// A frame of somebody else, as it was or with one bit changed.
    fn probe_replays(&mut self, number: usize, link: LinkId) {
        // A ticket, a token or the keys of a registration in foreign hands do harm, which is why they travel encrypted.
        let secret = [Command::Resume, Command::Register, Command::RedeemCode, Command::TokenLogin]
            .map(|command| command.id() as u8);
        let usable = |frame: &&Bytes| !secret.contains(&frame[0]);
        let frames: Vec<_> = self.overheard.iter().filter(usable).cloned().collect();
        if frames.is_empty() {
            return;
        }
        self.tally.add(Fault::Replay);
        let mut frame = self.probe_stream.pick(&frames).to_vec();
        if self.probe_stream.chance(500) {
            let at = self.probe_stream.index(frame.len());
            frame[at] ^= 1 << self.probe_stream.below(8);
        }
        let mut bytes = BytesMut::new();
        bytes.extend_from_slice(&(frame.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&frame);
        let bytes = bytes.freeze();
        let _ = number;
        self.note_transmitted(link, None, &bytes);
        self.transmit(link, bytes);
    }

    fn probe_tampers_with_ticket(&mut self, number: usize) {
        let mut ticket = self.probes[number].ticket.clone();
        if ticket.is_empty() {
            return;
        }
        self.tally.add(Fault::BadProof);
        let at = self.probe_stream.index(ticket.len());
        ticket[at] ^= 1 << self.probe_stream.below(8);
        self.greeted_probe_sends(number, |probe| {
            let request = probe.request();
            probe.encoder.resume(request, &ticket, 0)
        });
    }
}
