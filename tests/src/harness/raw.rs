//! A bare client: blocking, without a store, without a state machine. It can also do what a client must not.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustls::{ClientConnection, StreamOwned};
use sha2::{Digest, Sha256};
use wire::decode::{EventBody, EventFrame, decode_event};
use wire::frame::Splitter;
use wire::message::{BodyKind, DeviceClass, Hello, LoggedIn, LoginProof, Pull, Pulled, Send, Welcome};
use wire::scram::{self, ClientStart};
use wire::{ConversationId, DeviceId, Encoder, UserId};

/// How long an answer may take before the test fails.
const ANSWER_MAX: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    Plain,
    Tls,
    /// TLS of which each byte is a packet of its own.
    TlsByteByByte,
}

/// Writes one byte at a time.
struct ByteByByte(TcpStream);

impl Read for ByteByByte {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for ByteByByte {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(&bytes[..bytes.len().min(1)])
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

trait Stream: Read + Write + std::marker::Send {}
impl<T: Read + Write + std::marker::Send> Stream for T {}

pub struct RawClient {
    stream: Box<dyn Stream>,
    /// The same socket, to set time limits and to shut it down.
    pub socket: TcpStream,
    /// `tls-server-end-point`; empty on plain connections.
    pub binding: Vec<u8>,
    pub encoder: Encoder,
    splitter: Splitter,
    /// Events that came while an answer was waited for.
    pub events: Vec<EventBody>,
    request: u32,
    pub mechanisms: Vec<String>,
    pub user: UserId,
}

impl RawClient {
    /// Connects, without a first frame.
    pub fn connect(address: SocketAddr, protection: Protection) -> Self {
        Self::over(TcpStream::connect(address).expect("the node accepts"), protection)
    }

    /// Connects without TLS from this address, without a first frame.
    pub fn connect_from(own: SocketAddr, address: SocketAddr) -> Self {
        let socket = socket2::Socket::new(socket2::Domain::for_address(own), socket2::Type::STREAM, None);
        let socket = socket.expect("a socket");
        socket.bind(&own.into()).expect("an address of this machine");
        socket.connect(&address.into()).expect("the node accepts");
        Self::over(socket.into(), Protection::Plain)
    }

    fn over(socket: TcpStream, protection: Protection) -> Self {
        socket.set_nodelay(true).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a socket");
        let mut binding = Vec::new();
        let stream: Box<dyn Stream> = match protection {
            Protection::Plain => Box::new(socket.try_clone().expect("a second handle")),
            Protection::Tls => tls_stream(socket.try_clone().expect("a second handle"), &mut binding),
            Protection::TlsByteByByte => {
                tls_stream(ByteByByte(socket.try_clone().expect("a second handle")), &mut binding)
            }
        };
        Self {
            stream,
            socket,
            binding,
            encoder: Encoder::new(),
            splitter: Splitter::default(),
            events: Vec::new(),
            request: 0,
            mechanisms: Vec::new(),
            user: UserId::NOBODY,
        }
    }

    /// Connects and exchanges `Hello` and `Welcome`.
    pub fn greet(address: SocketAddr, protection: Protection) -> Self {
        let mut client = Self::connect(address, protection);
        client.hello();
        client
    }

    pub fn hello(&mut self) -> Welcome {
        let hello = Hello { version_min: 1, version_max: 1, features: 0, software: "tests" };
        match self.ask(|encoder, request| encoder.hello(request, &hello)) {
            EventBody::Welcome(welcome) => {
                self.mechanisms = welcome.mechanisms.clone();
                welcome
            }
            other => panic!("{other:?} instead of Welcome"),
        }
    }

    /// Registers, and returns the id.
    pub fn register(&mut self, name: &str, password: &str) -> UserId {
        let terms = match self.ask(|encoder, request| encoder.register_start(request, name)) {
            EventBody::RegisterTerms(terms) => terms,
            other => panic!("{other:?} instead of RegisterTerms"),
        };
        let keys =
            scram::stretch(password, &terms.salt, terms.iterations).expect("proper terms").credentials();
        match self.ask(|encoder, request| encoder.register(request, name, &keys.stored_key, &keys.server_key))
        {
            EventBody::Registered { user } => user,
            other => panic!("{other:?} instead of Registered"),
        }
    }

    /// Logs in as a new device.
    pub fn log_in(&mut self, name: &str, password: &str) -> LoggedIn {
        match self.try_log_in(name, password) {
            EventBody::LoggedIn(logged_in) => logged_in,
            other => panic!("{other:?} instead of LoggedIn"),
        }
    }

    /// Logs in, or is refused at any step.
    pub fn try_log_in(&mut self, name: &str, password: &str) -> EventBody {
        let (start, answer) = self.start_login(name);
        let EventBody::Challenge(challenge) = answer else { return answer };
        let challenged = start.handle_server_first(&challenge.server_first).expect("a proper challenge");
        let keys =
            scram::stretch(password, challenged.salt(), challenged.iterations()).expect("proper terms");
        let proved = challenged.prove(&keys, &self.binding);
        let answer = self.prove(proved.message());
        if let EventBody::LoggedIn(logged_in) = &answer {
            proved.handle_server_final(&logged_in.server_final).expect("the node knows the account's keys");
            self.user = logged_in.user;
        }
        answer
    }

    pub fn start_login(&mut self, name: &str) -> (ClientStart, EventBody) {
        let nonce = scram::nonce_text(&rand::random::<[u8; scram::NONCE_LEN]>());
        let (mechanism, start) =
            ClientStart::new(&self.mechanisms, !self.binding.is_empty(), name, nonce).expect("a mechanism");
        let first = start.message().to_owned();
        let answer = self.ask(|encoder, request| encoder.login_start(request, mechanism.name(), &first));
        (start, answer)
    }

    pub fn prove(&mut self, client_final: &str) -> EventBody {
        let proof = LoginProof {
            client_final,
            device: DeviceId(0),
            device_name: "tests",
            device_class: DeviceClass::Desktop,
        };
        self.ask(|encoder, request| encoder.login_proof(request, &proof))
    }

    /// Connects, registers and logs in.
    pub fn new_user(address: SocketAddr, protection: Protection, name: &str) -> Self {
        let mut client = Self::greet(address, protection);
        client.register(name, "password");
        client.log_in(name, "password");
        client
    }

    pub fn chat_with(&self, peer: UserId) -> ConversationId {
        ConversationId::private(self.user, peer).expect("two users")
    }

    pub fn send_text(&mut self, peer: UserId, counter: u64, previous: u64, text: &str) -> EventBody {
        let conversation = self.chat_with(peer);
        let send = Send::plain(counter, previous, BodyKind::Text, text.as_bytes());
        self.ask(|encoder, request| encoder.send(request, conversation, &send))
    }

    /// The whole log, however many pulls it takes, as bodies in the order of their dense seqs.
    pub fn pull_all(&mut self, conversation: ConversationId) -> Vec<(u64, Vec<u8>)> {
        let mut entries = Vec::new();
        loop {
            let from = entries.len() as u64 + 1;
            let pulled = self.pull(conversation, from, u64::MAX);
            for entry in &pulled.entries {
                assert_eq!(entry.place.seq, entries.len() as u64 + 1, "the log is dense");
                entries.push((entry.place.seq, entry.body.to_vec()));
            }
            if entries.len() as u64 >= pulled.head.seq {
                return entries;
            }
            assert!(!pulled.entries.is_empty(), "a pull below the head brings something: {pulled:?}");
        }
    }

    pub fn pull(&mut self, conversation: ConversationId, from: u64, to: u64) -> Pulled {
        let pull = Pull { from, to, bytes_max: 0, epoch: 0 };
        match self.ask(|encoder, request| encoder.pull(request, conversation, &pull)) {
            EventBody::Pulled(pulled) => pulled,
            other => panic!("{other:?} instead of Pulled"),
        }
    }

    /// Sends a command and returns its answer; events that come before it are kept.
    pub fn ask(&mut self, build: impl FnOnce(&mut Encoder, u32) -> Bytes) -> EventBody {
        self.request += 1;
        let request = self.request;
        let frame = build(&mut self.encoder, request);
        self.write(&frame);
        loop {
            let frame = self.next_frame().expect("the node closed the connection instead of answering");
            if frame.request == request {
                return frame.event;
            }
            self.events.push(frame.event);
        }
    }

    /// Any bytes. An error shows at the next read.
    pub fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).and_then(|()| self.stream.flush());
    }

    /// The next event that answers nothing.
    pub fn next_event(&mut self) -> EventBody {
        if !self.events.is_empty() {
            return self.events.remove(0);
        }
        self.next_frame().expect("the node closed the connection").event
    }

    /// The next frame; `None` when the node has closed the connection.
    pub fn next_frame(&mut self) -> Option<EventFrame> {
        let begin = Instant::now();
        loop {
            if let Some(frame) = self.splitter.next_frame(wire::limits::FRAME_LEN_MAX).expect("a short frame")
            {
                return Some(decode_event(&frame).expect("a well-formed event"));
            }
            let mut buffer = [0; 16 * 1024];
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => self.splitter.push(&buffer[..count]),
                Err(error) if waits(&error) => {
                    assert!(begin.elapsed() < ANSWER_MAX, "no answer for {ANSWER_MAX:?}");
                }
                Err(_) => return None,
            }
        }
    }

    /// Whether the node closes the connection, and says why: this.
    pub fn is_closed_with(&mut self, why: wire::Refusal) -> bool {
        let told =
            |event: &EventBody| matches!(event, EventBody::Closing(closing) if closing.code == why.code());
        self.until_closed().iter().any(told)
    }

    /// Everything until the node closes the connection.
    pub fn until_closed(&mut self) -> Vec<EventBody> {
        let mut events = std::mem::take(&mut self.events);
        while let Some(frame) = self.next_frame() {
            events.push(frame.event);
        }
        events
    }
}

fn waits(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

fn tls_stream<S: Stream + 'static>(socket: S, binding: &mut Vec<u8>) -> Box<dyn Stream> {
    let name = rustls::pki_types::ServerName::try_from("localhost").expect("a name");
    let connection = ClientConnection::new(bench::tls::config(), name).expect("a configuration");
    let mut stream = StreamOwned::new(connection, socket);
    let begin = Instant::now();
    while stream.conn.is_handshaking() {
        match stream.conn.complete_io(&mut stream.sock) {
            Ok(_) => {}
            Err(error) if waits(&error) && begin.elapsed() < ANSWER_MAX => {}
            Err(error) => panic!("TLS: {error}"),
        }
    }
    let chain = stream.conn.peer_certificates().expect("a certificate");
    // The node's self-made certificate is signed with SHA-256.
    *binding = Sha256::digest(&chain[0]).to_vec();
    Box::new(stream)
}
