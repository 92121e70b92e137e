//! What happened on this shard, counted. Every drop and every refusal has a counter.

use std::collections::BTreeMap;

use wire::Refusal;

use crate::input::CloseReason;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub frames_in: u64,
    pub messages: u64,
    pub duplicates: u64,
    pub pushes: u64,
    pub pushes_dropped: u64,
    /// Pushes that found no room towards a session's shard: told in short later.
    pub pushes_missed: u64,
    pub slow_readers: u64,
    pub lane_full: u64,
    pub batches: u64,
    pub loads: u64,
    pub logins: u64,
    pub resumes: u64,
    pub handoffs: u64,
    pub late_frames: u64,
    /// Answers of commands whose session was gone.
    pub late_answers: u64,
    /// At the end of the last turn.
    pub connections: u64,
    pub unauthenticated: u64,
    pub sessions: u64,
    /// In memory.
    pub conversations: u64,
    pub lists: u64,
    /// Changes that other homes have not confirmed.
    pub outbox: u64,
    refusals: BTreeMap<u16, u64>,
    closes: BTreeMap<CloseReason, u64>,
}

impl Counters {
    pub fn refused(&mut self, refusal: Refusal) {
        *self.refusals.entry(refusal.code()).or_default() += 1;
    }

    pub fn closed(&mut self, reason: CloseReason) {
        *self.closes.entry(reason).or_default() += 1;
    }

    /// All of them with their names.
    pub fn lines(&self) -> Vec<(String, u64)> {
        let plain = [
            ("frames_in", self.frames_in),
            ("messages", self.messages),
            ("duplicates", self.duplicates),
            ("pushes", self.pushes),
            ("pushes_dropped", self.pushes_dropped),
            ("pushes_missed", self.pushes_missed),
            ("slow_readers", self.slow_readers),
            ("lane_full", self.lane_full),
            ("batches", self.batches),
            ("loads", self.loads),
            ("logins", self.logins),
            ("resumes", self.resumes),
            ("handoffs", self.handoffs),
            ("late_frames", self.late_frames),
            ("late_answers", self.late_answers),
            ("connections", self.connections),
            ("unauthenticated", self.unauthenticated),
            ("sessions", self.sessions),
            ("conversations", self.conversations),
            ("lists", self.lists),
            ("outbox", self.outbox),
        ];
        let mut lines: Vec<_> = plain.map(|(name, count)| (name.to_owned(), count)).into();
        lines.extend(self.refusals.iter().map(|(code, count)| {
            let name = Refusal::from_code(*code).map_or("unknown", Refusal::name);
            (format!("refused.{name}"), *count)
        }));
        lines.extend(self.closes.iter().map(|(reason, count)| (format!("closed.{reason:?}"), *count)));
        lines
    }
}
