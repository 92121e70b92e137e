//! `bench direct`: N pairs, one of each sends to the other. Closed loop with a window, or open loop at a rate.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;
use hdrhistogram::Histogram;
use wire::ConversationId;
use wire::message::{BodyKind, Send};

use crate::NodeOptions;
use crate::driver::{Driver, PeerEvent};
use crate::report::{Direct, Latency, Round};
use crate::server::{Server, Usage};

/// Bytes of a body that hold the intended send time.
const STAMP_LEN: usize = 8;
const WINDOW_MAX: usize = wire::limits::WINDOW_MAX as usize;
/// Rounds before the first that counts.
const WARM_UP: Duration = Duration::from_secs(2);

#[derive(Args, Debug, Clone)]
pub struct Options {
    /// Pairs of users.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=4_000))]
    pairs: u32,
    /// Closed loop: messages of one sender without an answer.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=WINDOW_MAX as i64))]
    window: u16,
    /// Open loop: messages per second over all pairs; latency counts from the intended send time.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Bytes of text per message.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(STAMP_LEN as i64..=64 * 1_024))]
    bytes: u32,
    /// Seconds of each round.
    #[arg(long, default_value_t = 5)]
    seconds: u32,
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    #[command(flatten)]
    node: NodeOptions,
}

/// One sender.
#[derive(Debug)]
struct Sender {
    conversation: ConversationId,
    counter: u64,
    outstanding: u16,
    /// Intended send times in nanoseconds since the start, by counter.
    intended_ns: [u64; WINDOW_MAX],
    /// The receiver's last seq.
    applied: u64,
}

struct Load {
    driver: Driver,
    senders: Vec<Sender>,
    body: Vec<u8>,
    begin: Instant,
    ack_ns: Histogram<u64>,
    delivery_ns: Histogram<u64>,
    acked: u64,
    delivered: u64,
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("valid bounds")
}

pub fn run(options: &Options) -> Result<()> {
    let server = Server::start_or_connect(&options.node, &[])?;
    let mut driver = Driver::new()?;
    let run = rand::random::<u32>();
    let names = (0..options.pairs * 2).map(|index| format!("bench-{run:x}-{index}"));
    driver.log_in(server.address, options.node.tls, names)?;
    let mut load = Load::new(driver, options);
    load.round(options, WARM_UP)?;
    let mut rounds = Vec::new();
    for _ in 0..options.rounds {
        load.reset();
        let before = server.usage()?;
        let elapsed = load.round(options, Duration::from_secs(options.seconds.into()))?;
        let after = server.usage()?;
        rounds.push(load.measured(elapsed, before, after));
    }
    load.settle()?;
    let report = Direct {
        scenario: "direct",
        tls: options.node.tls,
        pairs: options.pairs,
        window: options.rate.is_none().then_some(options.window),
        rate: options.rate,
        bytes: options.bytes,
        seconds: options.seconds,
        server_cores: options.node.server_cores.clone(),
        load_core: options.node.load_core,
        rounds,
    };
    report.print(options.node.json);
    Ok(())
}

impl Load {
    fn new(driver: Driver, options: &Options) -> Self {
        let senders = driver
            .peers
            .chunks(2)
            .map(|pair| Sender {
                conversation: ConversationId::private(pair[0].user, pair[1].user).expect("two users"),
                counter: 0,
                outstanding: 0,
                intended_ns: [0; WINDOW_MAX],
                applied: 0,
            })
            .collect();
        Self {
            driver,
            senders,
            body: vec![b'x'; options.bytes as usize],
            begin: Instant::now(),
            ack_ns: histogram(),
            delivery_ns: histogram(),
            acked: 0,
            delivered: 0,
        }
    }

    fn reset(&mut self) {
        self.ack_ns.reset();
        self.delivery_ns.reset();
        (self.acked, self.delivered) = (0, 0);
    }

    fn now_ns(&self) -> u64 {
        self.begin.elapsed().as_nanos() as u64
    }

    fn send(&mut self, pair: usize, intended_ns: u64) {
        let sender = &mut self.senders[pair];
        let previous = sender.counter;
        sender.counter += 1;
        sender.outstanding += 1;
        sender.intended_ns[sender.counter as usize % WINDOW_MAX] = intended_ns;
        self.body[..STAMP_LEN].copy_from_slice(&intended_ns.to_le_bytes());
        let send = Send { counter: sender.counter, previous, body_kind: BodyKind::Opaque, body: &self.body };
        let peer = &mut self.driver.peers[pair * 2];
        let frame = peer.encoder().send(sender.counter as u32, sender.conversation, &send);
        peer.push(&frame);
        self.driver.touch(pair * 2);
    }

    /// Sends for `length`; returns how long it really took.
    fn round(&mut self, options: &Options, length: Duration) -> Result<Duration> {
        let begin_ns = self.now_ns();
        let end_ns = begin_ns + length.as_nanos() as u64;
        let mut due = 0;
        loop {
            let now = self.now_ns();
            if now >= end_ns {
                return Ok(Duration::from_nanos(now - begin_ns));
            }
            match options.rate {
                None => {
                    for pair in 0..self.senders.len() {
                        while self.senders[pair].outstanding < options.window {
                            self.send(pair, now);
                        }
                    }
                    self.turn(Duration::from_nanos(end_ns - now))?;
                }
                Some(rate) => {
                    let interval_ns = 1_000_000_000 / u64::from(rate);
                    while begin_ns + due * interval_ns <= now {
                        let pair = due as usize % self.senders.len();
                        if usize::from(self.senders[pair].outstanding) >= WINDOW_MAX {
                            // The window is full: it is sent late, and its latency tells.
                            break;
                        }
                        self.send(pair, begin_ns + due * interval_ns);
                        due += 1;
                    }
                    let next = begin_ns + due * interval_ns;
                    let wait = next.saturating_sub(self.now_ns()).min(1_000_000);
                    self.turn(Duration::from_nanos(wait))?;
                }
            }
        }
    }

    fn turn(&mut self, wait: Duration) -> Result<()> {
        let (senders, begin) = (&mut self.senders, self.begin);
        let (ack_ns, delivery_ns) = (&mut self.ack_ns, &mut self.delivery_ns);
        let (acked, delivered) = (&mut self.acked, &mut self.delivered);
        self.driver.turn(wait, |index, event| {
            let sender = &mut senders[index / 2];
            match event {
                PeerEvent::Sent(sent) => {
                    let intended = sender.intended_ns[sent.counter as usize % WINDOW_MAX];
                    ack_ns.saturating_record(begin.elapsed().as_nanos() as u64 - intended);
                    sender.outstanding -= 1;
                    *acked += 1;
                }
                PeerEvent::Message(message) if index % 2 == 1 => {
                    // A skipped seq may be a push dropped for slowness; a repeated one never is right.
                    if message.entry.place.seq <= sender.applied {
                        bail!("seq {} came after {}", message.entry.place.seq, sender.applied);
                    }
                    sender.applied = message.entry.place.seq;
                    if let Some(stamp) = message.entry.body.first_chunk::<STAMP_LEN>() {
                        let intended = u64::from_le_bytes(*stamp);
                        delivery_ns.saturating_record(begin.elapsed().as_nanos() as u64 - intended);
                    }
                    *delivered += 1;
                }
                PeerEvent::Message(_) => bail!("a message came back to its sender"),
                PeerEvent::LoggedIn | PeerEvent::Other => {}
            }
            Ok(())
        })
    }

    /// Waits for the answers still out, so that the node is left without work.
    fn settle(&mut self) -> Result<()> {
        let begin = Instant::now();
        while self.senders.iter().any(|sender| sender.outstanding > 0) {
            if begin.elapsed() > Duration::from_secs(30) {
                bail!("sends stay without an answer");
            }
            self.turn(Duration::from_millis(100))?;
        }
        Ok(())
    }

    fn measured(&self, elapsed: Duration, before: Usage, after: Usage) -> Round {
        let seconds = elapsed.as_secs_f64();
        let each = |total: u64| total as f64 / self.delivered.max(1) as f64;
        Round {
            acked_per_s: self.acked as f64 / seconds,
            delivered_per_s: self.delivered as f64 / seconds,
            ack: Latency::of(&self.ack_ns),
            delivery: Latency::of(&self.delivery_ns),
            server_cpu_ns_per_message: each(after.cpu_ns - before.cpu_ns),
            server_cores_used: (after.cpu_ns - before.cpu_ns) as f64 / elapsed.as_nanos() as f64,
            context_switches_per_message: each(
                after.context_switches.saturating_sub(before.context_switches),
            ),
            disk_bytes_per_message: each(after.disk_bytes.saturating_sub(before.disk_bytes)),
        }
    }
}
