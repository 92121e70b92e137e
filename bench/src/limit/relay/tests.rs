//! Every message arrives once and in order, every acknowledgement matches, plain and with TLS.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};
use wire::frame::Splitter;
use wire::message::{BodyKind, Message, Send, Sent};
use wire::{ConversationId, Encoder, EventBody, decode_event};

use super::*;

const PAIRS: u64 = 3;
const MESSAGES: u64 = 500;
/// Sends without an answer.
const WINDOW: u64 = 16;
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

struct Client {
    stream: Box<dyn Stream>,
    splitter: Splitter,
    encoder: Encoder,
    index: u64,
}

impl Client {
    fn connect(address: SocketAddr, tls: bool, index: u64) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        let stream: Box<dyn Stream> = if tls {
            let name = "localhost".try_into().unwrap();
            let session = ClientConnection::new(crate::tls::config(), name).unwrap();
            Box::new(StreamOwned::new(session, socket))
        } else {
            Box::new(socket)
        };
        Self { stream, splitter: Splitter::default(), encoder: Encoder::new(), index }
    }

    fn write(&mut self, frame: &[u8]) {
        self.stream.write_all(frame).unwrap();
        self.stream.flush().unwrap();
    }

    fn event(&mut self) -> EventBody {
        let mut buffer = [0; 4_096];
        loop {
            if let Some(frame) = self.splitter.next_frame(1 << 20).unwrap() {
                return decode_event(&frame).unwrap().event;
            }
            let count = self.stream.read(&mut buffer).unwrap();
            assert!(count > 0, "the relay closed the connection");
            self.splitter.push(&buffer[..count]);
        }
    }

    fn introduce(&mut self) {
        let ping = self.encoder.ping(1, self.index);
        self.write(&ping);
    }

    fn send(&mut self, counter: u64) {
        let conversation = ConversationId::private(user(self.index), user(self.index ^ 1)).unwrap();
        let text = text(self.index, counter);
        let send = Send::plain(counter, counter - 1, BodyKind::Opaque, &text);
        let frame = self.encoder.send(counter as u32, conversation, &send);
        self.write(&frame);
    }
}

fn text(index: u64, counter: u64) -> Vec<u8> {
    (0..128).map(|n| (index * 31 + counter * 7 + n) as u8).collect()
}

fn check_message(message: &Message, index: u64, counter: u64) {
    assert_eq!(message.entry.counter, counter, "each once and in order");
    assert_eq!(message.entry.place.seq, counter);
    assert_eq!(message.entry.body, text(index, counter), "its own text");
}

/// Both of each pair send at the same time.
fn relays(tls: bool) {
    let relay = Relay::start("127.0.0.1:0".parse().unwrap(), Pin::Anywhere, tls).unwrap();
    let address = relay.address;
    std::thread::scope(|scope| {
        for index in 0..PAIRS * 2 {
            scope.spawn(move || {
                let mut client = Client::connect(address, tls, index);
                client.introduce();
                let pong = client.event();
                assert!(matches!(pong, EventBody::Pong { time_ms } if time_ms == index), "{pong:?}");
                let (mut sent, mut acked, mut received) = (0, 0, 0);
                while acked < MESSAGES || received < MESSAGES {
                    while sent < MESSAGES && sent - acked < WINDOW {
                        sent += 1;
                        client.send(sent);
                    }
                    match client.event() {
                        EventBody::Sent(Sent { counter, place, .. }) => {
                            acked += 1;
                            assert_eq!((counter, place.seq), (acked, acked));
                        }
                        EventBody::Message(message) => {
                            received += 1;
                            check_message(&message, index ^ 1, received);
                        }
                        other => panic!("{other:?}"),
                    }
                }
            });
        }
    });
    relay.remote.stop();
    let counters = relay.cores.join();
    assert_eq!(counters[0].accepted, PAIRS * 2);
    assert_eq!(counters[0].pushes_dropped, 0);
}

#[test]
fn every_message_arrives_once_and_acks_match() {
    relays(false);
}

#[test]
fn every_message_arrives_once_and_acks_match_with_tls() {
    relays(true);
}

#[test]
fn a_pair_ends_together_and_a_stranger_is_refused() {
    let relay = Relay::start("127.0.0.1:0".parse().unwrap(), Pin::Anywhere, false).unwrap();
    let mut stranger = Client::connect(relay.address, false, 0);
    stranger.send(1);
    assert_eq!(stranger.stream.read(&mut [0; 64]).unwrap(), 0, "it was not introduced");
    let mut clients = [0, 1].map(|index| Client::connect(relay.address, false, index));
    for client in &mut clients {
        client.introduce();
    }
    for client in &mut clients {
        assert!(matches!(client.event(), EventBody::Pong { .. }));
    }
    let [left, mut right] = clients;
    drop(left);
    assert_eq!(right.stream.read(&mut [0; 64]).unwrap(), 0, "nobody is left to send to");
    relay.remote.stop();
    relay.cores.join();
}
