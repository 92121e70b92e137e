//! People who know each other and have written before: the state in which commands are counted.

use bytes::Bytes;
use wire::message::{BodyKind, DeviceClass, Hello, LoggedIn, LoginProof, Send};
use wire::scram::{ClientKeys, ClientStart, KEY_LEN, nonce_text};
use wire::{ConversationId, DeviceId, Encoder, EventBody, UserId};

use crate::fault::Fault;
use crate::node::{ClientId, Node};

/// Pairs that chat. Each person has one chat and one session.
pub const PAIRS: usize = 16;
/// Entries of each chat before anything is counted: more than a conversation keeps in memory.
pub const ENTRIES: u64 = 80;
/// A short message of a person.
const BODY: [u8; 128] = [b'x'; 128];

/// Somebody with an account.
#[derive(Clone, Debug)]
pub struct Person {
    pub name: String,
    pub client: ClientId,
    pub user: UserId,
    pub device: DeviceId,
    pub ticket: Vec<u8>,
    /// Version of the list as it was told at login.
    pub uver: u64,
    /// Of the last send of this device.
    counter: u64,
}

/// Who writes, who reads, and where.
#[derive(Clone, Debug)]
pub struct Pair {
    pub writer: Person,
    pub reader: Person,
    pub chat: ConversationId,
}

pub struct Stage {
    pub node: Node,
    pub pairs: Vec<Pair>,
    pub encoder: Encoder,
    last_request: u32,
}

/// As if a password had been stretched to them.
fn keys(name: &str) -> ClientKeys {
    let byte = name.bytes().fold(0, |sum: u8, byte| sum.wrapping_mul(31).wrapping_add(byte));
    ClientKeys { client_key: [byte; KEY_LEN], server_key: [byte ^ 0xff; KEY_LEN] }
}

impl Stage {
    /// `shards` is 1, where everything stays on one shard, or 2, where writers live on the first and readers on the other.
    pub fn new(shards: u16, planted: Option<Fault>) -> Self {
        let mut node = Node::new(shards);
        if let Some(fault) = planted {
            fault.plant(&mut node);
        }
        let mut stage = Self { node, pairs: Vec::new(), encoder: Encoder::new(), last_request: 0 };
        let mut numbers = 0..;
        for _ in 0..PAIRS {
            let writer = stage.person_on(0, "writer", &mut numbers);
            let reader = stage.person_on(shards - 1, "reader", &mut numbers);
            let chat = ConversationId::private(writer.user, reader.user).expect("two users");
            stage.pairs.push(Pair { writer, reader, chat });
        }
        for _ in 0..ENTRIES {
            (0..PAIRS).for_each(|pair| stage.write(pair));
            stage.node.run();
        }
        for pair in 0..PAIRS {
            let writer = stage.pairs[pair].writer.client;
            let answer = stage.node.take_answer(writer);
            assert!(
                matches!(&answer, Some(EventBody::Sent(sent)) if sent.place.seq == ENTRIES),
                "{answer:?}"
            );
        }
        stage
    }

    pub fn next_request(&mut self) -> u32 {
        self.last_request += 1;
        self.last_request
    }

    /// Sends a command without running the node.
    pub fn command(&mut self, client: ClientId, command: impl FnOnce(&mut Encoder, u32) -> Bytes) {
        let request = self.next_request();
        let frame = command(&mut self.encoder, request);
        self.node.send(client, &frame);
    }

    /// Sends a command, lets everything happen, and gives its answer.
    pub fn ask(&mut self, client: ClientId, command: impl FnOnce(&mut Encoder, u32) -> Bytes) -> EventBody {
        self.command(client, command);
        self.node.run();
        self.node.take_answer(client).expect("an answer")
    }

    /// The writer of this pair sends the next message; nothing runs.
    pub fn write(&mut self, pair: usize) {
        let Pair { writer, chat, .. } = &mut self.pairs[pair];
        let (client, chat, previous) = (writer.client, *chat, writer.counter);
        writer.counter += 1;
        let send = Send::plain(previous + 1, previous, BodyKind::Text, &BODY);
        self.command(client, |encoder, request| encoder.send(request, chat, &send));
    }

    /// A new connection at this shard that has said hello.
    pub fn greet(&mut self, shard: u16) -> ClientId {
        let client = self.node.open(shard);
        self.node.run();
        let hello = Hello { version_min: 1, version_max: 1, features: 0, software: "" };
        let answer = self.ask(client, |encoder, request| encoder.hello(request, &hello));
        assert!(matches!(answer, EventBody::Welcome(_)), "{answer:?}");
        client
    }

    /// The first two steps of a login and then the last two.
    pub fn log_in(&mut self, client: ClientId, name: &str, device: DeviceId) -> LoggedIn {
        let nonce = nonce_text(&[7; wire::scram::NONCE_LEN]);
        let (mechanism, start) =
            ClientStart::new(&["SCRAM-SHA-256"], false, name, nonce).expect("it is offered");
        let answer = self
            .ask(client, |encoder, request| encoder.login_start(request, mechanism.name(), start.message()));
        let EventBody::Challenge(challenge) = answer else { panic!("not a challenge: {answer:?}") };
        let challenged = start.handle_server_first(&challenge.server_first).expect("a good challenge");
        let proved = challenged.prove(&keys(name), &[]);
        let proof = LoginProof {
            client_final: proved.message(),
            device,
            device_name: "counts",
            device_class: DeviceClass::Bot,
        };
        match self.ask(client, |encoder, request| encoder.login_proof(request, &proof)) {
            EventBody::LoggedIn(logged_in) => logged_in,
            other => panic!("not logged in: {other:?}"),
        }
    }

    /// Registers until somebody lives on this shard: names decide where.
    fn person_on(&mut self, shard: u16, role: &str, numbers: &mut impl Iterator<Item = u32>) -> Person {
        for number in numbers {
            let name = format!("{role}{number}");
            let client = self.greet(shard);
            self.ask(client, |encoder, request| encoder.register_start(request, &name));
            let credentials = keys(&name).credentials();
            let answer = self.ask(client, |encoder, request| {
                encoder.register(request, &name, &credentials.stored_key, &credentials.server_key)
            });
            assert!(matches!(answer, EventBody::Registered { .. }), "{answer:?}");
            let logged_in = self.log_in(client, &name, DeviceId(0));
            if self.node.shard_of(client) == shard {
                let LoggedIn { user, device, ticket, uver, .. } = logged_in;
                return Person { name, client, user, device, ticket, uver, counter: 0 };
            }
            self.node.close(client);
            self.node.run();
        }
        unreachable!("there are names for every shard")
    }
}
