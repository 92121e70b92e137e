//! What was acknowledged, on disk.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use wire::ConversationId;

/// One acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    pub conversation: ConversationId,
    pub device: usize,
    pub n: u64,
    pub seq: u64,
}

/// Lines count once they are synced.
#[derive(Debug)]
pub struct Ledger {
    sender: mpsc::Sender<Line>,
    synced: Arc<Mutex<Vec<Line>>>,
    count: Arc<AtomicU64>,
    failures: Mutex<Vec<String>>,
}

impl Ledger {
    pub fn create(path: &Path) -> Result<Self, String> {
        let mut file = File::create(path).map_err(|error| error.to_string())?;
        let (sender, receiver) = mpsc::channel::<Line>();
        let (synced, count) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicU64::new(0)));
        let (lines, counted) = (synced.clone(), count.clone());
        std::thread::spawn(move || {
            while let Ok(first) = receiver.recv() {
                let batch: Vec<Line> = std::iter::once(first).chain(receiver.try_iter()).collect();
                for line in &batch {
                    writeln!(file, "{:?} {} {} {}", line.conversation, line.device, line.n, line.seq)
                        .expect("a ledger");
                }
                file.sync_data().expect("a ledger on disk");
                lines.lock().expect("the lines").extend(&batch);
                counted.fetch_add(batch.len() as u64, Ordering::SeqCst);
            }
        });
        Ok(Self { sender, synced, count, failures: Mutex::new(Vec::new()) })
    }

    pub fn acked(&self, conversation: ConversationId, device: usize, n: u64, seq: u64) {
        self.sender.send(Line { conversation, device, n, seq }).expect("the writer lives");
    }

    /// A send that the client gave up, which none of these may be.
    pub fn failed(&self, what: String) {
        self.failures.lock().expect("the failures").push(what);
    }

    pub fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    pub fn all(&self) -> Vec<Line> {
        self.synced.lock().expect("the lines").clone()
    }

    pub fn failures(&self) -> Vec<String> {
        self.failures.lock().expect("the failures").clone()
    }
}
