//! Every byte comes back, in order, while connections move between cores.

use std::thread;

use node::ring::Limits;
use rand::Rng;

use super::client::{Client, PATIENCE};
use super::driver::{TestNode, ask};

#[derive(Clone, Copy)]
struct Load {
    clients: u64,
    bursts: u32,
    frame_bytes_max: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Secured,
}

fn client(node: &TestNode, kind: Kind, seed: u64) -> Client {
    match kind {
        Kind::Plain => Client::plain(node.plain, seed),
        Kind::Secured => Client::secured(node.secured, &node.certificate, seed),
    }
}

/// Each client sends bursts of frames and compares what comes back.
fn echo(node: &TestNode, kind: Kind, load: Load) {
    thread::scope(|scope| {
        for seed in 0..load.clients {
            scope.spawn(move || {
                let mut client = client(node, kind, seed);
                for _ in 0..load.bursts {
                    let mut expected = Vec::new();
                    let mut bytes = Vec::new();
                    for _ in 0..client.random().random_range(1..12) {
                        let what = match client.random().random_range(0..12) {
                            0 => ask::MOVE,
                            1 => ask::PARK,
                            _ => ask::ECHO,
                        };
                        let mut frame = client.random_frame(what, load.frame_bytes_max);
                        bytes.extend_from_slice(&super::driver::framed(&frame));
                        if what == ask::MOVE {
                            frame[0] = ask::ECHO;
                        }
                        expected.push(frame);
                    }
                    client.write(&bytes);
                    for frame in expected {
                        assert!(
                            client.frame().as_ref() == Some(&frame),
                            "client {seed}: another frame came back"
                        );
                    }
                }
            });
        }
    });
    node.wait_until("all connections end", |states| {
        states.iter().all(|state| state.connections == 0 && state.known == 0)
    });
}

fn check_moves(node: TestNode, at_least: u64) {
    let left = node.sum(|state| state.counters.left);
    assert_eq!(left, node.sum(|state| state.counters.adopted));
    assert!(left >= at_least, "only {left} moves: the test does not test what it should");
    assert_eq!(node.sum(|state| state.hands_dropped), 0);
    let stale: u64 = node.stop().iter().map(|counters| counters.stale).sum();
    assert_eq!(stale, 0);
}

const LOAD: Load = Load { clients: 24, bursts: 40, frame_bytes_max: 900 };

#[test]
fn plain_connections_hop_between_two_cores() {
    let node = TestNode::start(2, Limits::default(), 700);
    echo(&node, Kind::Plain, LOAD);
    check_moves(node, 2_000);
}

#[test]
fn tls_connections_hop_between_two_cores_with_half_records() {
    let node = TestNode::start(2, Limits::default(), 3_000);
    echo(&node, Kind::Secured, LOAD);
    check_moves(node, 500);
}

#[test]
fn connections_hop_while_tasks_run_beside() {
    let node = TestNode::start(2, Limits::default(), 700);
    let sleepers = node.start_sleepers(300);
    echo(&node, Kind::Plain, LOAD);
    for _ in 0..2 {
        assert!(
            sleepers.recv_timeout(PATIENCE).is_ok(),
            "a task beside the main loop does not come to its end"
        );
    }
    check_moves(node, 2_000);
}

#[test]
fn one_core_echoes() {
    let node = TestNode::start(1, Limits::default(), 0);
    echo(&node, Kind::Plain, Load { bursts: 10, ..LOAD });
    node.stop();
}

#[test]
fn more_cores_than_cpus_hop() {
    let node = TestNode::start(5, Limits::default(), 2_000);
    echo(&node, Kind::Plain, Load { bursts: 10, ..LOAD });
    check_moves(node, 100);
}

#[test]
fn few_buffers_cost_time_and_no_byte() {
    let limits = Limits { buffers: 8, buffer_bytes: 512, ..Limits::default() };
    let node = TestNode::start(2, limits, 2_000);
    echo(&node, Kind::Plain, Load { bursts: 15, frame_bytes_max: 3_000, ..LOAD });
    echo(&node, Kind::Secured, Load { bursts: 5, frame_bytes_max: 3_000, ..LOAD });
    assert!(node.sum(|state| state.counters.starved) > 0, "the buffers were never all taken");
    check_moves(node, 100);
}

#[test]
fn tiny_queues_cost_time_and_no_byte() {
    let limits = Limits {
        completion_entries: 16,
        submission_entries: 8,
        completions_per_turn: 8,
        ready_per_turn: 1,
        ..Limits::default()
    };
    let node = TestNode::start(2, limits, 2_000);
    echo(&node, Kind::Plain, Load { clients: 60, bursts: 10, ..LOAD });
    echo(&node, Kind::Secured, Load { clients: 30, bursts: 5, ..LOAD });
    check_moves(node, 100);
}

#[test]
fn long_frames_are_gathered_and_shared() {
    let node = TestNode::start(2, Limits { flight_bytes_max: 10_000, ..Limits::default() }, 100_000);
    echo(&node, Kind::Plain, Load { clients: 6, bursts: 10, frame_bytes_max: 60_000 });
    echo(&node, Kind::Secured, Load { clients: 6, bursts: 10, frame_bytes_max: 60_000 });
    check_moves(node, 50);
}

#[test]
fn a_frame_of_a_mebibyte_after_the_bound_was_raised() {
    let node = TestNode::start(1, Limits::default(), 0);
    for kind in [Kind::Plain, Kind::Secured] {
        let mut client = client(&node, kind, 5);
        let mut raise = vec![ask::FRAME_MAX];
        raise.extend_from_slice(&(1u32 << 20).to_le_bytes());
        client.send(&raise);
        assert_eq!(client.frame(), Some(raise));
        let mut frame = vec![0; 1 << 20];
        frame[0] = ask::ECHO;
        client.random().fill(&mut frame[1..]);
        client.send(&frame);
        assert!(client.frame() == Some(frame), "the long frame came back changed");
    }
    node.stop();
}
