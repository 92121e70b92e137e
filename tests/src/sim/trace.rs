//! What happened, in order: as a hash always, as readable lines when somebody looks.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use xxhash_rust::xxh3::Xxh3;

/// Lines kept for a report.
const TAIL_LINES_MAX: usize = 80;

/// Where lines go. Shared, so that they outlive a panic of the world that wrote them.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    tail: Arc<Mutex<VecDeque<String>>>,
    print: bool,
}

impl Lines {
    /// With `print`, every line is printed at once.
    pub fn new(print: bool) -> Self {
        Self { tail: Arc::default(), print }
    }

    fn push(&self, line: String) {
        if self.print {
            println!("{line}");
        }
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        if tail.len() == TAIL_LINES_MAX {
            tail.pop_front();
        }
        tail.push_back(line);
    }

    pub fn tail(&self) -> Vec<String> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// The trace of one world.
pub struct Trace {
    hash: Xxh3,
    lines: Option<Lines>,
}

impl Trace {
    pub fn new(lines: Option<Lines>) -> Self {
        Self { hash: Xxh3::new(), lines }
    }

    /// Notes one fact: what it is made of goes into the hash, `text` is made only when lines are kept.
    pub fn note(&mut self, at_us: u64, numbers: &[u64], bytes: &[u8], text: impl FnOnce() -> String) {
        self.hash.update(&at_us.to_le_bytes());
        for number in numbers {
            self.hash.update(&number.to_le_bytes());
        }
        self.hash.update(bytes);
        if let Some(lines) = &self.lines {
            lines.push(format!("{:>12.3} ms  {}", at_us as f64 / 1_000.0, text()));
        }
    }

    /// The same for two runs of one seed.
    pub fn digest(&self) -> u64 {
        self.hash.digest()
    }
}
