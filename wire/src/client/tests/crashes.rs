//! At random: frames late, pushes lost and reordered, connections cut, clients killed between any two writes.

use proptest::collection::vec;
use proptest::prelude::*;

use super::node::Fault;
use super::world::{ANNA, BERT, CARL, Device, World, chat_of};
use crate::{Command, Refusal};

#[derive(Clone, Debug)]
enum Step {
    Send {
        at: usize,
        peer: usize,
    },
    Up(usize),
    Down(usize),
    /// A push overtakes others.
    DownLater(usize, usize),
    /// A push comes again.
    Again(usize, usize),
    Persist(usize),
    Connect(usize),
    Disconnect(usize),
    Crash {
        at: usize,
        kept: usize,
    },
    Pass(u64),
    Read(usize),
    Refuse(Refusal),
    RefusePull,
    DropPushes(bool),
    Settle,
}

fn step() -> impl Strategy<Value = Step> {
    let device = 0..4usize;
    prop_oneof![
        8 => (device.clone(), 0..2usize).prop_map(|(at, peer)| Step::Send { at, peer }),
        10 => device.clone().prop_map(Step::Up),
        10 => device.clone().prop_map(Step::Down),
        3 => (device.clone(), 1..4usize).prop_map(|(at, place)| Step::DownLater(at, place)),
        2 => (device.clone(), any::<usize>()).prop_map(|(at, place)| Step::Again(at, place)),
        6 => device.clone().prop_map(Step::Persist),
        2 => device.clone().prop_map(Step::Connect),
        1 => device.clone().prop_map(Step::Disconnect),
        1 => (device.clone(), 0..3usize).prop_map(|(at, kept)| Step::Crash { at, kept }),
        2 => prop_oneof![Just(50u64), Just(500), Just(11_000)].prop_map(Step::Pass),
        1 => device.prop_map(Step::Read),
        2 => prop_oneof![
            Just(Refusal::Busy),
            Just(Refusal::TooManyRequests),
            Just(Refusal::StorageFull),
            Just(Refusal::WindowFull)
        ]
        .prop_map(Step::Refuse),
        1 => Just(Step::RefusePull),
        1 => any::<bool>().prop_map(Step::DropPushes),
        2 => Just(Step::Settle),
    ]
}

fn run(steps: &[Step]) {
    let devices = [(ANNA, 1), (ANNA, 2), (BERT, 1), (CARL, 1)];
    let mut world = World::new(devices.map(|(user, device)| Device::known(user, device)).into());
    let mut number = 0;
    for step in steps {
        match *step {
            Step::Send { at, peer } => {
                number += 1;
                let user = devices[at].0;
                let others: Vec<_> = [ANNA, BERT, CARL].into_iter().filter(|other| *other != user).collect();
                world.send(at, chat_of(user, others[peer]), &format!("message {number}"));
            }
            Step::Up(at) => {
                world.deliver_up(at);
            }
            Step::Down(at) => {
                world.deliver_down(at, 0);
            }
            Step::DownLater(at, place) => overtake(&mut world, at, place),
            Step::Again(at, place) => world.repeat_push(at, place),
            Step::Persist(at) => world.persist(at),
            Step::Connect(at) => world.connect(at),
            Step::Disconnect(at) => world.disconnect(at),
            Step::Crash { at, kept } => world.crash(at, kept),
            Step::Pass(ms) => {
                world.now_ms += ms;
                (0..world.devices.len()).for_each(|at| world.tick(at));
            }
            Step::Read(at) => {
                let states = world.devices[at].disk.stored.conversations.clone();
                for state in states {
                    let now_ms = world.now_ms;
                    world.devices[at].session.mark_read(now_ms, state.conversation, state.applied.seq);
                    world.carry_out(at);
                }
            }
            Step::Refuse(refusal) => {
                let fault = Fault::Refuse { refusal, retry_ms: 100 };
                world.node.faults.entry(Command::Send).or_default().push_back(fault);
            }
            Step::RefusePull => {
                for command in [Command::Pull, Command::Sync, Command::Mark] {
                    let fault = Fault::Refuse { refusal: Refusal::Busy, retry_ms: 70 };
                    world.node.faults.entry(command).or_default().push_back(fault);
                }
            }
            Step::DropPushes(drop) => world.node.drop_pushes = drop,
            Step::Settle => world.settle(),
        }
    }
    world.run_out();
    world.check();
    check_summaries(&world);
}

/// A push may overtake anything: pushes are hints.
fn overtake(world: &mut World, at: usize, place: usize) {
    let Some(peer) = world.devices[at].peer else { return };
    let frame = world.node.peers[&peer].out.get(place);
    let is_push = frame.is_some_and(|frame| frame[4..8] == [0; 4] && world.devices[at].session.is_ready());
    if is_push {
        world.deliver_down(at, place);
    }
}

/// In the end all devices know what the node knows.
fn check_summaries(world: &World) {
    for device in &world.devices {
        let user = device.disk.stored.account.as_ref().expect("an account").user;
        for state in &device.disk.stored.conversations {
            if !world.node.logs.contains_key(&state.conversation) {
                continue;
            }
            let expected = world.node.summary(user, state.conversation, 0);
            let known = state.summary(0);
            assert_eq!(known.head, expected.head);
            assert_eq!(expected.delivered, expected.head, "all is marked as delivered");
            assert_eq!(known.read, expected.read, "{user:?} {:?}", state.conversation);
            assert_eq!(known.peer_read, expected.peer_read, "{user:?} {state:?}");
            assert_eq!(known.unread(), expected.unread());
            assert_eq!(known.peer_delivered, expected.peer_delivered, "{user:?} {state:?}");
        }
    }
}

proptest! {
    // More cases with PROPTEST_CASES.
    #[test]
    fn nothing_is_lost_doubled_or_reordered(steps in vec(step(), 1..150)) {
        run(&steps);
    }
}
