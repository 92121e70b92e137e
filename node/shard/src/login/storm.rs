//! Many users and devices in any order, with everything held back now and then: in the end every home knows exactly the
//! sessions that are there, and nobody is in who should not be.

use std::collections::{BTreeMap, BTreeSet};

use record::CommitOutcome;
use wire::{DeviceId, EventBody, Refusal, SessionId, UserId};

use crate::config::{Config, PlacementPolicy};
use crate::rng::Rng;
use crate::testing::{ClientId, World, config, refusal_of};

const NAMES: [&str; 6] = ["ann", "bob", "cecilia", "dora", "emil", "frida"];

/// What the clients know.
#[derive(Default)]
struct Model {
    /// Tickets by user and device: the newest each.
    tickets: BTreeMap<(UserId, DeviceId), Vec<u8>>,
    /// Connections that were told of a session.
    sessions: BTreeMap<ClientId, (UserId, DeviceId, SessionId)>,
    clients: Vec<ClientId>,
    /// Requests without an answer so far.
    asked: Vec<(ClientId, u32)>,
}

struct Storm {
    world: World,
    rng: Rng,
    model: Model,
    counts: BTreeMap<&'static str, u32>,
    registered: BTreeSet<&'static str>,
}

impl Storm {
    fn new(seed: u8) -> Self {
        let mut rng = Rng::new([seed; 32]);
        let placement = if rng.below(2) == 0 { PlacementPolicy::Home } else { PlacementPolicy::LeastLoaded };
        let shards = 1 + rng.below(4) as u16;
        let world = World::with(shards, Config { placement, ..config() });
        Self { world, rng, model: Model::default(), counts: BTreeMap::new(), registered: BTreeSet::new() }
    }

    fn shard(&mut self) -> u16 {
        self.rng.below(self.world.shards.len() as u64) as u16
    }

    fn one_of(&mut self, clients: &[ClientId]) -> Option<ClientId> {
        (!clients.is_empty()).then(|| clients[self.rng.below(clients.len() as u64) as usize])
    }

    /// A login up to its proof, whose answer may be long in coming.
    fn log_in(&mut self) {
        self.flow();
        let name = NAMES[self.rng.below(NAMES.len() as u64) as usize];
        let (shard, device) = (self.shard(), self.rng.below(4) as u32);
        let client = self.world.connect(shard);
        self.model.clients.push(client);
        if self.registered.insert(name)
            && !matches!(self.world.register(client, name), EventBody::Registered { .. })
        {
            self.registered.remove(name);
        }
        if let Ok(client_final) = self.world.prove(client, name, name) {
            self.hold();
            let request = self.world.begin(client, |encoder, request| {
                let proof = wire::message::LoginProof {
                    client_final: &client_final,
                    device: DeviceId(device),
                    device_name: "",
                    device_class: wire::message::DeviceClass::Bot,
                };
                encoder.login_proof(request, &proof)
            });
            self.model.asked.push((client, request));
        }
    }

    fn resume(&mut self) {
        let tickets: Vec<_> = self.model.tickets.values().cloned().collect();
        if tickets.is_empty() {
            return;
        }
        let ticket = &tickets[self.rng.below(tickets.len() as u64) as usize];
        let shard = self.shard();
        self.flow();
        let client = self.world.connect(shard);
        self.hold();
        let request = self.world.begin(client, |encoder, request| encoder.resume(request, ticket, 1));
        self.model.clients.push(client);
        self.model.asked.push((client, request));
    }

    fn log_out(&mut self) {
        let clients: Vec<_> = self.model.sessions.keys().copied().collect();
        let Some(client) = self.one_of(&clients) else { return };
        let forget = self.rng.below(2) == 0;
        let request = self.world.begin(client, |encoder, request| encoder.logout(request, forget));
        self.model.asked.push((client, request));
    }

    fn hold(&mut self) {
        self.world.hold_commits = self.rng.below(2) == 0;
        self.world.hold_loads = self.rng.below(3) == 0;
        self.world.hold_mesh = self.rng.below(3) == 0;
    }

    fn flow(&mut self) {
        (self.world.hold_commits, self.world.hold_loads, self.world.hold_mesh) = (false, false, false);
        self.world.run();
        self.take_answers();
    }

    fn take_answers(&mut self) {
        for (client, request) in std::mem::take(&mut self.model.asked) {
            let told = match self.world.reply_to(client, request) {
                None if self.world.is_open(client) => {
                    self.model.asked.push((client, request));
                    continue;
                }
                None => "lost",
                Some(EventBody::LoggedIn(told)) => {
                    self.model.tickets.insert((told.user, told.device), told.ticket);
                    self.model.sessions.insert(client, (told.user, told.device, told.session));
                    "logged in"
                }
                Some(EventBody::Resumed(told)) => {
                    self.model.tickets.insert((told.user, told.device), told.ticket);
                    self.model.sessions.insert(client, (told.user, told.device, told.session));
                    "resumed"
                }
                Some(EventBody::LoggedOut) => "logged out",
                Some(reply) => refusal_of(&reply).name(),
            };
            *self.counts.entry(told).or_default() += 1;
        }
    }

    fn step(&mut self) {
        match self.rng.below(20) {
            0..6 => self.log_in(),
            6..10 => self.resume(),
            10..12 => self.log_out(),
            12..14 => {
                let clients = self.model.clients.clone();
                if let Some(client) = self.one_of(&clients) {
                    self.world.close(client);
                }
            }
            14 => {
                self.world.outcome =
                    if self.rng.below(3) == 0 { CommitOutcome::Full } else { CommitOutcome::Committed };
            }
            15 if self.rng.below(4) == 0 => {
                let shards = 1 + self.rng.below(4) as u16;
                self.world.crash(shards);
            }
            16 => self.world.advance(700),
            17 => self.hold(),
            _ => self.flow(),
        }
        self.world.run();
        self.take_answers();
    }

    /// Everything has happened: what homes, shards and clients know is the same.
    fn check(&mut self) {
        self.world.outcome = CommitOutcome::Committed;
        self.world.advance(1_000);
        self.flow();
        assert!(self.model.asked.is_empty(), "{} answers are missing", self.model.asked.len());
        let open: Vec<_> =
            self.model.sessions.iter().filter(|(client, _)| self.world.is_open(**client)).collect();
        let mut at_homes = 0;
        for (client, (user, device, session)) in &open {
            let home = usize::from(self.world.home_of(*user));
            let places = self.world.shards[home].logins.sessions(*user);
            let place = places
                .iter()
                .map(|open| open.place)
                .find(|place| place.device == *device)
                .expect("the home knows him");
            assert_eq!((place.session, place.connection), (*session, self.world.connection(**client)));
        }
        for user in self.model.tickets.keys().map(|(user, _)| *user).collect::<BTreeSet<_>>() {
            at_homes += self.world.shards[usize::from(self.world.home_of(user))].logins.sessions(user).len();
        }
        assert_eq!(at_homes, open.len(), "a home knows of sessions that are gone");
        let counted: u64 = self.world.shards.iter().map(|shard| shard.counters().sessions).sum();
        assert_eq!(counted as usize, open.len());
        assert!(self.world.fatal.is_empty(), "{:?}", self.world.fatal);
    }
}

#[test]
fn homes_shards_and_clients_agree_after_any_storm() {
    let mut counts = BTreeMap::new();
    for seed in 0..12 {
        let mut storm = Storm::new(seed);
        for _ in 0..4 {
            for _ in 0..25 {
                storm.step();
            }
            storm.check();
        }
        for (told, count) in storm.counts {
            *counts.entry(told).or_insert(0) += count;
        }
    }
    for told in
        ["logged in", "resumed", "logged out", Refusal::StorageFull.name(), Refusal::TicketRefused.name()]
    {
        assert!(counts.contains_key(told), "never {told}: {counts:?}");
    }
}
