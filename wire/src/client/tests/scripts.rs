//! Sends, refusals, pulls and marks, step by step.

use bytes::Bytes;

use super::node::Fault;
use super::world::{ANNA, BERT, CARL, Device, World, chat_of, config};
use crate::client::{
    ClientEvent, OUTGOING_BYTES_MAX, OUTGOING_MAX, Reason, SendError, SendFailure, Session, Stored,
};
use crate::client::{Effect, PersistOp};
use crate::encode::Encoder;
use crate::frame::LENGTH_LEN;
use crate::ids::ConversationId;
use crate::limits::MESSAGE_BODY_LEN_MAX;
use crate::message::{BodyKind, MarkKind, Marked, Place, PulledRange, Range, RangeKind};
use crate::{Command, Refusal};

fn chat() -> ConversationId {
    chat_of(ANNA, BERT)
}

/// Anna's and Bert's devices, ready.
fn two() -> World {
    let mut world = World::new(vec![Device::known(ANNA, 1), Device::known(BERT, 1)]);
    world.connect(0);
    world.connect(1);
    world.settle();
    world
}

fn refuse_next(world: &mut World, command: Command, refusal: Refusal) {
    let fault = Fault::Refuse { refusal, retry_ms: 100 };
    world.node.faults.entry(command).or_default().push_back(fault);
}

fn sent_counters(events: &[ClientEvent]) -> Vec<u64> {
    let counter = |event: &ClientEvent| match event {
        ClientEvent::Sent { counter, .. } => Some(*counter),
        _ => None,
    };
    events.iter().filter_map(counter).collect()
}

fn failures(events: &[ClientEvent]) -> Vec<(u64, SendFailure)> {
    let failed = |event: &ClientEvent| match event {
        ClientEvent::SendFailed { counter, failure, .. } => Some((*counter, failure.clone())),
        _ => None,
    };
    events.iter().filter_map(failed).collect()
}

fn count(world: &World, command: Command) -> usize {
    world.node.commands.iter().filter(|other| **other == command).count()
}

#[test]
fn a_message_reaches_both_and_is_marked() {
    let mut world = two();
    world.take_events(0);
    world.send(0, chat(), "hello");
    world.settle();
    let events = world.take_events(0);
    assert_eq!(sent_counters(&events), [1]);
    let delivered = ClientEvent::Marked {
        conversation: chat(),
        user: BERT,
        kind: MarkKind::Delivered,
        place: Place { seq: 1, ord: 1 },
    };
    assert!(events.contains(&delivered), "{events:?}");
    let unread = |world: &World, at: usize| world.devices[at].disk.stored.conversations[0].unread();
    assert_eq!((unread(&world, 0), unread(&world, 1)), (0, 1));
    let now_ms = world.now_ms;
    world.devices[1].session.mark_read(now_ms, chat(), 99);
    world.carry_out(1);
    world.settle();
    assert_eq!((unread(&world, 0), unread(&world, 1)), (0, 0));
    assert_eq!(world.devices[0].disk.stored.conversations[0].peer_read.seq, 1);
    world.check();
}

#[test]
fn a_mark_that_comes_before_its_conversation_is_kept() {
    let mut world = World::new(vec![Device::known(ANNA, 1), Device::known(BERT, 1), Device::known(ANNA, 2)]);
    for at in 0..3 {
        world.connect(at);
    }
    world.settle();
    let place = Place { seq: 1, ord: 1 };
    let marked = Marked { conversation: chat(), user: BERT, kind: MarkKind::Read, place };
    let frame = Encoder::new().marked(0, &marked);
    let now_ms = world.now_ms;
    world.devices[0].session.handle_frame(now_ms, &frame[LENGTH_LEN..]);
    world.carry_out(0);
    world.send(2, chat(), "hello");
    world.settle();
    assert_eq!(world.devices[0].disk.stored.conversations[0].peer_read, place);
    assert_eq!(
        world.devices[2].disk.stored.conversations[0].peer_read.seq, 0,
        "the node knows of no such mark"
    );
    world.check();
}

#[test]
fn nothing_is_transmitted_or_marked_before_it_is_persisted() {
    let mut world = two();
    world.send(0, chat(), "hello");
    assert!(world.devices[0].sending.is_empty(), "the send is not on disk");
    world.persist(0);
    assert_eq!(world.devices[0].sending.len(), 1);
    world.deliver_up(0);
    world.take_events(1);
    world.deliver_down(1, 0);
    assert!(world.devices[1].sending.is_empty(), "the message is not on disk, so it is not delivered");
    assert_eq!(world.take_events(1), [], "nor is it told");
    world.persist(1);
    assert_eq!(world.devices[1].sending.len(), 1);
    assert!(!world.take_events(1).is_empty());
}

#[test]
fn order_is_kept_over_every_refusal_that_passes() {
    for refusal in [
        Refusal::Busy,
        Refusal::TooManyRequests,
        Refusal::StorageFull,
        Refusal::WindowFull,
        Refusal::Stopping,
    ] {
        let mut world = two();
        for number in 0..9 {
            world.send(0, chat(), &format!("{number}"));
        }
        world.persist(0);
        world.deliver_up(0); // 0 is taken, 1 is refused, the others are out of order
        refuse_next(&mut world, Command::Send, refusal);
        world.settle();
        let events = world.take_events(0);
        assert!(events.iter().any(|event| matches!(event, ClientEvent::SendDelayed { counter: 2, .. })));
        world.pass_until(world.now_ms + 3_000);
        assert_eq!(world.texts(chat()), ["0", "1", "2", "3", "4", "5", "6", "7", "8"], "{refusal:?}");
        world.check();
    }
}

#[test]
fn a_send_that_is_refused_for_good_does_not_stop_the_next() {
    for refusal in [
        Refusal::BodyTooLong,
        Refusal::NotMember,
        Refusal::UnknownUser,
        Refusal::CounterReused,
        Refusal::Malformed,
    ] {
        let mut world = two();
        for text in ["one", "two", "three", "four"] {
            world.send(0, chat(), text);
        }
        world.persist(0);
        world.deliver_up(0);
        refuse_next(&mut world, Command::Send, refusal);
        world.settle();
        let events = world.take_events(0);
        let failed = failures(&events);
        assert_eq!(failed.len(), 1);
        assert!(
            matches!(&failed[0], (2, SendFailure::Refused(refused)) if refused.code == refusal.code()),
            "{failed:?}"
        );
        assert_eq!(world.texts(chat()), ["one", "three", "four"]);
        assert!(world.devices[0].disk.stored.outgoing.is_empty());
    }
}

#[test]
fn an_ignored_send_leaves_the_window_and_its_successor_takes_it_along() {
    let mut world = two();
    world.node.faults.entry(Command::Send).or_default().push_back(Fault::Ignore);
    world.send(0, chat(), "ignored");
    world.settle();
    world.pass_until(world.now_ms + 9_999);
    assert!(!world.take_events(0).iter().any(|event| matches!(event, ClientEvent::SendUnanswered { .. })));
    world.pass_until(world.now_ms + 1);
    let unanswered = ClientEvent::SendUnanswered { conversation: chat(), counter: 1 };
    assert!(world.take_events(0).contains(&unanswered));
    world.send(0, chat(), "next");
    world.settle();
    assert_eq!(world.texts(chat()), ["ignored", "next"]);
    world.check();
}

#[test]
fn sends_that_are_never_answered_leave_when_their_room_is_needed() {
    let mut world = two();
    world.node.faults.entry(Command::Send).or_default().push_back(Fault::Ignore);
    world.send(0, chat(), "ignored");
    world.settle();
    world.pass_until(world.now_ms + 10_000);
    world.disconnect(0);
    for number in 0..OUTGOING_MAX - 1 {
        world.send(0, chat(), &format!("{number}"));
    }
    assert!(failures(&world.take_events(0)).is_empty());
    world.send(0, chat(), "one more");
    world.persist(0);
    assert_eq!(failures(&world.take_events(0)), [(1, SendFailure::Unanswered)]);
    let (now_ms, body) = (world.now_ms, Bytes::from_static(b"too many"));
    let refused = world.devices[0].session.send(now_ms, chat(), BodyKind::Text, body);
    assert_eq!(refused, Err(SendError::QueueFull));
}

#[test]
fn a_chat_without_answers_leaves_the_window_to_others() {
    let mut world = two();
    world.node.faults.entry(Command::Send).or_default().extend([Fault::Ignore; 4]);
    let counters: Vec<_> = (0..20).map(|number| world.send(0, chat(), &format!("{number}"))).collect();
    world.settle();
    assert_eq!(count(&world, Command::Send), 2, "half of the window");
    world.pass_until(world.now_ms + 10_000);
    assert_eq!(count(&world, Command::Send), 3, "one asks whether that is still so");
    world.pass_until(world.now_ms + 10_000);
    let unanswered = |event: &ClientEvent| matches!(event, ClientEvent::SendUnanswered { .. });
    assert_eq!(world.take_events(0).into_iter().filter(unanswered).count(), counters.len());
    world.disconnect(0);
    world.pass_until(world.now_ms + 30_000);
    assert_eq!(count(&world, Command::Send), 4, "one asks for all");
    world.send(0, chat(), "now");
    world.settle();
    let texts = world.texts(chat());
    assert_eq!((texts.len(), &texts[20][..]), (21, "now"), "the next one takes them along");
    world.check();
}

#[test]
fn a_silent_chat_lets_others_send_at_once() {
    let other = chat_of(ANNA, CARL);
    let mut world = two();
    world.node.faults.entry(Command::Send).or_default().extend([Fault::Ignore; 4]);
    (0..20).for_each(|number| _ = world.send(0, chat(), &format!("{number}")));
    world.settle();
    // Nothing is known to be unanswered yet: a start sends the same ones again, and no more of them.
    world.crash(0, usize::MAX);
    world.connect(0);
    world.settle();
    assert_eq!(count(&world, Command::Send), 4);
    world.send(0, other, "hello");
    world.settle();
    assert_eq!(world.texts(other), ["hello"]);
    assert!(world.texts(chat()).is_empty());
}

#[test]
fn a_start_does_not_send_again_what_is_never_answered() {
    let mut world = two();
    world.node.faults.entry(Command::Send).or_default().extend([Fault::Ignore; 4]);
    (0..20).for_each(|number| _ = world.send(0, chat(), &format!("{number}")));
    world.settle();
    world.pass_until(world.now_ms + 20_000);
    assert_eq!(count(&world, Command::Send), 3);
    for _ in 0..3 {
        world.crash(0, usize::MAX);
        world.pass_until(world.now_ms + 15_000);
        assert_eq!(count(&world, Command::Send), 4, "once more at the first start");
    }
    world.send(0, chat_of(ANNA, CARL), "hello");
    world.settle();
    assert_eq!(world.texts(chat_of(ANNA, CARL)), ["hello"], "others do not wait");
    world.send(0, chat(), "now");
    world.settle();
    assert_eq!(world.texts(chat()).len(), 21, "the next one takes them along");
    assert!(world.devices[0].disk.stored.unanswered.is_empty());
    world.check();
}

#[test]
fn what_was_sent_before_the_doubt_asks_nothing_about_it() {
    let mut world = two();
    world.send(0, chat(), "taken");
    world.settle();
    world.node.faults.entry(Command::Send).or_default().extend([Fault::Ignore; 4]);
    world.send(0, chat(), "first");
    world.settle();
    world.pass_until(world.now_ms + 5_000);
    ["second", "third", "fourth", "last"].iter().for_each(|text| _ = world.send(0, chat(), text));
    world.settle();
    assert_eq!(count(&world, Command::Send), 5, "the window is full");
    world.pass_until(world.now_ms + 10_000);
    assert_eq!(world.texts(chat()), ["taken", "first", "second", "third", "fourth", "last"]);
}

#[test]
fn nothing_is_forgotten_in_vain() {
    let mut world = two();
    world.node.faults.entry(Command::Send).or_default().push_back(Fault::Ignore);
    world.send(0, chat(), "ignored");
    world.settle();
    world.pass_until(world.now_ms + 10_000);
    world.disconnect(0);
    let long = "x".repeat(MESSAGE_BODY_LEN_MAX);
    (1..OUTGOING_BYTES_MAX / long.len()).for_each(|_| _ = world.send(0, chat(), &long));
    world.send(0, chat(), &long["ignored".len()..]);
    world.persist(0);
    let refused = world.devices[0].session.send(world.now_ms, chat(), BodyKind::Text, Bytes::from(long));
    assert_eq!(refused, Err(SendError::QueueFull));
    world.carry_out(0);
    assert!(failures(&world.take_events(0)).is_empty(), "it would not have been enough");
}

#[test]
fn a_late_answer_lets_those_go_that_gave_way() {
    let mut world = two();
    for number in 0..20 {
        world.send(0, chat(), &format!("{number}"));
    }
    world.persist(0);
    world.pass_until(world.now_ms + 10_000);
    world.settle();
    assert_eq!(world.texts(chat()).len(), 20);
    assert!(world.devices[0].disk.stored.outgoing.is_empty());
    world.check();
}

#[test]
fn an_ignored_send_goes_once_more_after_a_reconnect_and_not_again() {
    let mut world = two();
    world.node.faults.entry(Command::Send).or_default().extend([Fault::Ignore; 2]);
    world.send(0, chat(), "ignored");
    world.settle();
    world.pass_until(world.now_ms + 10_000);
    for sends in [2, 2] {
        world.disconnect(0);
        world.pass_until(world.now_ms + 15_000);
        assert_eq!(count(&world, Command::Send), sends);
    }
    assert_eq!(world.devices[0].session.undecided(), 1);
    let now_ms = world.now_ms;
    world.devices[0].session.discard(now_ms, 1);
    world.carry_out(0);
    world.settle();
    assert_eq!(failures(&world.take_events(0)), [(1, SendFailure::Discarded)]);
    assert!(world.devices[0].disk.stored.outgoing.is_empty());
}

#[test]
fn a_silent_policy_is_not_asked_in_a_loop() {
    let mut world = two();
    world.send(0, chat(), "taken");
    world.settle();
    // The first of a pair is ignored each time, so the second is out of order each time.
    for _ in 0..200 {
        world.node.faults.entry(Command::Send).or_default().push_back(Fault::Ignore);
    }
    world.send(0, chat(), "never");
    world.send(0, chat(), "neither");
    world.settle();
    world.pass_until(world.now_ms + 600_000);
    assert!(count(&world, Command::Send) < 250, "{}", count(&world, Command::Send));
}

#[test]
fn a_forgotten_counter_is_looked_for_in_the_log() {
    let mut world = two();
    world.send(0, chat(), "taken, but the answer is lost");
    world.persist(0);
    world.deliver_up(0);
    world.disconnect(0);
    world.node.forget_counters = true;
    world.connect(0);
    world.settle();
    assert_eq!(sent_counters(&world.take_events(0)), [1]);
    world.check();
}

#[test]
fn a_forgotten_counter_that_is_not_in_the_log_is_told() {
    let mut world = two();
    refuse_next(&mut world, Command::Send, Refusal::SyncFirst);
    world.send(0, chat(), "where is it?");
    world.settle();
    assert_eq!(failures(&world.take_events(0)), [(1, SendFailure::Undecided)]);
    world.send(0, chat(), "next");
    world.settle();
    assert_eq!(world.texts(chat()), ["next"]);
}

#[test]
fn what_follows_a_forgotten_counter_goes_at_once() {
    let mut world = two();
    refuse_next(&mut world, Command::Send, Refusal::SyncFirst);
    world.send(0, chat(), "where is it?");
    world.send(0, chat(), "next");
    world.settle();
    assert_eq!(failures(&world.take_events(0)), [(1, SendFailure::Undecided)]);
    assert_eq!(world.texts(chat()), ["next"]);
}

#[test]
fn what_was_given_up_but_taken_comes_as_a_message() {
    let mut world = two();
    world.send(0, chat(), "taken");
    world.persist(0);
    let now_ms = world.now_ms;
    world.devices[0].session.discard(now_ms, 1);
    world.carry_out(0);
    world.settle();
    let events = world.take_events(0);
    assert_eq!(failures(&events), [(1, SendFailure::Discarded)]);
    let message =
        |event: &ClientEvent| matches!(event, ClientEvent::Message { entry, .. } if entry.counter == 1);
    assert!(events.iter().any(message), "{events:?}");
    world.send(0, chat(), "next");
    world.settle();
    assert_eq!(world.texts(chat()), ["taken", "next"]);
}

#[test]
fn a_node_restored_from_an_older_state_is_followed() {
    let mut world = two();
    for text in ["one", "two", "three"] {
        world.send(0, chat(), text);
    }
    world.settle();
    world.disconnect(0);
    let log = world.node.logs.get_mut(&chat()).expect("a log");
    log.entries.truncate(1);
    log.epoch = 2;
    log.forget_after(1);
    world.take_events(0);
    world.connect(0);
    world.settle();
    world.send(0, chat(), "after");
    world.settle();
    assert_eq!(world.texts(chat()), ["one", "after"]);
    let events = world.take_events(0);
    assert!(events.contains(&ClientEvent::EpochChanged { conversation: chat(), epoch: 2 }), "{events:?}");
}

#[test]
fn pushes_that_overtake_or_get_lost_are_pulled() {
    let mut world = two();
    for number in 0..8 {
        world.send(0, chat(), &format!("{number}"));
        world.persist(0);
        world.deliver_up(0);
        world.deliver_down(0, 0);
    }
    // Only the fourth and the last arrive as pushes.
    let peer = world.devices[1].peer.expect("connected");
    let out = &mut world.node.peers.get_mut(&peer).expect("a peer").out;
    let kept = [out[3].clone(), out[7].clone()];
    *out = kept.into();
    world.settle();
    world.check();
}

#[test]
fn a_new_device_fetches_the_newest_and_history_the_rest() {
    let mut world = two();
    for number in 1..=20 {
        world.send(0, chat(), &format!("{number}"));
        world.settle();
    }
    let mut device = Device::known(BERT, 2);
    device.config.catch_up_max = 5;
    device.session = Session::new(device.config.clone(), device.disk.stored.clone());
    device.expect_from(chat(), 16);
    world.devices.push(device);
    world.connect(2);
    world.settle();
    let seqs: Vec<u64> = world.devices[2].disk.entries[&chat()].iter().map(|entry| entry.place.seq).collect();
    assert_eq!(seqs, [16, 17, 18, 19, 20]);
    let events = world.take_events(2);
    assert!(events.contains(&ClientEvent::CaughtUp));
    let now_ms = world.now_ms;
    let query = world.devices[2].session.history(now_ms, chat(), 2, 4).expect("ready");
    world.carry_out(2);
    world.settle();
    let events = world.take_events(2);
    let history = events.iter().find_map(|event| match event {
        ClientEvent::History { query: id, pulled } if *id == query => Some(pulled),
        _ => None,
    });
    assert_eq!(
        history.expect("an answer").entries.iter().map(|e| e.place.seq).collect::<Vec<_>>(),
        [2, 3, 4]
    );
    assert_eq!(world.devices[2].disk.stored.conversations[0].applied.seq, 20);
}

#[test]
fn sync_needed_brings_what_was_dropped() {
    let mut world = two();
    world.send(0, chat(), "dropped");
    world.persist(0);
    world.deliver_up(0);
    let peer = world.devices[1].peer.expect("connected");
    world.node.peers.get_mut(&peer).expect("a peer").out.clear();
    world.node.sync_needed(peer);
    world.settle();
    world.check();
}

/// Answers Bert's next pull with these ranges over seqs 1 to 3, of which the last is an entry.
fn answer_pull(world: &mut World, ranges: &[Range]) {
    world.node.drop_pushes = true;
    for text in ["one", "two", "three"] {
        world.send(0, chat(), text);
    }
    world.persist(0);
    while world.deliver_up(0) || world.deliver_down(0, 0) {}
    while world.deliver_down(1, 0) {}
    let frame = world.devices[1].sending.pop_front().expect("a pull");
    let request = u32::from_le_bytes(frame[8..12].try_into().expect("4 bytes"));
    let log = &world.node.logs[&chat()].entries;
    let head = log[2].place;
    let range = PulledRange { conversation: chat(), from: 1, to: 3, epoch: 1, head };
    let frame = Encoder::new().pulled(request, &range, [log[2].view()], ranges);
    world.devices[1].expect_from(chat(), 3);
    let now_ms = world.now_ms;
    world.devices[1].session.handle_frame(now_ms, &frame[LENGTH_LEN..]);
    world.carry_out(1);
}

#[test]
fn a_gap_is_told_and_passed() {
    let mut world = two();
    let gone = Range { from: 1, to: 2, kind: RangeKind::Gone };
    answer_pull(&mut world, &[gone]);
    world.persist(1);
    let events = world.take_events(1);
    assert!(events.contains(&ClientEvent::Gap { conversation: chat(), range: gone }), "{events:?}");
    assert_eq!(world.devices[1].disk.stored.conversations[0].applied.seq, 3);
}

#[test]
fn a_silent_hole_ends_the_connection() {
    let mut world = two();
    answer_pull(&mut world, &[Range { from: 1, to: 1, kind: RangeKind::Gone }]);
    let disconnected = |event: &ClientEvent| {
        matches!(event, ClientEvent::Disconnected(Reason::Misbehaved("a pull with a silent hole")))
    };
    assert!(world.take_events(1).iter().any(disconnected));
}

#[test]
fn a_range_beyond_what_was_asked_ends_the_connection() {
    for to in [4, u64::MAX] {
        let mut world = two();
        answer_pull(&mut world, &[Range { from: 1, to, kind: RangeKind::Gone }]);
        let events = world.take_events(1);
        let disconnected =
            |event: &ClientEvent| matches!(event, ClientEvent::Disconnected(Reason::Misbehaved(_)));
        assert!(events.iter().any(disconnected), "{events:?}");
    }
}

#[test]
fn a_seq_beyond_all_logs_ends_the_connection() {
    let mut world = two();
    world.send(0, chat(), "one");
    world.settle();
    let mut entry = world.node.logs[&chat()].entries[0].clone();
    entry.place.seq = u64::MAX;
    let frame = Encoder::new().message(chat(), 1, &entry.view());
    let now_ms = world.now_ms;
    world.devices[1].session.handle_frame(now_ms, &frame[LENGTH_LEN..]);
    world.carry_out(1);
    let events = world.take_events(1);
    let reason = Reason::Misbehaved("a seq that no log reaches");
    assert!(events.contains(&ClientEvent::Disconnected(reason)), "{events:?}");
}

#[test]
fn what_cannot_be_sent_is_refused_at_once() {
    let mut session = Session::new(config(), Stored::default());
    let body = Bytes::from_static(b"hello");
    assert_eq!(session.send(0, chat(), BodyKind::Text, body.clone()), Err(SendError::NotLoggedIn));
    let mut world = World::new(vec![Device::known(ANNA, 1)]);
    let session = &mut world.devices[0].session;
    let others = chat_of(BERT, super::world::CARL);
    assert_eq!(session.send(0, others, BodyKind::Text, body.clone()), Err(SendError::NotMember));
    let invalid = Bytes::from_static(&[0xff]);
    assert_eq!(session.send(0, chat(), BodyKind::Text, invalid.clone()), Err(SendError::NotText));
    assert_eq!(session.send(0, chat(), BodyKind::Text, Bytes::new()), Err(SendError::Empty));
    let long = Bytes::from(vec![b'a'; 65_537]);
    assert_eq!(session.send(0, chat(), BodyKind::Text, long), Err(SendError::TooLong));
    assert_eq!(session.send(0, chat(), BodyKind::Opaque, invalid), Ok(1), "not connected, but taken");
    for counter in 2..=OUTGOING_MAX as u64 {
        assert_eq!(session.send(0, chat(), BodyKind::Text, body.clone()), Ok(counter));
    }
    assert_eq!(session.send(0, chat(), BodyKind::Text, body), Err(SendError::QueueFull));
}

#[test]
fn the_window_is_kept() {
    let mut world = two();
    for number in 0..20 {
        world.send(0, chat(), &format!("{number}"));
    }
    world.persist(0);
    assert_eq!(world.devices[0].sending.len(), 2, "half of the node's window, where nothing was taken yet");
    world.settle();
    assert_eq!(world.texts(chat()).len(), 20);
    for number in 0..20 {
        world.send(0, chat(), &format!("{number}"));
    }
    world.persist(0);
    assert_eq!(world.devices[0].sending.len(), 4, "the node's window");
    world.settle();
    world.check();
}

#[test]
fn applied_place_and_message_are_one_group() {
    let mut world = two();
    world.send(0, chat(), "hello");
    world.persist(0);
    world.deliver_up(0);
    world.deliver_down(1, 0);
    let groups = &world.devices[1].unwritten;
    assert_eq!(groups.len(), 1);
    let ops = &groups[0].1;
    let entry = ops.iter().any(|op| matches!(op, PersistOp::Entry { entry, .. } if entry.place.seq == 1));
    let state = ops.iter().any(|op| matches!(op, PersistOp::Conversation(state) if state.applied.seq == 1));
    assert!(entry && state, "{ops:?}");
}

#[test]
fn a_backlog_of_unwritten_changes_is_told() {
    let mut world = two();
    for _ in 0..=crate::client::PERSISTS_MAX {
        assert!(!world.devices[0].session.is_backlogged());
        world.send(0, chat(), "x");
    }
    assert!(world.devices[0].session.is_backlogged());
    world.persist(0);
    assert!(!world.devices[0].session.is_backlogged());
    let other = world.devices[0].other_effects.iter().any(|effect| matches!(effect, Effect::Disconnect(_)));
    assert!(!other);
}
