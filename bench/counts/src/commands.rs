//! The hot commands, and one round of each. Only what is between `begin` and `end` is counted.

use wire::EventBody;
use wire::message::{MarkKind, Pull};

use crate::fault::Fault;
use crate::meter::Meter;
use crate::node::ClientId;
use crate::stage::{ENTRIES, PAIRS, Stage};

/// Rounds before counting starts: tables and buffers have their size then.
const WARM_ROUNDS: u64 = 4 * PAIRS as u64;
/// Entries of one pull.
const PULLED: u64 = 50;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Command {
    PrivateSend,
    PrivateSendGathered,
    PrivateSendAcross,
    Mark,
    Pull,
    PullFromStore,
    Sync,
    Ping,
    Open,
    Login,
    Resume,
    Close,
}

/// One command's sums.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    pub commands: u64,
    pub meter: Meter,
}

impl Command {
    pub const ALL: &[Command] = &[
        Command::PrivateSend,
        Command::PrivateSendGathered,
        Command::PrivateSendAcross,
        Command::Mark,
        Command::Pull,
        Command::PullFromStore,
        Command::Sync,
        Command::Ping,
        Command::Open,
        Command::Login,
        Command::Resume,
        Command::Close,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Command::PrivateSend => "private_send",
            Command::PrivateSendGathered => "private_send_gathered",
            Command::PrivateSendAcross => "private_send_across",
            Command::Mark => "mark",
            Command::Pull => "pull",
            Command::PullFromStore => "pull_from_store",
            Command::Sync => "sync",
            Command::Ping => "ping",
            Command::Open => "open",
            Command::Login => "login",
            Command::Resume => "resume",
            Command::Close => "close",
        }
    }

    /// What is in the count.
    pub fn meaning(self) -> &'static str {
        match self {
            Command::PrivateSend => {
                "128 bytes to a reader on the same shard, from frame to ack and push; alone in its turns"
            }
            Command::PrivateSendGathered => "the same, 16 chats in each turn",
            Command::PrivateSendAcross => "the same to a reader on another shard, both shards; alone",
            Command::Mark => "read mark on one entry, and its way to the writer",
            Command::Pull => "50 entries out of memory",
            Command::PullFromStore => "50 entries out of the store, the store's work not counted",
            Command::Sync => "nothing is newer",
            Command::Ping => "ping and pong",
            Command::Open => "a new connection and its hello",
            Command::Login => "both steps; the client's stretching and proof not counted",
            Command::Resume => "by ticket",
            Command::Close => "the socket of a session is gone",
        }
    }

    fn shards(self) -> u16 {
        if self == Command::PrivateSendAcross { 2 } else { 1 }
    }

    fn rounds(self) -> u64 {
        match self {
            Command::Pull | Command::PullFromStore | Command::Login => 200,
            Command::PrivateSendGathered => 64,
            _ => 1_000,
        }
    }

    /// Counts this command on a node of its own, with this fault in its shards.
    pub fn count(self, planted: Option<Fault>) -> Counted {
        let mut stage = Stage::new(self.shards(), planted);
        let mut commands = 0;
        for round in 0..WARM_ROUNDS + self.rounds() {
            let is_counted = round >= WARM_ROUNDS;
            let mut round = Round { stage: &mut stage, number: round, is_counted };
            let done = round.run(self);
            if is_counted {
                commands += done;
            }
        }
        Counted { commands, meter: stage.node.meter }
    }
}

struct Round<'a> {
    stage: &'a mut Stage,
    number: u64,
    is_counted: bool,
}

impl Round<'_> {
    /// Gives how many commands were counted.
    fn run(&mut self, command: Command) -> u64 {
        match command {
            Command::PrivateSend | Command::PrivateSendAcross => self.send(),
            Command::PrivateSendGathered => return self.send_gathered(),
            Command::Mark => self.mark(),
            Command::Pull => self.pull(ENTRIES - PULLED + 1),
            Command::PullFromStore => self.pull(1),
            Command::Sync => self.sync(),
            Command::Ping => self.ping(),
            Command::Open => self.open(),
            Command::Login => self.log_in(),
            Command::Resume => self.resume(),
            Command::Close => self.close(),
        }
        1
    }

    fn pair(&self) -> usize {
        self.number as usize % PAIRS
    }

    fn begin(&mut self) {
        self.stage.node.is_counting = self.is_counted;
    }

    fn end(&mut self) {
        self.stage.node.is_counting = false;
    }

    /// What waits is counted until the node rests.
    fn run_counted(&mut self) {
        self.begin();
        self.stage.node.run();
        self.end();
    }

    fn send(&mut self) {
        let pair = self.pair();
        self.stage.write(pair);
        self.run_counted();
        let answer = self.stage.node.take_answer(self.stage.pairs[pair].writer.client);
        assert!(matches!(answer, Some(EventBody::Sent(_))), "{answer:?}");
    }

    fn send_gathered(&mut self) -> u64 {
        (0..PAIRS).for_each(|pair| self.stage.write(pair));
        self.run_counted();
        for pair in &self.stage.pairs {
            let answer = self.stage.node.take_answer(pair.writer.client);
            assert!(matches!(answer, Some(EventBody::Sent(_))), "{answer:?}");
        }
        PAIRS as u64
    }

    fn mark(&mut self) {
        let pair = self.stage.pairs[self.pair()].clone();
        let seq = 1 + self.number / PAIRS as u64;
        assert!(seq <= ENTRIES, "each mark moves on");
        self.stage.command(pair.reader.client, |encoder, request| {
            encoder.mark(request, pair.chat, MarkKind::Read, seq)
        });
        self.run_counted();
        let answer = self.stage.node.take_answer(pair.reader.client);
        assert!(matches!(&answer, Some(EventBody::Marked(marked)) if marked.place.seq == seq), "{answer:?}");
    }

    fn pull(&mut self, from: u64) {
        let pair = self.stage.pairs[self.pair()].clone();
        let pull = Pull { from, to: from + PULLED - 1, bytes_max: 0, epoch: 0 };
        self.stage.command(pair.reader.client, |encoder, request| encoder.pull(request, pair.chat, &pull));
        self.run_counted();
        let answer = self.stage.node.take_answer(pair.reader.client);
        let Some(EventBody::Pulled(pulled)) = answer else { panic!("not pulled: {answer:?}") };
        assert_eq!(pulled.entries.len() as u64, PULLED);
    }

    fn sync(&mut self) {
        let client = self.stage.pairs[self.pair()].reader.client;
        let ask = |stage: &mut Stage, uver| {
            stage.command(client, |encoder, request| encoder.sync(request, uver, 100))
        };
        // The version to ask with, once.
        ask(self.stage, 0);
        self.stage.node.run();
        let answer = self.stage.node.take_answer(client);
        let Some(EventBody::Synced(synced)) = answer else { panic!("not synced: {answer:?}") };
        ask(self.stage, synced.to);
        self.run_counted();
        let answer = self.stage.node.take_answer(client);
        let Some(EventBody::Synced(synced)) = answer else { panic!("not synced: {answer:?}") };
        assert!(synced.changes.is_empty(), "nothing is newer");
    }

    fn ping(&mut self) {
        let client = self.stage.pairs[self.pair()].writer.client;
        let time_ms = self.number;
        self.stage.command(client, |encoder, request| encoder.ping(request, time_ms));
        self.run_counted();
        let answer = self.stage.node.take_answer(client);
        assert!(matches!(answer, Some(EventBody::Pong { .. })), "{answer:?}");
    }

    fn open(&mut self) {
        self.begin();
        let client = self.stage.greet(0);
        self.end();
        self.leave(client);
    }

    fn log_in(&mut self) {
        let reader = self.stage.pairs[self.pair()].reader.clone();
        self.leave(reader.client);
        let client = self.stage.greet(0);
        self.begin();
        let logged_in = self.stage.log_in(client, &reader.name, reader.device);
        self.end();
        assert_eq!(logged_in.user, reader.user);
        let pair = self.pair();
        self.stage.pairs[pair].reader.client = client;
    }

    fn resume(&mut self) {
        let client = self.stage.pairs[self.pair()].reader.client;
        self.leave(client);
        self.come_back();
    }

    fn close(&mut self) {
        let client = self.stage.pairs[self.pair()].reader.client;
        self.begin();
        self.leave(client);
        self.end();
        self.is_counted = false;
        self.come_back();
    }

    /// The reader of this pair resumes his session.
    fn come_back(&mut self) {
        let pair = self.pair();
        let client = self.stage.greet(0);
        let reader = self.stage.pairs[pair].reader.clone();
        self.begin();
        let answer =
            self.stage.ask(client, |encoder, request| encoder.resume(request, &reader.ticket, reader.uver));
        self.end();
        let EventBody::Resumed(resumed) = answer else { panic!("not resumed: {answer:?}") };
        let reader = &mut self.stage.pairs[pair].reader;
        (reader.client, reader.ticket) = (client, resumed.ticket);
    }

    fn leave(&mut self, client: ClientId) {
        self.stage.node.close(client);
        self.stage.node.run();
    }
}
