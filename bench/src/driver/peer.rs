//! One client.

use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use rustls::{ClientConfig, ClientConnection};
use sha2::{Digest, Sha256};
use wire::decode::{EventBody, decode_event};
use wire::frame::Splitter;
use wire::message::{DeviceClass, Hello, LoginProof, Message, Sent};
use wire::scram::{self, ClientKeys, ClientProved, ClientStart};
use wire::{DeviceId, Encoder, UserId};

/// The same for all: they are users of a node that lives as long as the run.
const PASSWORD: &str = "bench";
const READ_LEN: usize = 64 * 1024;

/// What the scenario is told.
#[derive(Debug)]
pub enum PeerEvent {
    LoggedIn,
    Sent(Sent),
    Message(Message),
    /// Anything else, such as answers to reads.
    Other,
}

#[derive(Debug)]
enum Step {
    Hello,
    Terms,
    Registered(ClientKeys),
    Challenge(ClientKeys, Box<ClientStart>),
    Proof(Box<ClientProved>),
    LoggedIn,
}

#[derive(Debug)]
pub struct Peer {
    pub name: String,
    pub user: UserId,
    pub touched: bool,
    stream: mio::net::TcpStream,
    tls: Option<Box<ClientConnection>>,
    step: Step,
    splitter: Splitter,
    encoder: Encoder,
    output: Vec<u8>,
    written: usize,
    mechanisms: Vec<String>,
}

impl Peer {
    pub fn new(stream: mio::net::TcpStream, tls: Option<Arc<ClientConfig>>, name: String) -> Result<Self> {
        let server = rustls::pki_types::ServerName::try_from("localhost").expect("a valid name");
        let tls = match tls {
            Some(config) => Some(Box::new(ClientConnection::new(config, server)?)),
            None => None,
        };
        let mut peer = Self {
            name,
            user: UserId::NOBODY,
            touched: false,
            stream,
            tls,
            step: Step::Hello,
            splitter: Splitter::default(),
            encoder: Encoder::new(),
            output: Vec::new(),
            written: 0,
            mechanisms: Vec::new(),
        };
        let hello = Hello { version_min: 1, version_max: 1, features: 0, software: "bench" };
        let frame = peer.encoder.hello(1, &hello);
        peer.push(&frame);
        Ok(peer)
    }

    pub fn encoder(&mut self) -> &mut Encoder {
        &mut self.encoder
    }

    /// Queues a whole frame.
    pub fn push(&mut self, frame: &[u8]) {
        match &mut self.tls {
            Some(tls) => tls.writer().write_all(frame).expect("a buffer in memory"),
            None => self.output.extend_from_slice(frame),
        }
    }

    pub fn has_output(&self) -> bool {
        self.written < self.output.len() || self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Sends as much as the socket takes.
    pub fn write(&mut self) -> Result<()> {
        loop {
            if let Some(tls) = &mut self.tls {
                while tls.wants_write() {
                    tls.write_tls(&mut self.output)?;
                }
            }
            let rest = &self.output[self.written..];
            if rest.is_empty() {
                self.output.clear();
                self.written = 0;
                return Ok(());
            }
            match self.stream.write(rest) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Reads all there is and handles whole frames.
    pub fn read(&mut self, mut handle: impl FnMut(PeerEvent) -> Result<()>) -> Result<()> {
        let mut buffer = [0; READ_LEN];
        loop {
            let count = match self.stream.read(&mut buffer) {
                Ok(0) => bail!("the node closed the connection"),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            self.take(&buffer[..count])?;
            while let Some(frame) = self.splitter.next_frame(wire::limits::FRAME_LEN_MAX)? {
                self.on_frame(frame, &mut handle)?;
            }
            if count < READ_LEN {
                return Ok(());
            }
        }
    }

    fn take(&mut self, mut bytes: &[u8]) -> Result<()> {
        let Some(tls) = &mut self.tls else {
            self.splitter.push(bytes);
            return Ok(());
        };
        let mut plain = [0; READ_LEN];
        while !bytes.is_empty() {
            tls.read_tls(&mut bytes)?;
            tls.process_new_packets()?;
            loop {
                match tls.reader().read(&mut plain) {
                    Ok(0) => break,
                    Ok(count) => self.splitter.push(&plain[..count]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    fn on_frame(&mut self, frame: Bytes, handle: &mut impl FnMut(PeerEvent) -> Result<()>) -> Result<()> {
        let event = decode_event(&frame)?.event;
        if matches!(self.step, Step::LoggedIn) {
            return handle(match event {
                EventBody::Sent(sent) => PeerEvent::Sent(sent),
                EventBody::Message(message) => PeerEvent::Message(message),
                EventBody::Refused(refused) => bail!("refused: {}", refused.reason),
                _ => PeerEvent::Other,
            });
        }
        let step = std::mem::replace(&mut self.step, Step::Hello);
        let (step, frame) = match (step, event) {
            (Step::Hello, EventBody::Welcome(welcome)) => {
                self.mechanisms = welcome.mechanisms;
                (Step::Terms, self.encoder.register_start(2, &self.name))
            }
            (Step::Terms, EventBody::RegisterTerms(terms)) => {
                let keys = scram::stretch(PASSWORD, &terms.salt, terms.iterations)?;
                let credentials = keys.credentials();
                let frame =
                    self.encoder.register(3, &self.name, &credentials.stored_key, &credentials.server_key);
                (Step::Registered(keys), frame)
            }
            (Step::Registered(keys), EventBody::Registered { user }) => {
                self.user = user;
                let nonce = scram::nonce_text(&rand::random::<[u8; scram::NONCE_LEN]>());
                let (mechanism, start) =
                    ClientStart::new(&self.mechanisms, self.tls.is_some(), &self.name, nonce)?;
                let frame = self.encoder.login_start(4, mechanism.name(), start.message());
                (Step::Challenge(keys, Box::new(start)), frame)
            }
            (Step::Challenge(keys, start), EventBody::Challenge(challenge)) => {
                let proved =
                    start.handle_server_first(&challenge.server_first)?.prove(&keys, &self.binding()?);
                let proof = LoginProof {
                    client_final: proved.message(),
                    device: DeviceId(0),
                    device_name: "bench",
                    device_class: DeviceClass::Desktop,
                };
                (Step::Proof(Box::new(proved.clone())), self.encoder.login_proof(5, &proof))
            }
            (Step::Proof(proved), EventBody::LoggedIn(logged_in)) => {
                proved.handle_server_final(&logged_in.server_final)?;
                self.step = Step::LoggedIn;
                return handle(PeerEvent::LoggedIn);
            }
            (_, EventBody::Refused(refused)) => bail!("login refused: {}", refused.reason),
            (step, event) => bail!("{event:?} came while {step:?}"),
        };
        self.step = step;
        self.push(&frame);
        Ok(())
    }

    /// `tls-server-end-point` of the node's self-made certificate, which is signed with SHA-256.
    fn binding(&self) -> Result<Vec<u8>> {
        let Some(tls) = &self.tls else { return Ok(Vec::new()) };
        let certificate =
            tls.peer_certificates().and_then(|chain| chain.first()).context("no certificate")?;
        Ok(Sha256::digest(certificate).to_vec())
    }
}
