//! A ball between two shards: the node's mesh with nothing behind it.
//!
//! A round trip is four steps: queued, left at the other's crossing at the end of a turn, taken at a turn there, and the same
//! back. Two cores of this process run it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use hdrhistogram::Histogram;
use node::mesh::{self, Lane, LaneCapacities};
use node::ring::{CloseReason, ConnectionInfo, Core, Cores, Driver, Hand, Io, Limits, Pin, Remote};
use wire::ConnectionId;

use crate::measure::histogram;
use crate::report::model::{LatencyCurve, Round, Run, Subject};
use crate::scenario::Scenario;
use crate::usage::Usage;

/// Balls, and one item that keeps a shard awake.
const LANES: LaneCapacities = LaneCapacities { control: BALLS_MAX as u64 + 1, delivery: 1, ephemeral: 1 };
/// Balls in flight at a time.
pub const BALLS_MAX: usize = 4_096;
/// Only the start comes from outside.
const FOREIGN_MAX: usize = 1;
/// A game that does not end on time is broken.
const PATIENCE: Duration = Duration::from_secs(20);

/// What else the two cores do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    /// Nothing: each sleeps while it waits for the ball, and is woken.
    Idle,
    /// Each runs turn after turn, so that none has to be woken.
    Busy,
}

/// How the ball is played.
#[derive(Debug, Clone, Copy)]
pub struct Game {
    /// The two cores; `None`: wherever the system runs them.
    pub cores: Option<[usize; 2]>,
    pub beside: Beside,
    /// Balls in flight, at most [`BALLS_MAX`].
    pub balls: usize,
}

/// Plays for `length`. With idle cores, `cpu_ns_per_round_trip` is the time of both cores together; busy ones never rest, and
/// their time says something only with many balls.
pub fn round(game: &Game, length: Duration) -> Result<Round> {
    assert!((1..=BALLS_MAX).contains(&game.balls), "{} balls", game.balls);
    let remotes = [Arc::new(Remote::new(FOREIGN_MAX)?), Arc::new(Remote::new(FOREIGN_MAX)?)];
    let cores = start(game, &remotes)?;
    let process = std::process::id();
    let before = Usage::read(process)?;
    let played = play(&remotes[0], game.balls, length);
    let used = Usage::read(process)?.since(&before);
    remotes.iter().for_each(|remote| remote.stop());
    cores.join();
    let Score { round_trip_ns, elapsed } = played?;
    let (count, seconds) = (round_trip_ns.len() as f64, elapsed.as_secs_f64());
    let values = [
        ("round_trips_per_s", count / seconds),
        ("cpu_ns_per_round_trip", used.total.cpu_ns as f64 / count.max(1.0)),
    ];
    Ok(Round {
        seconds,
        values: values.into_iter().map(|(name, value)| (name.into(), value)).collect(),
        latencies: [("round_trip".into(), LatencyCurve::of(&round_trip_ns))].into(),
        ..Round::default()
    })
}

/// One way of playing.
#[derive(Debug)]
pub struct Mesh {
    pub game: Game,
    pub length: Duration,
}

impl Scenario for Mesh {
    fn describe(&self) -> Run {
        let Game { beside, balls, .. } = self.game;
        let beside = match beside {
            Beside::Idle => "idle",
            Beside::Busy => "busy",
        };
        let parameters = [("cores", beside.to_owned()), ("balls", balls.to_string())];
        Run {
            name: format!("mesh round trip, {beside} cores, {balls} in flight"),
            scenario: "mesh".into(),
            subject: Subject::Machine,
            parameters: parameters.into_iter().map(|(key, value)| (key.into(), value)).collect(),
            ..Run::default()
        }
    }

    fn round(&mut self) -> Result<Round> {
        round(&self.game, self.length)
    }
}

fn start(game: &Game, remotes: &[Arc<Remote<Start>>; 2]) -> Result<Cores> {
    let doorbells: Vec<_> = remotes.iter().map(|remote| remote.doorbell().clone()).collect();
    let ends = mesh::ends(&doorbells, LANES);
    let cores = ends.into_iter().zip(remotes).enumerate().map(|(shard, (ends, remote))| {
        let beside = game.beside;
        Core {
            pin: game.cores.map_or(Pin::Anywhere, |cores| Pin::Cpu(cores[shard])),
            limits: Limits::default(),
            listeners: Vec::new(),
            ends,
            remote: remote.clone(),
            driver: Box::new(move || Player { beside, awake: false, game: None }),
        }
    });
    Ok(Cores::start(cores.collect())?)
}

fn play(first: &Remote<Start>, balls: usize, length: Duration) -> Result<Score> {
    let (answer, score): (_, Receiver<Score>) = channel();
    first.push(Start { balls, length, answer }).map_err(|_| anyhow!("the core takes no start"))?;
    score.recv_timeout(length + PATIENCE).context("the game does not end")
}

/// What the first player is told.
struct Start {
    balls: usize,
    length: Duration,
    answer: Sender<Score>,
}

struct Score {
    round_trip_ns: Histogram<u64>,
    elapsed: Duration,
}

/// What crosses.
enum Item {
    Ball {
        served: Instant,
    },
    /// To oneself, again and again.
    Awake,
}

/// The game, at the player who serves.
struct Running {
    begun: Instant,
    start: Start,
    round_trip_ns: Histogram<u64>,
    in_flight: usize,
}

struct Player {
    beside: Beside,
    /// An item of this player's own is on its way to itself.
    awake: bool,
    game: Option<Running>,
}

impl Player {
    fn send(io: &mut Io<Item>, to: u16, item: Item) {
        assert!(io.mesh.send(to, Lane::Control, item).is_ok(), "the lane has room for all balls");
    }

    fn keep_awake(&mut self, io: &mut Io<Item>) {
        if self.beside == Beside::Busy && !self.awake {
            self.awake = true;
            Self::send(io, io.mesh.index(), Item::Awake);
        }
    }

    /// The ball is back at who served it.
    fn on_return(&mut self, io: &mut Io<Item>, served: Instant) {
        let game = self.game.as_mut().expect("a ball is in flight");
        let now = Instant::now();
        game.round_trip_ns.saturating_record(now.duration_since(served).as_nanos() as u64);
        if now.duration_since(game.begun) < game.start.length {
            Self::send(io, 1, Item::Ball { served: now });
            return;
        }
        game.in_flight -= 1;
        if game.in_flight == 0 {
            let Running { begun, start, round_trip_ns, .. } = self.game.take().expect("as above");
            let elapsed = now.duration_since(begun);
            // Whoever asked has given up.
            let _ = start.answer.send(Score { round_trip_ns, elapsed });
        }
    }
}

impl Driver for Player {
    type Item = Item;
    type Foreign = Start;

    fn on_foreign(&mut self, io: &mut Io<Item>, start: Start) {
        let begun = Instant::now();
        for _ in 0..start.balls {
            Self::send(io, 1, Item::Ball { served: begun });
        }
        self.game = Some(Running { begun, in_flight: start.balls, start, round_trip_ns: histogram() });
        self.keep_awake(io);
    }

    fn on_mesh(&mut self, io: &mut Io<Item>, _: u16, _: Lane, item: Item) {
        match item {
            Item::Ball { served } if io.mesh.index() == 0 => self.on_return(io, served),
            Item::Ball { served } => {
                Self::send(io, 0, Item::Ball { served });
                self.keep_awake(io);
            }
            Item::Awake => {
                self.awake = false;
                self.keep_awake(io);
            }
        }
    }

    fn on_stop(&mut self, _: &mut Io<Item>) {
        self.beside = Beside::Idle;
    }

    fn is_done(&self) -> bool {
        true
    }

    fn next_deadline(&self) -> Option<Instant> {
        None
    }

    // Nobody connects.
    fn on_opened(&mut self, _: &mut Io<Item>, _: ConnectionId, _: &ConnectionInfo) {}
    fn on_frame(&mut self, _: &mut Io<Item>, _: ConnectionId, _: &[u8]) {}
    fn on_frame_too_long(&mut self, _: &mut Io<Item>, _: ConnectionId, _: usize) {}
    fn on_closed(&mut self, _: &mut Io<Item>, _: ConnectionId, _: CloseReason) {}
    fn on_overflowed(&mut self, _: &mut Io<Item>, _: ConnectionId) {}
    fn on_drained(&mut self, _: &mut Io<Item>, _: ConnectionId) {}
    fn on_left(&mut self, _: &mut Io<Item>, _: ConnectionId, _: Hand) {}
    fn on_deadline(&mut self, _: &mut Io<Item>) {}
    fn on_turn_end(&mut self, _: &mut Io<Item>) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ball_comes_back_busy_and_idle() {
        for (beside, balls) in [(Beside::Idle, 1), (Beside::Busy, 1), (Beside::Busy, 100)] {
            let game = Game { cores: None, beside, balls };
            // A game that is over at once: each ball is served once.
            let round = round(&game, Duration::ZERO).unwrap();
            assert_eq!(round.latencies["round_trip"].count, balls as u64, "{beside:?}");
            assert!(round.values["round_trips_per_s"] > 0.0);
        }
    }
}
