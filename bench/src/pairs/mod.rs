//! Pairs of users of whom one sends to the other: the load of `direct` and of all that builds on it.

pub mod beside;
mod frame;
mod pacing;
mod tally;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use wire::ConversationId;

use crate::driver::{Account, Driver, Entrance, Pace, PeerEvent};
use crate::report::model::{Round, Subject};
use crate::server::Server;
use crate::usage::{self, Usage};

use beside::{Beside, Nobody};
use frame::SendFrame;
use pacing::Pacing;
use tally::Tally;

pub const WINDOW_MAX: usize = wire::limits::WINDOW_MAX as usize;
/// How long answers are waited for after a round.
const SETTLE_MAX: Duration = Duration::from_secs(60);
/// Longest round that ends with a number of messages.
const TIME_MAX: Duration = Duration::from_secs(3_600);
/// Longest wait for events in an open loop: the next message may be due.
const OPEN_WAIT_NS_MAX: u64 = 1_000_000;

/// How messages are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mode {
    /// Closed loop: so many messages of each sender without an answer.
    Window(u16),
    /// Open loop: so many per second over all pairs, whatever the node does.
    Rate(f64),
}

/// How long load runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    Time(Duration),
    /// Until so many messages are acknowledged. Only in a closed loop.
    Messages(u64),
}

/// How many users there are and what they send.
#[derive(Debug, Clone, Copy)]
pub struct Crowd {
    pub pairs: u32,
    /// Sessions that are logged in and do nothing.
    pub idle: u32,
    /// Bytes of text per message.
    pub bytes: u32,
}

/// One sender.
#[derive(Debug)]
struct Sender {
    frame: SendFrame,
    counter: u64,
    outstanding: u16,
    /// Intended send times since the round began, by counter.
    intended_ns: [u64; WINDOW_MAX],
    /// Intended times of messages that wait for room in the window.
    backlog: VecDeque<u64>,
    /// The receiver's last seq.
    applied: u64,
}

/// A server with its pairs logged in.
#[derive(Debug)]
pub struct Pairs {
    pub server: Server,
    pub subject: Subject,
    pub crowd: Crowd,
    pub driver: Driver,
    senders: Vec<Sender>,
    /// Messages acknowledged and delivered since the start.
    pub acked: u64,
    pub delivered: u64,
    /// What the server had used when the last round ended.
    used: Option<Usage>,
}

impl Pairs {
    /// Logs everybody in.
    pub fn new(server: Server, subject: Subject, tls: bool, crowd: Crowd) -> Result<Self> {
        let run = rand::random::<u32>();
        let users = crowd.pairs as usize * 2;
        let names =
            (0..users + crowd.idle as usize).map(|index| Account::new(format!("bench-{run:x}-{index}")));
        let mut driver = Driver::new(server.address, tls, names)?;
        let all = 0..driver.peers.len();
        driver.bring_in(all, Pace::default(), |index| match subject {
            Subject::Relay => Entrance::Introduce(index as u64),
            _ => Entrance::RegisterAndLogIn,
        })?;
        let (text, mut encoder) = (vec![b'x'; crowd.bytes as usize], wire::Encoder::new());
        let sender = |pair: usize| {
            let [one, other] = [pair * 2, pair * 2 + 1].map(|index| driver.peers[index].account.user);
            let conversation = ConversationId::private(one, other).expect("two users");
            Sender {
                frame: SendFrame::new(&mut encoder, conversation, &text),
                counter: 0,
                outstanding: 0,
                intended_ns: [0; WINDOW_MAX],
                backlog: VecDeque::new(),
                applied: 0,
            }
        };
        let senders = (0..crowd.pairs as usize).map(sender).collect();
        Ok(Self { server, subject, crowd, driver, senders, acked: 0, delivered: 0, used: None })
    }

    /// Load for so long, then until all is answered and the server is quiet: what it put off counts too. What the server did
    /// since the round before counts to this one, so that no work falls between two rounds.
    pub fn round(&mut self, mode: Mode, span: Span) -> Result<Round> {
        self.round_beside(mode, span, &mut Nobody)
    }

    /// The driver's number of the first client that is in no pair.
    pub fn first_beside(&self) -> usize {
        self.senders.len() * 2
    }

    /// The same while other clients do something. They act until the load ends, and hear until all is answered.
    pub fn round_beside(&mut self, mode: Mode, span: Span, beside: &mut dyn Beside) -> Result<Round> {
        let (store_before, commits_before) = (self.server.store_bytes(), self.server.commits());
        let before = match self.used.take() {
            Some(used) => used,
            None => self.server.usage()?,
        };
        let own_before = usage::own_cpu_ns();
        let mut tally = Tally::new(self.server.pid)?;
        self.load(mode, span, &mut tally, beside)?;
        let elapsed = tally.end_load(usage::own_cpu_ns() - own_before);
        self.settle(&mut tally, beside)?;
        let quiet = self.server.wait_until_quiet()?;
        let used = self.server.usage()?;
        let growth = used.since(&before);
        self.used = Some(used);
        let mut round = tally.into_round(elapsed, &growth);
        let delivered = round.latencies["delivery"].count.max(1) as f64;
        let mut put = |name: &str, value: f64| round.values.insert(name.to_owned(), value);
        if let (Some(before), Some(after)) = (store_before, self.server.store_bytes()) {
            put("store_bytes_per_message", (after as f64 - before as f64) / delivered);
        }
        if let (Some(before), Some(after)) = (commits_before, self.server.commits()) {
            let commits = after.count.saturating_sub(before.count).max(1) as f64;
            put("bytes_per_commit", after.bytes.saturating_sub(before.bytes) as f64 / commits);
            put("messages_per_commit", delivered / commits);
        }
        if let Mode::Rate(rate) = mode {
            put("offered_per_s", rate);
        }
        put("quiet_after_round", f64::from(u8::from(quiet)));
        put("acked_total", self.acked as f64);
        put("server_anonymous_bytes", usage::anonymous_bytes(self.server.pid)? as f64);
        Ok(round)
    }

    fn load(&mut self, mode: Mode, span: Span, tally: &mut Tally, beside: &mut dyn Beside) -> Result<()> {
        let (length, acked_end) = match span {
            Span::Time(length) => (length, u64::MAX),
            Span::Messages(count) => (TIME_MAX, self.acked + count),
        };
        let end_ns = length.as_nanos() as u64;
        let mut pacing = match mode {
            Mode::Window(_) => None,
            Mode::Rate(rate) => Some(Pacing::new(rate, length)),
        };
        loop {
            let now_ns = tally.now_ns();
            if now_ns >= end_ns || self.acked >= acked_end {
                // What fell due since the last turn is late, not left out.
                if let Some(pacing) = &mut pacing {
                    self.send_due(pacing, end_ns, tally);
                }
                return Ok(());
            }
            let mut wait_ns = end_ns - now_ns;
            match (mode, &mut pacing) {
                (Mode::Window(window), _) => self.fill(window, now_ns),
                (Mode::Rate(_), Some(pacing)) => {
                    self.send_due(pacing, now_ns, tally);
                    let next_ns = pacing.next_ns().unwrap_or(end_ns);
                    wait_ns = next_ns.saturating_sub(tally.now_ns()).min(OPEN_WAIT_NS_MAX);
                }
                (Mode::Rate(_), None) => unreachable!("a rate has its pacing"),
            }
            let first = self.first_beside();
            beside.act(&mut self.driver, first, now_ns)?;
            let beside_ns = beside.next_ns().unwrap_or(u64::MAX).saturating_sub(tally.now_ns());
            self.turn(Duration::from_nanos(wait_ns.min(beside_ns)), tally, beside)?;
        }
    }

    /// Fills all windows.
    fn fill(&mut self, window: u16, now_ns: u64) {
        for pair in 0..self.senders.len() {
            while self.senders[pair].outstanding < window {
                self.send(pair, now_ns);
            }
        }
    }

    /// Sends what is due. A sender whose window is full keeps it, with its intended time, until there is room; the others
    /// do not wait for it.
    fn send_due(&mut self, pacing: &mut Pacing, now_ns: u64, tally: &mut Tally) {
        while let Some((number, intended_ns)) = pacing.take(now_ns) {
            tally.on_due(intended_ns);
            let pair = (number % self.senders.len() as u64) as usize;
            self.senders[pair].backlog.push_back(intended_ns);
        }
        for pair in 0..self.senders.len() {
            while usize::from(self.senders[pair].outstanding) < WINDOW_MAX
                && let Some(intended_ns) = self.senders[pair].backlog.pop_front()
            {
                self.send(pair, intended_ns);
            }
        }
    }

    fn send(&mut self, pair: usize, intended_ns: u64) {
        let sender = &mut self.senders[pair];
        sender.counter += 1;
        sender.outstanding += 1;
        sender.intended_ns[sender.counter as usize % WINDOW_MAX] = intended_ns;
        self.driver.push_frame(pair * 2, sender.frame.with(sender.counter, intended_ns));
    }

    fn turn(&mut self, wait: Duration, tally: &mut Tally, beside: &mut dyn Beside) -> Result<()> {
        let first = self.first_beside();
        let (senders, acked, delivered) = (&mut self.senders, &mut self.acked, &mut self.delivered);
        self.driver.turn(wait, |index, event| {
            let Some(sender) = senders.get_mut(index / 2) else {
                return beside.handle(index - first, event, tally.now_ns());
            };
            match event {
                PeerEvent::Sent { counter } => {
                    tally.on_ack(sender.intended_ns[counter as usize % WINDOW_MAX]);
                    sender.outstanding -= 1;
                    *acked += 1;
                }
                PeerEvent::Message { seq, stamp } if index % 2 == 1 => {
                    // A skipped seq may be a push dropped for slowness; a repeated one never is right.
                    if seq <= sender.applied {
                        bail!("seq {seq} came after {}", sender.applied);
                    }
                    sender.applied = seq;
                    tally.on_delivery(stamp);
                    *delivered += 1;
                }
                PeerEvent::Message { .. } => bail!("a message came back to its sender"),
                PeerEvent::Busy { .. } => bail!("the node has no room for a message"),
                _ => {}
            }
            Ok(())
        })?;
        tally.on_turn()
    }

    /// Waits for the answers and deliveries still out. What was due and never sent is as late as it is now.
    fn settle(&mut self, tally: &mut Tally, beside: &mut dyn Beside) -> Result<()> {
        for sender in &mut self.senders {
            sender.backlog.drain(..).for_each(|intended_ns| tally.on_unsent(intended_ns));
        }
        let begin = Instant::now();
        while self.senders.iter().any(|sender| sender.outstanding > 0 || sender.applied < sender.counter) {
            if begin.elapsed() > SETTLE_MAX {
                bail!("messages stay without an answer");
            }
            self.turn(Duration::from_millis(20), tally, beside)?;
        }
        Ok(())
    }
}
