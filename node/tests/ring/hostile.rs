//! Peers that break off, do not read, or send nonsense: they lose their connection, with a reason; others do not notice.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use node::ring::{CloseReason, Limits};
use rand::Rng;

use super::client::{Client, connect};
use super::driver::{TestNode, ask, framed, told};

fn flood(frames: u32, length: u32) -> Vec<u8> {
    let mut frame = vec![ask::FLOOD];
    frame.extend_from_slice(&frames.to_le_bytes());
    frame.extend_from_slice(&length.to_le_bytes());
    frame
}

fn wait_for(node: &TestNode, reason: CloseReason, count: u64) {
    node.wait_until(reason.name(), |states| {
        states.iter().map(|state| state.counters.closed_for(reason)).sum::<u64>() >= count
    });
}

fn still_serves(node: &TestNode) {
    let mut client = Client::plain(node.plain, 99);
    client.send(b"e still here");
    assert_eq!(client.frame().as_deref(), Some(&b"e still here"[..]));
}

#[test]
fn clients_that_vanish_leave_nothing_behind() {
    let node = TestNode::start(2, Limits { buffers: 16, ..Limits::default() }, 1_500);
    thread::scope(|scope| {
        for seed in 0..16 {
            let node = &node;
            scope.spawn(move || {
                for round in 0..12 {
                    let seed = seed * 100 + round;
                    let mut client = if round % 3 == 0 {
                        Client::secured(node.secured, &node.certificate, seed)
                    } else {
                        Client::plain(node.plain, seed)
                    };
                    let what = if round % 2 == 0 { ask::ECHO } else { ask::MOVE };
                    let frames: Vec<_> =
                        (0..30).flat_map(|_| framed(&client.random_frame(what, 400))).collect();
                    let cut = client.random().random_range(1..frames.len());
                    client.write(&frames[..cut]);
                    let stream = client.stream().try_clone().expect("another handle");
                    match client.random().random_range(0..3) {
                        0 => socket2::SockRef::from(&stream)
                            .set_linger(Some(Duration::ZERO))
                            .expect("an option"),
                        1 => stream.shutdown(Shutdown::Write).expect("open"),
                        _ => {}
                    }
                }
            });
        }
    });
    node.wait_until("all connections end", |states| {
        states.iter().all(|state| state.connections == 0 && state.known == 0)
    });
    still_serves(&node);
    node.stop(); // asserts that no buffer is missing
}

#[test]
fn a_client_that_never_reads_is_cut_off_and_bounded() {
    let limits = Limits {
        write_stall_max: Duration::from_millis(400),
        push_bytes_max: 64 * 1024,
        ..Limits::default()
    };
    let node = TestNode::start(1, limits, 0);
    for secured in [false, true] {
        let mut client = match secured {
            false => Client::plain(node.plain, 1),
            true => Client::secured(node.secured, &node.certificate, 1),
        };
        // Its socket takes some megabytes before the node notices.
        while client.try_write(&framed(&flood(2_000, 1_000))) {}
        wait_for(&node, CloseReason::WriteStalled, 1 + secured as u64);
    }
    let state = node.states()[0];
    assert!(state.counters.pushes_dropped > 2 && state.counters.overflowed >= 2, "{state:?}");
    still_serves(&node);
    node.stop();
}

#[test]
fn a_client_that_asks_and_never_reads_is_closed() {
    let limits = Limits { reply_bytes_max: 256 * 1024, ..Limits::default() };
    let node = TestNode::start(1, limits, 0);
    let mut stream = connect(node.plain);
    let frame = framed(&[ask::ECHO; 30_000]);
    while stream.write_all(&frame).is_ok() {}
    wait_for(&node, CloseReason::ReplyOverflow, 1);
    still_serves(&node);
    node.stop();
}

#[test]
fn a_slow_reader_is_told_and_served_again() {
    let node = TestNode::start(1, Limits { push_bytes_max: 64 * 1024, ..Limits::default() }, 0);
    for secured in [false, true] {
        let mut client = match secured {
            false => Client::plain(node.plain, 1),
            true => Client::secured(node.secured, &node.certificate, 1),
        };
        client.send(&flood(2_000, 100));
        client.send(b"e after");
        let (mut seen, mut pushes, mut last) = (Vec::new(), 0, None);
        // The question may be read after the queue is empty again: its answer comes in any case.
        while !(seen.contains(&told::DRAINED) && seen.contains(&ask::ECHO)) {
            let frame = client.frame().expect("the connection stays");
            if frame[0] == told::PUSH {
                let number = u32::from_le_bytes(frame[1..5].try_into().expect("4 bytes"));
                assert!(last < Some(number), "pushes keep their order");
                last = Some(number);
                pushes += 1;
            } else {
                seen.push(frame[0]);
            }
        }
        assert!(pushes < 2_000, "nothing was dropped");
        assert!(seen.contains(&told::OVERFLOWED), "it was told: {seen:?}");
        client.send(&flood(3, 100));
        for n in 0..3u32 {
            let frame = client.frame().expect("pushes are taken again");
            assert_eq!((frame[0], &frame[1..5]), (told::PUSH, &n.to_le_bytes()[..]));
        }
    }
    node.stop();
}

#[test]
fn a_frame_longer_than_allowed_closes() {
    let node = TestNode::start(1, Limits::default(), 0);
    for (kind, length) in [(0, 64 * 1024 + 1), (1, u32::MAX)] {
        let mut client = match kind {
            0 => Client::plain(node.plain, 1),
            _ => Client::secured(node.secured, &node.certificate, 1),
        };
        client.send(b"e before");
        client.write(&length.to_le_bytes());
        assert_eq!(client.frame().as_deref(), Some(&b"e before"[..]), "what was said before is answered");
        assert!(client.is_ended());
    }
    wait_for(&node, CloseReason::FrameTooLong, 2);
    node.stop();
}

#[test]
fn nonsense_instead_of_tls_gets_an_alert_and_the_end() {
    let node = TestNode::start(1, Limits::default(), 0);
    let mut stream = connect(node.secured);
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an orderly end");
    assert_eq!(answer.first(), Some(&0x15), "an alert: {answer:?}");
    wait_for(&node, CloseReason::TlsFailed, 1);
    node.stop();
}

#[test]
fn broken_records_after_the_handshake_get_an_alert_and_the_end() {
    let node = TestNode::start(1, Limits::default(), 0);
    let false_record = [&[0x17, 3, 3, 0, 0x20][..], &[0x5A; 32]].concat();
    let oversized = [0x17, 3, 3, 0xFF, 0xFF, 0, 0];
    let unknown_type = [0x77, 3, 3, 0, 1, 0];
    let plain_alert = [0x15, 3, 3, 0, 2, 2, 40];
    let broken: [&[u8]; 4] = [&false_record, &oversized, &unknown_type, &plain_alert];
    for (round, bytes) in broken.into_iter().cycle().take(20).enumerate() {
        let mut client = Client::secured(node.secured, &node.certificate, round as u64);
        client.send(b"e before");
        assert_eq!(client.frame().as_deref(), Some(&b"e before"[..]));
        let mut stream = client.stream().try_clone().expect("another handle");
        stream.write_all(bytes).expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an orderly end");
        assert_eq!(answer.first(), Some(&0x17), "an alert, encrypted: {answer:?}");
    }
    wait_for(&node, CloseReason::TlsFailed, 20);
    still_serves(&node);
    node.stop();
}

#[test]
fn a_handshake_that_does_not_end_is_cut_off_and_the_driver_never_hears_of_it() {
    let limits = Limits { handshake_max: Duration::from_millis(200), ..Limits::default() };
    let node = TestNode::start(1, limits, 0);
    let streams: Vec<TcpStream> = (0..20).map(|_| connect(node.secured)).collect();
    wait_for(&node, CloseReason::TlsTooSlow, 20);
    for mut stream in streams {
        assert_eq!(stream.read(&mut [0; 16]).unwrap_or(0), 0);
    }
    node.wait_until("all are gone", |states| states[0].connections == 0 && states[0].known == 0);
    node.stop();
}

#[test]
fn handshakes_are_bounded_by_number_and_address() {
    let limits = Limits { handshakes_per_address_max: 5, ..Limits::default() };
    let node = TestNode::start(1, limits, 0);
    let silent: Vec<TcpStream> = (0..8).map(|_| connect(node.secured)).collect();
    wait_for(&node, CloseReason::AddressFull, 3);
    still_serves(&node); // a plain one has no handshake
    drop(silent);
    node.wait_until("their places are free", |states| states[0].connections <= 1);
    let mut clients: Vec<Client> =
        (0..7).map(|seed| Client::secured(node.secured, &node.certificate, seed)).collect();
    for client in &mut clients {
        client.send(b"e done with the handshake");
        assert!(client.frame().is_some(), "finished handshakes do not count");
    }
    node.stop();
}

#[test]
fn connections_beyond_the_bound_are_closed_at_once() {
    let node = TestNode::start(1, Limits { connections_max: 3, ..Limits::default() }, 0);
    let mut clients: Vec<Client> = (0..3).map(|seed| Client::plain(node.plain, seed)).collect();
    node.wait_until("three are in", |states| states[0].connections == 3);
    let mut refused = connect(node.plain);
    assert_eq!(refused.read(&mut [0; 1]).unwrap_or(0), 0);
    wait_for(&node, CloseReason::ConnectionsFull, 1);
    for client in &mut clients {
        client.send(b"e inside");
        assert_eq!(client.frame().as_deref(), Some(&b"e inside"[..]));
    }
    clients.pop();
    node.wait_until("one has left", |states| states[0].connections == 2);
    still_serves(&node);
    node.stop();
}

#[test]
fn input_of_a_parked_connection_waits_in_the_kernel_and_comes_in_order() {
    let node = TestNode::start(1, Limits::default(), 0);
    let mut client = Client::plain(node.plain, 7);
    for round in 0..20 {
        let mut bytes = framed(b"p").to_vec();
        let frames: Vec<_> = (0..60).map(|_| client.random_frame(ask::ECHO, 50_000)).collect();
        frames.iter().for_each(|frame| bytes.extend_from_slice(&framed(frame)));
        client.write(&bytes);
        assert_eq!(client.frame().as_deref(), Some(&b"p"[..]), "round {round}");
        for frame in frames {
            assert!(client.frame() == Some(frame), "round {round}: a frame was lost or changed");
        }
    }
    assert_eq!(node.sum(|state| state.counters.closed_for(CloseReason::UnreadOverflow)), 0);
    node.stop();
}
