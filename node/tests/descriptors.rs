//! A core that runs out of descriptors pauses accepting and serves again when there are some. In a process of its own,
//! because the limit is the process's.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use node::mesh::{self, Lane, LaneCapacities};
use node::ring::{
    self, CloseReason, ConnectionInfo, Core, Cores, Driver, Hand, Io, Limits, ListenAddress, Pin, Priority,
    Remote, Sent,
};
use rustix::process::{Resource, Rlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};
use wire::ConnectionId;

/// Sends every frame back.
struct Echo;

impl Driver for Echo {
    type Item = ();
    type Foreign = mpsc::Sender<u64>;

    fn on_opened(&mut self, _: &mut Io<()>, _: ConnectionId, _: &ConnectionInfo) {}
    fn on_frame(&mut self, io: &mut Io<()>, id: ConnectionId, frame: &[u8]) {
        let mut bytes = (frame.len() as u32).to_le_bytes().to_vec();
        bytes.extend_from_slice(frame);
        assert_eq!(io.connections.send(id, &bytes[..], Priority::Reply), Sent::Queued);
    }
    fn on_frame_too_long(&mut self, _: &mut Io<()>, _: ConnectionId, _: usize) {}
    fn on_closed(&mut self, _: &mut Io<()>, _: ConnectionId, _: CloseReason) {}
    fn on_overflowed(&mut self, _: &mut Io<()>, _: ConnectionId) {}
    fn on_drained(&mut self, _: &mut Io<()>, _: ConnectionId) {}
    fn on_left(&mut self, _: &mut Io<()>, _: ConnectionId, _: Hand) {}
    fn on_mesh(&mut self, _: &mut Io<()>, _: u16, _: Lane, _: ()) {}
    fn on_foreign(&mut self, io: &mut Io<()>, answer: mpsc::Sender<u64>) {
        let _ = answer.send(io.connections.counters().accept_failed);
    }
    fn next_deadline(&self) -> Option<Instant> {
        None
    }
    fn on_deadline(&mut self, _: &mut Io<()>) {}
    fn on_turn_end(&mut self, _: &mut Io<()>) {}
    fn on_stop(&mut self, _: &mut Io<()>) {}
    fn is_done(&self) -> bool {
        true
    }
}

/// Room for a core and some connections. An accept in the kernel keeps the limit of its start, so this comes first.
const DESCRIPTORS_MAX: u64 = 400;

fn patient(socket: Socket) -> TcpStream {
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("an option");
    stream
}

fn unconnected() -> Socket {
    Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).expect("a descriptor")
}

fn echoes(stream: &mut TcpStream) -> bool {
    let frame = b"\x05\0\0\0hello";
    stream.write_all(frame).expect("sent");
    let mut answer = [0; 9];
    stream.read_exact(&mut answer).is_ok() && &answer == frame
}

#[test]
fn accepting_pauses_without_descriptors_and_goes_on_with_them() {
    let limit = Rlimit { current: Some(DESCRIPTORS_MAX), maximum: Some(DESCRIPTORS_MAX) };
    setrlimit(Resource::Nofile, limit).expect("lower is allowed");
    let address: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    let listeners = ring::bind(&[ListenAddress { address, identity: None }], 1).expect("a port");
    let address = listeners[0][0].address;
    let remote = Arc::new(Remote::new(8).expect("a counter"));
    let capacities = LaneCapacities { control: 1, delivery: 1, ephemeral: 1 };
    let ends = mesh::ends(&[remote.doorbell().clone()], capacities);
    let core = |(listeners, ends)| Core {
        pin: Pin::Anywhere,
        limits: Limits { accept_pause: Duration::from_millis(20), ..Limits::default() },
        listeners,
        ends,
        remote: remote.clone(),
        driver: Box::new(|| Echo),
    };
    let cores = Cores::start(listeners.into_iter().zip(ends).map(core).collect()).expect("a core");
    let accepts_failed = || {
        let (answer, answered) = mpsc::channel();
        remote.push(answer).expect("room");
        answered.recv().expect("the core answers")
    };

    let target = address.into();
    let [first, last] = [unconnected(), unconnected()];
    first.connect(&target).expect("accepted");
    let mut first = patient(first);
    assert!(echoes(&mut first));
    let fillers: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
    last.connect(&target).expect("the kernel takes it");
    let start = Instant::now();
    while accepts_failed() < 3 {
        assert!(start.elapsed() < Duration::from_secs(20), "accepting never failed");
        std::thread::yield_now();
    }
    assert!(echoes(&mut first), "who is in is served");
    drop(fillers);
    assert!(echoes(&mut patient(last)), "who waited is accepted when there are descriptors again");
    remote.stop();
    let counters = cores.join();
    assert!(counters[0].accept_failed >= 3);
}
