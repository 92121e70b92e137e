//! One client.

use anyhow::{Context, Result, bail};
use wire::decode::{EventBody, decode_event};
use wire::presence::Presence;
use wire::{Encoder, Event, body, frame, verified};

use super::entrance::{Account, Entrance, Progress, Step, Surroundings};
use super::link::{Buffers, Link};

/// Bytes at the beginning of a message's body that hold its stamp.
pub const STAMP_LEN: usize = 8;

/// What the scenario is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerEvent {
    /// It is where its entrance was to lead.
    Entered,
    /// A send was acknowledged.
    Sent { counter: u64 },
    /// A message came; `stamp` is the beginning of its body, 0 if it is shorter.
    Message { seq: u64, stamp: u64 },
    /// Contacts are what they are now.
    Presence(Vec<Presence>),
    /// So many pairs of an operator's command are contacts, and so many cannot be.
    Related { request: u32, done: u32, refused: u32 },
    /// The node has no room for a command now.
    Busy { request: u32 },
    /// Its session is over, as it wished.
    LoggedOut,
    /// Anything else, such as answers to reads.
    Other,
}

#[derive(Debug)]
pub struct Peer {
    pub account: Account,
    /// It is in the driver's list of those with output.
    pub(super) touched: bool,
    connection: Option<Connection>,
}

#[derive(Debug)]
struct Connection {
    link: Link,
    step: Step,
}

impl Peer {
    pub(super) fn new(account: Account) -> Self {
        Self { account, touched: false, connection: None }
    }

    pub fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    pub(super) fn begin(&mut self, mut link: Link, entrance: Entrance, encoder: &mut Encoder) -> Result<()> {
        self.cut();
        let (step, frame) = Step::first(entrance, &mut self.account, encoder);
        link.push(&frame);
        self.connection = Some(Connection { link, step });
        Ok(())
    }

    pub(super) fn cut(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.link.cut();
        }
    }

    pub(super) fn push(&mut self, frame: &[u8]) {
        let connection = self.connection.as_mut().expect("only connected clients send");
        connection.link.push(frame);
    }

    pub(super) fn has_output(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.link.has_output())
    }

    pub(super) fn write(&mut self) -> Result<()> {
        match &mut self.connection {
            Some(connection) => connection.link.write(),
            None => Ok(()),
        }
    }

    /// Reads all there is and handles whole frames. An event of a connection that was cut meanwhile finds nothing to read.
    pub(super) fn read(
        &mut self,
        buffers: &mut Buffers,
        encoder: &mut Encoder,
        mut handle: impl FnMut(PeerEvent) -> Result<()>,
    ) -> Result<()> {
        let Some(Connection { link, step }) = &mut self.connection else { return Ok(()) };
        if matches!(step, Step::Inside) {
            return link.read(buffers, |frame| handle(inside(frame)?));
        }
        let (account, mut frames) = (&mut self.account, Vec::new());
        link.read(buffers, |frame| {
            frames.push(frame.to_vec());
            Ok(())
        })?;
        for frame in frames {
            if matches!(step, Step::Inside) {
                handle(inside(&frame)?)?;
                continue;
            }
            let event = decode_event(&frame)?.event;
            let around = Surroundings {
                account,
                encoder,
                encrypted: link.is_encrypted(),
                binding: &|| link.binding(),
            };
            match step.on_event(event, around)? {
                Progress::Say(frame) => link.push(&frame),
                Progress::Entered => handle(PeerEvent::Entered)?,
            }
        }
        Ok(())
    }
}

/// Reads what the load is about in place; the rest is decoded.
fn inside(bytes: &[u8]) -> Result<PeerEvent> {
    let (header, rest) = frame::split(bytes)?;
    Ok(match Event::from_id(header.id) {
        Some(Event::Sent) => PeerEvent::Sent { counter: verified::view::<body::Sent>(rest)?.counter() },
        Some(Event::Message) => {
            let view = verified::view::<body::Message>(rest)?;
            let entry = view.entry().context("a message without its entry")?;
            let text = entry.body().map(|body| body.bytes()).unwrap_or_default();
            let stamp = text.first_chunk::<STAMP_LEN>().map_or(0, |stamp| u64::from_le_bytes(*stamp));
            PeerEvent::Message { seq: entry.seq(), stamp }
        }
        _ => match decode_event(bytes)?.event {
            EventBody::Refused(refused) if refused.code == wire::Refusal::Busy.code() => {
                PeerEvent::Busy { request: header.request }
            }
            EventBody::Refused(refused) => bail!("refused: {}", refused.reason),
            EventBody::Closing(closing) => bail!("the node closes: {}", closing.reason),
            EventBody::PresenceChanged(contacts) => PeerEvent::Presence(contacts),
            EventBody::PresenceSynced(synced) => PeerEvent::Presence(synced.contacts),
            EventBody::PairsRelated(related) => PeerEvent::Related {
                request: header.request,
                done: related.changed + related.unchanged,
                refused: related.refused,
            },
            EventBody::LoggedOut => PeerEvent::LoggedOut,
            _ => PeerEvent::Other,
        },
    })
}
