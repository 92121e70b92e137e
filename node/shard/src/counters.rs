//! What happened on this shard, counted. Every drop and every refusal has a counter.
//!
//! A counter is a plain number that the shard adds to; whoever wants to know asks for all of them
//! ([`crate::admin::AdminRequest::Stats`]).

use std::collections::BTreeMap;

use wire::Refusal;

use crate::input::CloseReason;

/// How a figure moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FigureKind {
    /// Only rises, from 0 at the start of the node.
    Total,
    /// Goes up and down.
    Level,
}

/// One figure of [`Counters`].
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// Stable, without prefix or suffix of the place where it is shown.
    pub name: &'static str,
    pub help: &'static str,
    pub kind: FigureKind,
    pub value: fn(&Counters) -> u64,
}

macro_rules! counters {
    ($($(#[doc = $help:literal])+ $field:ident $kind:ident $name:literal;)+) => {
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[doc = $help])+ pub $field: u64,)+
            refusals: BTreeMap<u16, u64>,
            closes: BTreeMap<CloseReason, u64>,
        }

        /// All figures without a label.
        pub const FIGURES: &[Figure] = &[$(Figure {
            name: $name,
            help: concat!($($help),+).trim_ascii(),
            kind: FigureKind::$kind,
            value: |counters| counters.$field,
        },)+];
    };
}

counters! {
    /// Messages of people who may not write to each other, dropped without an answer.
    turned_away Total "messages_turned_away";
    /// Connections with a session, at the end of the last turn.
    sessions Level "sessions";
    /// Connections, whether logged in, not yet logged in or closing, at the end of the last turn.
    connections Level "connections";
    /// Connections that have not logged in, at the end of the last turn.
    unauthenticated Level "connections_unauthenticated";
    /// Whole frames received.
    frames_in Total "frames_received";
    /// Whole frames queued for clients.
    frames_out Total "frames_sent";
    /// Messages accepted: on disk, each counted once, and acknowledged.
    messages Total "messages_accepted";
    /// Sends that repeated one taken before, answered as the first time.
    duplicates Total "messages_repeated";
    /// Messages sent to sessions, other devices of the sender included.
    deliveries Total "messages_delivered";
    /// Pushes: what one turn has for a session that did not ask for it.
    pushes Total "pushes";
    /// Pushes not sent since their session was gone or read too slowly; it is told to sync.
    pushes_dropped Total "pushes_dropped";
    /// Pushes that found no room towards a session's shard; the session is told in short later.
    pushes_missed Total "pushes_missed";
    /// Times that a session read so slowly that its events were dropped.
    slow_readers Total "slow_readers";
    /// Sessions told to sync.
    syncs_needed Total "syncs_needed";
    /// Frames to other shards that found no credit in the delivery lane.
    lane_full Total "lane_without_credit";
    /// Batches handed to the committers.
    batches Total "batches";
    /// Reads asked of the store.
    loads Total "loads";
    /// Logins with a password.
    logins Total "logins";
    /// Sessions resumed with a ticket.
    resumes Total "resumes";
    /// Connections that moved to another shard when they logged in.
    handoffs Total "handoffs";
    /// Frames that came for a connection that was closing.
    late_frames Total "late_frames";
    /// Answers of commands whose session was gone.
    late_answers Total "late_answers";
    /// Conversations in memory.
    conversations Level "conversations_cached";
    /// Lists of users in memory.
    lists Level "lists_cached";
    /// Changes of states told to users: one per user, contact and change, or fewer where they came together.
    presence_events Total "presence_events";
    /// States that were not told to another shard, since too many waited: all of that shard's are exchanged anew.
    presence_lost Total "presence_lost";
    /// Changes that other homes have not confirmed.
    outbox Level "outbox_changes";
}

impl Counters {
    pub fn refused(&mut self, refusal: Refusal) {
        *self.refusals.entry(refusal.code()).or_default() += 1;
    }

    pub fn closed(&mut self, reason: CloseReason) {
        *self.closes.entry(reason).or_default() += 1;
    }

    /// Every refusal by its stable name, those never used included.
    pub fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let count = |refusal: &Refusal| self.refusals.get(&refusal.code()).copied().unwrap_or(0);
        Refusal::ALL.iter().map(move |refusal| (refusal.name(), count(refusal)))
    }

    /// Every reason for which the shard closes connections, those never used included.
    pub fn closes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let count = |reason: &CloseReason| self.closes.get(reason).copied().unwrap_or(0);
        CloseReason::ALL.iter().map(move |reason| (reason.name(), count(reason)))
    }

    /// All of them with their names; of refusals and reasons those that happened.
    pub fn lines(&self) -> Vec<(String, u64)> {
        let plain = FIGURES.iter().map(|figure| (figure.name.to_owned(), (figure.value)(self)));
        let refusals = self.refusals().map(|(name, count)| (format!("refused.{name}"), count));
        let closes = self.closes().map(|(name, count)| (format!("closed.{name}"), count));
        plain.chain(refusals.chain(closes).filter(|(_, count)| *count > 0)).collect()
    }
}

impl CloseReason {
    pub const ALL: [CloseReason; 11] = [
        CloseReason::UnsupportedVersion,
        CloseReason::FrameTooLong,
        CloseReason::Malformed,
        CloseReason::LoginTimeout,
        CloseReason::Idle,
        CloseReason::TooManyFailures,
        CloseReason::TooManyFromAddress,
        CloseReason::TooManyConnections,
        CloseReason::LoggedOut,
        CloseReason::SessionEnded,
        CloseReason::Stopping,
    ];

    /// Stable name for metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            CloseReason::UnsupportedVersion => "unsupported_version",
            CloseReason::FrameTooLong => "frame_too_long",
            CloseReason::Malformed => "malformed",
            CloseReason::LoginTimeout => "login_timeout",
            CloseReason::Idle => "idle",
            CloseReason::TooManyFailures => "too_many_failures",
            CloseReason::TooManyFromAddress => "too_many_from_address",
            CloseReason::TooManyConnections => "too_many_connections",
            CloseReason::LoggedOut => "logged_out",
            CloseReason::SessionEnded => "session_ended",
            CloseReason::Stopping => "stopping",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_and_refusal_is_told_under_a_name_of_its_own() {
        let mut counters = Counters::default();
        CloseReason::ALL.iter().for_each(|reason| counters.closed(*reason));
        assert_eq!(counters.closes.len(), CloseReason::ALL.len(), "one is listed twice");
        counters.refused(Refusal::Busy);
        let mut names: Vec<_> = counters.lines().into_iter().map(|(name, _)| name).collect();
        assert!(names.contains(&"refused.busy".to_owned()));
        assert_eq!(names.len(), FIGURES.len() + CloseReason::ALL.len() + 1);
        names.sort();
        names.dedup();
        assert_eq!(names.len(), FIGURES.len() + CloseReason::ALL.len() + 1, "two have the same name");
        assert_eq!(counters.refusals().map(|(_, count)| count).sum::<u64>(), 1);
    }
}
