//! Line mode, for scripts: each line of standard input is a message, each message from the other one a line of output.
//!
//! Output: `[SEQ] NAME: TEXT`, TEXT as [`text::for_line`] writes it; with `verbose` also `acked SEQ` for each own message
//! that is on the node's disk. Everything else goes to standard error. At the end of input it waits until all messages
//! are acknowledged, or were not answered for 10 s: then it says so and exits as for a message that was not sent.
//!
//! Own messages are sent exactly once, however the program ends. Output goes on where the last run stopped; a run that was
//! killed may have printed a few lines that it could not note, and they are printed once more.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use wire::message::BodyKind;
use wire::name::UserName;
use wire::{ConversationId, UserId};

use super::options::{ChatOptions, Exit, Stop};
use super::signals::Signals;
use super::{acts, find, start, text};
use crate::client::{Body, Client, To};
use crate::error::Error;
use crate::event::{Connection, Event, Events};
use crate::send::{Ack, SendHandle, SendState};
use crate::store::HistoryItem;

/// Lines read ahead of what is sent.
const LINES_MAX: usize = 64;

/// A decided send.
type Decision = Result<Result<Ack, String>, Error>;

pub struct Lines<'a> {
    options: &'a ChatOptions,
    client: &'a Client,
    me: UserId,
    peer_name: String,
    conversation: ConversationId,
    /// Printed up to this seq; `None` until it is known where to begin.
    printed: Option<u64>,
    waiting: JoinSet<(u64, Decision)>,
    undecided: BTreeMap<u64, SendHandle>,
    /// The connection was lost and is not back.
    was_lost: bool,
    exit: Exit,
}

/// Runs until the input ends and everything is acknowledged, or it cannot go on.
pub async fn run(
    client: &Client,
    options: &ChatOptions,
    events: Events,
    signals: &mut Signals,
) -> Result<Exit, Stop> {
    let me = client.me().ok_or_else(|| Stop::new(Exit::Login, "not logged in"))?;
    let name = options.peer.as_deref().ok_or_else(|| Stop::usage("give --peer NAME"))?;
    let name =
        UserName::parse(name).map_err(|error| Stop::usage(format!("`{name}` is not a name: {error}")))?;
    let peer = client.find_user(&name).await.map_err(|error| match error {
        error if find::is_unknown(&error) => Stop::new(Exit::Peer, format!("there is no user `{name}`")),
        error => start::stop(error, Exit::Connect),
    })?;
    if peer.deleted {
        return Err(Stop::new(Exit::Peer, format!("the account `{name}` was deleted")));
    }
    let peer = peer.id;
    let conversation = client.conversation_with(peer).map_err(|error| start::stop(error, Exit::Usage))?;
    let lines = Lines {
        options,
        client,
        me: me.user,
        peer_name: name.into_string(),
        conversation,
        printed: None,
        waiting: JoinSet::new(),
        undecided: BTreeMap::new(),
        was_lost: false,
        exit: Exit::Done,
    };
    lines.run(events, signals).await
}

impl Lines<'_> {
    async fn run(mut self, mut events: Events, signals: &mut Signals) -> Result<Exit, Stop> {
        for handle in self.client.undecided().await.map_err(|error| start::stop(error, Exit::NotSent))? {
            self.follow(handle); // of an earlier run
        }
        let mut input = read_input();
        let mut ended = false;
        let mut deadline = None;
        loop {
            if ended && self.undecided.values().all(|send| send.state() == SendState::Unanswered) {
                return self.end();
            }
            tokio::select! {
                line = input.recv(), if !ended && self.has_room() => match line {
                    Some(line) => self.send(line).await?,
                    None => {
                        ended = true;
                        deadline = self.options.give_up_after.map(|wait| tokio::time::Instant::now() + wait);
                    }
                },
                Some(decision) = self.waiting.join_next() => {
                    let (counter, decision) = decision.expect("following a send does not panic");
                    self.undecided.remove(&counter);
                    self.on_decided(decision)?;
                }
                event = events.next() => match event {
                    Some(event) => self.on_event(event).await?,
                    None => return Err(Stop::new(Exit::Folder, "the client ended")),
                },
                exit = signals.next() => return Ok(exit),
                () = sleep_until(deadline) => {
                    let left = self.waiting.len();
                    return Err(Stop::new(Exit::NotSent, format!("{left} messages are not acknowledged yet")));
                }
            }
        }
    }

    /// The client keeps more, but then a script that writes without end would fill the disk.
    fn has_room(&self) -> bool {
        self.waiting.len() < wire::client::OUTGOING_MAX / 2
    }

    async fn send(&mut self, line: Result<String, String>) -> Result<(), Stop> {
        let line = match line {
            Ok(line) if line.is_empty() => return Ok(()),
            Ok(line) => line,
            Err(reason) => {
                self.complain(&reason);
                return Ok(());
            }
        };
        match self.client.send(To::Conversation(self.conversation), Body::Text(line)).await {
            Ok(handle) => self.follow(handle),
            Err(Error::Misuse(reason)) => self.complain(reason),
            Err(error) => return Err(start::stop(error, Exit::NotSent)),
        }
        Ok(())
    }

    fn follow(&mut self, mut handle: SendHandle) {
        self.undecided.insert(handle.counter(), handle.clone());
        self.waiting.spawn(async move { (handle.counter(), handle.decided().await) });
    }

    /// All is said, and every message is decided or stays without an answer.
    fn end(&self) -> Result<Exit, Stop> {
        match self.undecided.len() {
            0 => Ok(self.exit),
            left => Err(Stop::new(Exit::NotSent, format!("{left} messages were sent and not answered"))),
        }
    }

    fn complain(&mut self, reason: &str) {
        eprintln!("ringtalk: not sent: {}", text::for_line(reason));
        self.exit = Exit::NotSent;
    }

    fn on_decided(&mut self, decision: Decision) -> Result<(), Stop> {
        match decision {
            Ok(Ok(ack)) if self.options.verbose => print(&format!("acked {}", ack.seq)),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(reason)) => {
                self.complain(&reason);
                Ok(())
            }
            Err(error) => Err(start::stop(error, Exit::NotSent)),
        }
    }

    async fn on_event(&mut self, event: Event) -> Result<(), Stop> {
        match event {
            Event::CaughtUp | Event::Missed => self.print_new().await?,
            Event::Message { conversation, .. } | Event::Gap { conversation, .. }
                if conversation == self.conversation && self.printed.is_some() =>
            {
                self.print_new().await?;
            }
            Event::SendUnanswered { .. } => {
                eprintln!("ringtalk: a message was sent and not answered: perhaps the two are no contacts");
            }
            Event::CertificateRemembered { address, fingerprint } => {
                eprintln!("ringtalk: the certificate of {address} is remembered: {fingerprint}");
            }
            Event::Connection(Connection::Waiting { delay, reason }) => {
                self.was_lost = true;
                let reason = text::for_line(&reason);
                eprintln!("ringtalk: {reason}; reconnecting in {} ms", delay.as_millis());
            }
            Event::Connection(Connection::Online { .. }) if self.was_lost => {
                self.was_lost = false;
                eprintln!("ringtalk: connected again");
            }
            Event::Connection(Connection::Stopped { cause, reason }) => {
                return Err(Stop::new(start::exit_of(cause), reason));
            }
            Event::Connection(Connection::LoginNeeded { refused }) => {
                let reason =
                    refused.map_or("the session has expired: log in again".into(), |no| no.to_string());
                return Err(Stop::new(Exit::Login, reason));
            }
            _ => {}
        }
        Ok(())
    }

    /// Prints what is in the store and not yet printed, then marks it as read: the next start goes on from there. A first
    /// start on this device begins behind what was read on others.
    async fn print_new(&mut self) -> Result<(), Stop> {
        let failed = |error| start::stop(error, Exit::Folder);
        let conversations = self.client.conversations().await.map_err(failed)?;
        let Some(info) = conversations.iter().find(|info| info.state.conversation == self.conversation)
        else {
            self.printed.get_or_insert(0);
            return Ok(());
        };
        let begin = if info.state.read_wanted > 0 { info.state.read_wanted } else { info.state.read.seq };
        let printed = *self.printed.get_or_insert(begin);
        let applied = info.state.applied.seq;
        let count = applied.saturating_sub(printed) as usize;
        // Up to what was applied then: more may be there by now, and counting from the newest would leave out the oldest.
        let history =
            self.client.history(self.conversation, Some(applied + 1), count).await.map_err(failed)?;
        for item in history.items {
            match item {
                HistoryItem::Entry(entry) if entry.place.seq <= printed => {}
                HistoryItem::Entry(entry) => {
                    if entry.sender != self.me {
                        let body = match (entry.body_kind, std::str::from_utf8(&entry.body)) {
                            (BodyKind::Text, Ok(_)) => text::for_line(&acts::told(&entry)),
                            _ => format!("(opaque, {} bytes)", entry.body.len()),
                        };
                        print(&format!("[{}] {}: {body}", entry.place.seq, self.peer_name))?;
                    }
                    self.printed = Some(entry.place.seq);
                }
                HistoryItem::Gap(range) if range.to > printed => {
                    eprintln!("ringtalk: messages {} to {} are not there any more", range.from, range.to);
                    self.printed = Some(range.to);
                }
                HistoryItem::Gap(_) => {}
            }
        }
        let seq = self.printed.unwrap_or(0);
        self.client.mark_read(self.conversation, seq).await.map_err(failed)
    }
}

/// One line of output, written at once.
fn print(line: &str) -> Result<(), Stop> {
    let mut out = std::io::stdout().lock();
    let written = writeln!(out, "{line}").and_then(|()| out.flush());
    written.map_err(|error| Stop::usage(format!("cannot write the output: {error}")))
}

/// Lines of standard input, without their ends; an error line is told and skipped.
fn read_input() -> mpsc::Receiver<Result<String, String>> {
    let (sender, receiver) = mpsc::channel(LINES_MAX);
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        loop {
            let mut line = Vec::new();
            match input.read_until(b'\n', &mut line) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) => {
                    let _ = sender.blocking_send(Err(format!("cannot read the input: {error}")));
                    return;
                }
            }
            while matches!(line.last(), Some(b'\n' | b'\r')) {
                line.pop();
            }
            let line = String::from_utf8(line).map_err(|_| "the line is not UTF-8".to_owned());
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
