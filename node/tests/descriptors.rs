//! A core that runs out of descriptors pauses accepting and serves again when there are some. In a process of its own,
//! because the limit is the process's.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use node::mesh::{self, Lane, LaneCapacities};
use node::ring::{
    self, CloseReason, ConnectionInfo, Core, Cores, Driver, Hand, Io, Limits, ListenAddress, Pin, Priority,
    Remote, Sent,
};
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

/// Lowers the limit so that this process can make so many more descriptors.
fn leave_descriptors(count: usize) {
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
    let listing = std::fs::File::open("/dev/null").expect("it is there").as_raw_fd() as u64; // its number comes next
    let open: Vec<u64> = std::fs::read_dir("/proc/self/fd").expect("a list").filter_map(name).collect();
    let mut free = (0..).filter(|number| *number == listing || !open.contains(number));
    let limit = Some(free.nth(count).expect("numbers do not end"));
    let limit = rustix::process::Rlimit { current: limit, maximum: limit };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).expect("lower is allowed");
}

fn echoes(stream: &mut TcpStream) -> bool {
    let frame = b"\x05\0\0\0hello";
    stream.write_all(frame).expect("sent");
    let mut answer = [0; 9];
    stream.read_exact(&mut answer).is_ok() && &answer == frame
}

#[test]
fn accepting_pauses_without_descriptors_and_goes_on_with_them() {
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

    let patient = |stream: TcpStream| {
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("an option");
        stream
    };
    let mut first = patient(TcpStream::connect(address).expect("accepted"));
    assert!(echoes(&mut first));
    // Both ends of a connection are in this process: of an odd number, a connection is left that is not accepted.
    leave_descriptors(9);
    let mut streams = Vec::new();
    while let Ok(stream) = TcpStream::connect(address) {
        streams.push(patient(stream));
    }
    let start = Instant::now();
    while accepts_failed() < 3 {
        assert!(start.elapsed() < Duration::from_secs(20), "accepting never failed");
        std::thread::yield_now();
    }
    assert!(echoes(&mut first), "who is in is served");
    let mut last = streams.pop().expect("several");
    streams.clear();
    assert!(echoes(&mut last), "who waited is accepted when there are descriptors again");
    remote.stop();
    let counters = cores.join();
    assert!(counters[0].accept_failed >= 3);
}
