//! The log of one conversation, entry by entry, against what else is told about it.

use std::collections::HashMap;

use wire::{ConversationId, DeviceId, UserId};

use super::Findings;
use super::across::Across;
use crate::entry::{Entry, KIND_MESSAGE};
use crate::records::*;

/// What other tables say about a log.
#[derive(Default)]
pub(super) struct Told {
    pub checkpoint: Option<Checkpoint>,
    pub marks: Vec<(UserId, Marks)>,
    pub sends: Vec<(UserId, DeviceId, RememberedSend)>,
}

pub(super) struct LogCheck {
    conversation: ConversationId,
    checkpoint: Option<Checkpoint>,
    marks: Vec<(UserId, Marks)>,
    /// By falling seq: the next one to come is the last.
    sends: Vec<(UserId, DeviceId, RememberedSend)>,
    head: Place,
    /// The last counter of each device.
    counters: HashMap<(u64, u32), u64>,
    findings: Vec<String>,
}

impl LogCheck {
    pub fn new(conversation: ConversationId, told: Told) -> Self {
        let Told { checkpoint, marks, mut sends } = told;
        sends.sort_by_key(|(.., send)| std::cmp::Reverse(send.place.seq));
        Self {
            conversation,
            checkpoint,
            marks,
            sends,
            head: Place::default(),
            counters: HashMap::new(),
            findings: Vec::new(),
        }
    }

    pub fn conversation(&self) -> ConversationId {
        self.conversation
    }

    pub fn add(&mut self, seq: u64, entry: &Entry) -> Result<(), String> {
        let before = std::mem::replace(&mut self.head, Place { seq, ord: entry.ord });
        self.compare(seq, entry);
        // Nothing removes entries yet, so a log begins at 1 and has no holes.
        if seq != before.seq + 1 {
            return Err(format!("seq {seq} follows seq {}", before.seq));
        }
        let counted = u64::from(entry.kind == KIND_MESSAGE);
        if entry.ord != before.ord + counted {
            return Err(format!("ord {} at seq {seq} follows ord {}", entry.ord, before.ord));
        }
        if entry.sender == UserId::SYSTEM.0 {
            return Ok(()); // its counters do not rise
        }
        let last = self.counters.entry((entry.sender, entry.device)).or_default();
        if entry.counter <= *last {
            let what = format!("counter {} at seq {seq} follows {last}", entry.counter);
            return Err(format!("device {} of user {}: {what}", entry.device, entry.sender));
        }
        *last = entry.counter;
        Ok(())
    }

    /// What was told about this seq.
    fn compare(&mut self, seq: u64, entry: &Entry) {
        for (user, marks) in &self.marks {
            for place in [marks.delivered, marks.read] {
                if place.seq == seq && place.ord != entry.ord {
                    let what = format!(
                        "a mark of {user:?} at seq {seq} has ord {}, the entry {}",
                        place.ord, entry.ord
                    );
                    self.findings.push(what);
                }
            }
        }
        if let Some(checkpoint) = self.checkpoint.filter(|checkpoint| checkpoint.head.seq == seq) {
            if checkpoint.head.ord != entry.ord || checkpoint.time_ms != entry.time_ms {
                self.findings.push(format!("the checkpoint and the entry at seq {seq} differ"));
            }
            self.checkpoint = None;
        }
        while let Some((user, device, send)) = self.sends.pop_if(|(.., send)| send.place.seq <= seq) {
            let stored = RememberedSend {
                counter: entry.counter,
                hash: entry.hash,
                place: Place { seq, ord: entry.ord },
                time_ms: entry.time_ms,
            };
            if send != stored || user.0 != entry.sender || device.0 != entry.device {
                let what = format!("the remembered send {} of device {} of {user:?}", send.counter, device.0);
                self.findings.push(format!("{what} is not the entry at seq {}", send.place.seq));
            }
        }
    }

    pub fn end(mut self, findings: &mut Findings, across: &mut Across) {
        let head = self.head;
        if let Some(checkpoint) = self.checkpoint.filter(|checkpoint| checkpoint.head.seq > 0) {
            self.findings
                .push(format!("the checkpoint is at seq {}, the head at {}", checkpoint.head.seq, head.seq));
        }
        for (user, device, send) in &self.sends {
            let what = format!("the remembered send {} of device {} of {user:?}", send.counter, device.0);
            self.findings.push(format!("{what} is at seq {}, the head at {}", send.place.seq, head.seq));
        }
        for (user, marks) in &self.marks {
            let highest = marks.delivered.max(marks.read);
            if highest.seq > head.seq || marks.delivered.ord.max(marks.read.ord) > head.ord {
                self.findings
                    .push(format!("a mark of {user:?} is at seq {}, the head at {}", highest.seq, head.seq));
            }
        }
        for what in self.findings {
            findings.add(format!("{:?}: {what}", self.conversation));
        }
        for (user, marks) in self.marks {
            across.add_marks(user, self.conversation, marks);
        }
        if head.seq > 0 {
            across.add_log(self.conversation, head);
            for ((user, device), _) in self.counters {
                across.add_device(UserId(user), self.conversation, device);
            }
        }
    }
}
