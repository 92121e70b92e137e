//! `bench limit`: the physical limits of this machine, each measured with the node's own building blocks and nothing behind
//! them, so that the node's figures can be said as ratios to them.

pub mod aead;
pub mod mesh;
pub mod relay;
pub mod sync;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use self::aead::{Aead, Cipher};
use self::mesh::{Beside, Game, Mesh};
use self::relay::{FrameLengths, RelayStart};
use self::sync::{FileKind, Sync, SyncOptions};
use crate::options::RoundOptions;
use crate::pairs::{Crowd, Mode, Pairs, Span, WINDOW_MAX};
use crate::report::model::{Run, Subject};
use crate::scenario::direct::{Direct, SharedPairs};
use crate::scenario::{Scenario, interleave};
use crate::server::pin;

/// Balls of the game that shows what a crossing costs when a turn has many.
const MANY_BALLS: usize = 1_000;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// The raw relay with acknowledgement
    Relay,
    /// Append and fdatasync
    Sync,
    /// A round trip between two cores
    Mesh,
    /// Encryption of a message's frames
    Aead,
}

#[derive(Args, Debug, Clone)]
pub struct Options {
    /// Parts to measure [default: all]
    #[arg(value_name = "PART")]
    parts: Vec<Part>,
    /// Pairs of users of the relay
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=4_000))]
    pairs: u32,
    /// Messages of one sender without an answer, for each run of the relay
    #[arg(long, default_value = "1,16", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=WINDOW_MAX as i64))]
    windows: Vec<u16>,
    /// Bytes of text per message
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(8..=64 * 1_024))]
    bytes: u32,
    /// Bytes of each append: what a commit of the node writes
    #[arg(long, default_value_t = 16_384, value_parser = clap::value_parser!(u32).range(1..=16 * 1_024 * 1_024))]
    sync_bytes: u32,
    /// Appends per second: the node's commits [default: as fast as they go]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    syncs_per_s: Option<u32>,
    /// Where files are appended to: where the node's data lies [default: the folder for temporary files]
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Core of the relay, and one end of the mesh
    #[arg(long, default_value_t = 0, value_name = "CORE")]
    server_core: usize,
    /// Core of the load, of the appends and of encryption, and the other end of the mesh
    #[arg(long, default_value_t = 1, value_name = "CORE")]
    load_core: usize,
    #[command(flatten)]
    rounds: RoundOptions,
}

/// Measures all parts, their rounds interleaved.
pub fn run(options: &Options) -> Result<Vec<Run>> {
    pin(&[options.load_core])?;
    let mut scenarios: Vec<Box<dyn Scenario>> = Vec::new();
    for part in Part::value_variants() {
        if options.parts.is_empty() || options.parts.contains(part) {
            match part {
                Part::Relay => scenarios.extend(relays(options)?),
                Part::Sync => scenarios.extend(syncs(options)?),
                Part::Mesh => {
                    scenarios
                        .extend(games([options.server_core, options.load_core], options.rounds.length()));
                }
                Part::Aead => scenarios.extend(aeads(options.bytes, options.rounds.length())?),
            }
        }
    }
    interleave(&mut scenarios, options.rounds.rounds)
}

/// A relay with its pairs introduced. This thread must be on the load's core by now.
pub fn relay_pairs(start: &RelayStart, crowd: Crowd) -> Result<SharedPairs> {
    let pairs = Pairs::new(relay::start(start)?, Subject::Relay, start.tls, crowd)?;
    Ok(SharedPairs::new(pairs.into()))
}

fn relays(options: &Options) -> Result<Vec<Box<dyn Scenario>>> {
    let mut scenarios: Vec<Box<dyn Scenario>> = Vec::new();
    for tls in [false, true] {
        let start = RelayStart { program: None, core: options.server_core, tls };
        let crowd = Crowd { pairs: options.pairs, idle: 0, bytes: options.bytes };
        let pairs = relay_pairs(&start, crowd)?;
        for window in &options.windows {
            let (mode, span) = (Mode::Window(*window), Span::Time(options.rounds.length()));
            scenarios.push(Box::new(Direct { pairs: pairs.clone(), mode, span, tls }));
        }
    }
    Ok(scenarios)
}

fn syncs(options: &Options) -> Result<Vec<Box<dyn Scenario>>> {
    let folder = options.folder.clone().unwrap_or_else(std::env::temp_dir);
    let sync = |file: &FileKind| -> Result<Box<dyn Scenario>> {
        let sync = SyncOptions {
            bytes: options.sync_bytes as usize,
            file: *file,
            per_s: options.syncs_per_s.map(f64::from),
        };
        Ok(Box::new(Sync::new(&folder, sync, options.rounds.length())?))
    };
    FileKind::value_variants().iter().map(sync).collect()
}

/// Round trips between two cores.
pub fn games(cores: [usize; 2], length: Duration) -> Vec<Box<dyn Scenario>> {
    let game = |(beside, balls)| -> Box<dyn Scenario> {
        Box::new(Mesh { game: Game { cores: Some(cores), beside, balls }, length })
    };
    [(Beside::Idle, 1), (Beside::Busy, 1), (Beside::Busy, MANY_BALLS)].map(game).into()
}

/// Encryption of the frames of a message with a text of so many bytes.
pub fn aeads(text_len: u32, length: Duration) -> Result<Vec<Box<dyn Scenario>>> {
    let frames = FrameLengths::of_text(text_len as usize).context("frames of that length")?;
    let aead = |cipher: &Cipher| -> Box<dyn Scenario> {
        Box::new(Aead { cipher: *cipher, frames, text_len, length })
    };
    Ok(Cipher::value_variants().iter().map(aead).collect())
}
