//! Registration, login, resume, heartbeats and the ends of connections.

use super::node::Fault;
use super::world::{ANNA, BERT, Device, World, chat_of, config};
use crate::client::{ClientEvent, Effect, LOGIN_STEP_MS_MAX, QueryError, Reason, SILENCE_MS_MAX, Stored};
use crate::encode::Encoder;
use crate::frame::LENGTH_LEN;
use crate::message::Hello;
use crate::scram::{NONCE_LEN, stretch};
use crate::{Command, Refusal, UserId};

const NONCE: [u8; NONCE_LEN] = [77; NONCE_LEN];

/// A device that nobody has logged in on.
fn new_device() -> Device {
    Device::new(config(), Stored::default())
}

/// Gives the password whenever it is asked for; counts how often.
fn settle_with_password(world: &mut World, at: usize, password: &str) -> usize {
    let mut asked = 0;
    loop {
        world.settle();
        let effects = std::mem::take(&mut world.devices[at].other_effects);
        let terms = effects.into_iter().find_map(|effect| match effect {
            Effect::NeedStretch { salt, iterations } => Some((salt, iterations)),
            _ => None,
        });
        let Some((salt, iterations)) = terms else { return asked };
        asked += 1;
        let keys = stretch(password, &salt, iterations).expect("allowed terms");
        world.devices[at].session.handle_stretched(world.now_ms, keys);
        world.carry_out(at);
    }
}

fn register(world: &mut World, at: usize, name: &str) {
    let now_ms = world.now_ms;
    world.devices[at].session.register(now_ms, name, NONCE);
    world.carry_out(at);
    assert_eq!(settle_with_password(world, at, "pencil"), 1, "the login uses the same stretched keys");
    assert!(world.devices[at].session.is_ready());
}

fn registered() -> World {
    let mut world = World::new(vec![new_device(), new_device()]);
    world.connect(0);
    world.settle();
    register(&mut world, 0, "Anna");
    world
}

fn refusals(events: &[ClientEvent]) -> Vec<u16> {
    let code = |event: &ClientEvent| match event {
        ClientEvent::LoginRefused(refused) | ClientEvent::RegisterRefused(refused) => Some(refused.code),
        _ => None,
    };
    events.iter().filter_map(code).collect()
}

fn last_disconnect(events: &[ClientEvent]) -> Option<Reason> {
    events.iter().rev().find_map(|event| match event {
        ClientEvent::Disconnected(reason) => Some(reason.clone()),
        _ => None,
    })
}

#[test]
fn registers_logs_in_and_resumes() {
    for plain in [false, true] {
        let mut world = World::new(vec![new_device()]);
        world.node.plain = plain;
        world.connect(0);
        world.settle();
        assert!(world.take_events(0).contains(&ClientEvent::LoginNeeded));
        register(&mut world, 0, "Anna");
        let device = world.devices[0].disk.stored.account.clone().expect("an account").device;
        let events = world.take_events(0);
        assert!(events.contains(&ClientEvent::Registered { user: ANNA }));
        let name = "anna".to_owned();
        let logged_in = ClientEvent::LoggedIn { user: ANNA, name, device, resumed: false };
        assert!(events.contains(&logged_in), "{events:?}");
        assert!(world.devices[0].session.session_key().is_some());

        world.crash(0, 0);
        world.connect(0);
        world.settle();
        let name = "anna".to_owned();
        let resumed = ClientEvent::LoggedIn { user: ANNA, name, device, resumed: true };
        assert!(world.take_events(0).contains(&resumed));
    }
}

#[test]
fn a_wrong_password_is_told_and_may_be_corrected() {
    let mut world = registered();
    world.connect(1);
    world.settle();
    let now_ms = world.now_ms;
    world.devices[1].session.log_in(now_ms, "anna", NONCE);
    world.carry_out(1);
    settle_with_password(&mut world, 1, "pencils");
    assert_eq!(refusals(&world.take_events(1)), [Refusal::LoginFailed.code()]);
    world.devices[1].session.log_in(now_ms, "anna", [78; NONCE_LEN]);
    world.carry_out(1);
    settle_with_password(&mut world, 1, "pencil");
    assert!(world.devices[1].session.is_ready());
    let devices = [0, 1].map(|at| world.devices[at].session.account().expect("an account").device);
    assert_ne!(devices[0], devices[1], "each device has its own id");
}

#[test]
fn a_refused_ticket_leads_to_a_login_with_the_kept_keys() {
    let mut world = registered();
    world.disconnect(0);
    let fault = Fault::Refuse { refusal: Refusal::TicketRefused, retry_ms: 0 };
    world.node.faults.entry(Command::Resume).or_default().push_back(fault);
    world.connect(0);
    assert_eq!(settle_with_password(&mut world, 0, "pencil"), 0);
    assert!(world.devices[0].session.is_ready());
    // Without kept keys the password is asked for.
    let mut forgetful = world.devices[0].disk.stored.clone();
    forgetful.keys = None;
    forgetful.account.as_mut().expect("an account").ticket.clear();
    world.devices.push(Device::new(config(), forgetful));
    world.connect(2);
    assert_eq!(settle_with_password(&mut world, 2, "pencil"), 1);
    assert!(world.devices[2].session.is_ready());
}

#[test]
fn a_registration_whose_answer_was_lost_goes_on_as_a_login() {
    let mut world = World::new(vec![new_device()]);
    world.connect(0);
    world.settle();
    world.devices[0].session.register(world.now_ms, "anna", NONCE);
    world.carry_out(0);
    world.settle();
    let Some(Effect::NeedStretch { salt, iterations }) = world.devices[0].other_effects.pop() else {
        panic!("a password is needed")
    };
    let keys = stretch("pencil", &salt, iterations).expect("allowed terms");
    world.devices[0].session.handle_stretched(world.now_ms, keys);
    world.carry_out(0);
    world.deliver_up(0); // the node has the account now
    world.disconnect(0);
    world.connect(0);
    settle_with_password(&mut world, 0, "pencil");
    assert!(world.devices[0].session.is_ready());
    assert_eq!(refusals(&world.take_events(0)), []);
}

#[test]
fn a_taken_name_is_told() {
    let mut world = registered();
    world.connect(1);
    world.settle();
    world.devices[1].session.register(world.now_ms, "ANNA", NONCE);
    world.carry_out(1);
    settle_with_password(&mut world, 1, "other");
    assert_eq!(refusals(&world.take_events(1)), [Refusal::NameTaken.code()]);
    assert!(!world.devices[1].session.is_ready());
}

#[test]
fn another_account_does_not_enter_this_state() {
    let mut world = registered();
    world.connect(1);
    world.settle();
    register(&mut world, 1, "bert");
    world.disconnect(0);
    world.devices[0].session.log_in(world.now_ms, "bert", NONCE);
    world.carry_out(0);
    world.connect(0);
    settle_with_password(&mut world, 0, "pencil");
    assert_eq!(last_disconnect(&world.take_events(0)), Some(Reason::OtherAccount));
    assert_eq!(world.devices[0].disk.stored.account.as_ref().map(|account| account.user), Some(ANNA));
    assert_eq!(world.devices[0].reconnect_at_ms, None, "it does not try again");
}

#[test]
fn a_lost_connection_is_tried_again_ever_more_rarely() {
    let mut world = registered();
    world.disconnect(0);
    assert_eq!(world.devices[0].reconnect_at_ms, Some(world.now_ms + 40), "as the node said");
    let mut longest = 0;
    for _ in 0..20 {
        world.devices[0].session.handle_connect_failed(world.now_ms);
        world.carry_out(0);
        let delay_ms = world.devices[0].reconnect_at_ms.expect("a delay") - world.now_ms;
        longest = longest.max(delay_ms);
    }
    assert!((15_000..=30_000).contains(&longest), "{longest}");
}

#[test]
fn transient_refusals_before_the_login_are_tried_again() {
    for refusal in [Refusal::Busy, Refusal::TooManyFromAddress, Refusal::TooManyRequests] {
        for command in [Command::Hello, Command::Resume] {
            let mut world = registered();
            world.disconnect(0);
            let fault = Fault::Refuse { refusal, retry_ms: 3_000 };
            world.node.faults.entry(command).or_default().push_back(fault);
            world.connect(0);
            world.settle();
            assert!(!world.devices[0].session.is_ready());
            assert!(world.devices[0].reconnect_at_ms >= Some(world.now_ms + 3_000));
            world.pass_until(world.now_ms + 5_000);
            assert!(world.devices[0].session.is_ready(), "{refusal:?} {command:?}");
        }
    }
}

#[test]
fn an_idle_connection_is_kept_and_a_dead_one_noticed() {
    let mut world = World::new(vec![Device::known(ANNA, 1)]);
    world.connect(0);
    world.settle();
    let before = world.node.commands.len();
    world.pass_until(world.now_ms + 200_000);
    let pings = world.node.commands[before..].iter().filter(|command| **command == Command::Ping).count();
    assert!((9..=11).contains(&pings), "{pings} pings in 200 s at 60 s of allowed silence");
    assert!(world.devices[0].session.is_ready());
    world.node.faults.entry(Command::Ping).or_default().push_back(Fault::Ignore);
    world.pass_until(world.now_ms + 20_000 + SILENCE_MS_MAX);
    assert_eq!(last_disconnect(&world.take_events(0)), Some(Reason::Silent));
}

#[test]
fn a_step_of_the_login_without_an_answer_ends_the_connection() {
    let mut world = World::new(vec![Device::known(ANNA, 1)]);
    world.node.faults.entry(Command::Resume).or_default().push_back(Fault::Ignore);
    world.connect(0);
    world.settle();
    world.pass_until(world.now_ms + LOGIN_STEP_MS_MAX);
    assert_eq!(last_disconnect(&world.take_events(0)), Some(Reason::Silent));
    world.pass_until(world.now_ms + 2_000);
    assert!(world.devices[0].session.is_ready());
}

#[test]
fn a_move_ends_the_connection_when_the_node_said() {
    let mut world = World::new(vec![Device::known(ANNA, 1), Device::known(BERT, 1)]);
    world.connect(0);
    world.connect(1);
    world.settle();
    world.node.move_away(world.devices[0].peer.expect("connected"), 700);
    world.settle();
    let addresses = vec!["other:1".to_owned()];
    assert!(world.take_events(0).contains(&ClientEvent::MoveAsked { addresses, delay_ms: 700 }));
    world.send(0, chat_of(ANNA, BERT), "on the way");
    world.settle();
    assert_eq!(world.devices[1].disk.entries.len(), 0, "nothing new goes over the old connection");
    let moved_at_ms = world.now_ms + 700;
    world.pass_until(moved_at_ms);
    let effects = &world.devices[0].other_effects;
    let addresses = vec!["other:1".to_owned()];
    assert!(effects.contains(&Effect::ReconnectAfter { delay_ms: 0, addresses }), "{effects:?}");
    world.pass_until(moved_at_ms + 1);
    world.check();
    assert_eq!(world.devices[1].disk.entries.len(), 1);
}

#[test]
fn a_session_that_was_ended_does_not_come_back() {
    let mut world = registered();
    let peer = world.devices[0].peer.expect("connected");
    world.node.closing(peer, Refusal::SessionEnded);
    world.settle();
    world.disconnect(0);
    let reason = last_disconnect(&world.take_events(0));
    assert!(matches!(reason, Some(Reason::Closed(refused)) if refused.code == Refusal::SessionEnded.code()));
    assert_eq!(world.devices[0].reconnect_at_ms, None);
    // A node that stops is another matter.
    world.connect(0);
    world.settle();
    let peer = world.devices[0].peer.expect("connected");
    world.node.closing(peer, Refusal::Stopping);
    world.settle();
    world.disconnect(0);
    assert!(world.devices[0].reconnect_at_ms.is_some());
}

#[test]
fn a_logout_ends_the_ticket() {
    let mut world = registered();
    world.devices[0].session.log_out(world.now_ms);
    world.carry_out(0);
    world.settle();
    let events = world.take_events(0);
    assert!(events.contains(&ClientEvent::LoggedOut));
    assert_eq!(last_disconnect(&events), Some(Reason::Asked));
    assert!(world.devices[0].disk.stored.account.as_ref().expect("an account").ticket.is_empty());
    assert_eq!(world.devices[0].reconnect_at_ms, None);
}

#[test]
fn queries_are_answered_or_told_lost() {
    let mut world = registered();
    let now_ms = world.now_ms;
    let session = &mut world.devices[0].session;
    let found = session.find_user(now_ms, "Anna").expect("ready");
    let unknown = session.find_user(now_ms, "nobody").expect("ready");
    world.carry_out(0);
    world.settle();
    let events = world.take_events(0);
    let name = "anna".to_owned();
    assert!(events.contains(&ClientEvent::UserFound { query: found, user: ANNA, name, deleted: false }));
    let refused = |event: &ClientEvent| {
        matches!(event, ClientEvent::QueryRefused { query, refused }
            if *query == unknown && refused.code == Refusal::UnknownUser.code())
    };
    assert!(events.iter().any(refused));
    let lost = world.devices[0].session.name_user(now_ms, UserId(1 << 10)).expect("ready");
    world.carry_out(0);
    world.disconnect(0);
    assert!(world.take_events(0).contains(&ClientEvent::QueryLost { query: lost }));
    assert_eq!(world.devices[0].session.find_user(now_ms, "anna"), Err(QueryError::NotReady));
}

#[test]
fn a_node_that_breaks_the_protocol_is_left() {
    let garbage: [&[u8]; 4] =
        [&[], &[0; 7], &[1, 1, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 9, 9, 9, 9], &[0, 1, 1, 0, 0, 0, 0, 0]];
    for frame in garbage {
        let mut world = registered();
        world.devices[0].session.handle_frame(world.now_ms, frame);
        world.carry_out(0);
        let reason = last_disconnect(&world.take_events(0));
        assert!(matches!(reason, Some(Reason::Misbehaved(_))), "{frame:?}: {reason:?}");
        world.pass_until(world.now_ms + 1_000);
        assert!(world.devices[0].session.is_ready(), "and tried again");
    }
    let mut world = registered();
    world.devices[0].session.handle_bytes(world.now_ms, &u32::MAX.to_le_bytes());
    world.carry_out(0);
    assert!(matches!(last_disconnect(&world.take_events(0)), Some(Reason::Misbehaved(_))));
}

#[test]
fn bytes_may_be_cut_anyhow() {
    let mut world = World::new(vec![Device::known(ANNA, 1)]);
    world.connect(0);
    let frame = world.devices[0].sending.pop_front().expect("a Hello");
    let expected =
        Encoder::new().hello(1, &Hello { version_min: 1, version_max: 1, features: 0, software: "test" });
    assert_eq!(frame, expected);
    let peer = world.devices[0].peer.expect("connected");
    world.node.handle(peer, &frame, 0);
    let welcome = world.node.peers.get_mut(&peer).expect("a peer").out.pop_front().expect("an answer");
    let mut bytes = (welcome.len() as u32).to_le_bytes().to_vec();
    bytes.extend_from_slice(&welcome);
    assert_eq!(bytes.len(), welcome.len() + LENGTH_LEN);
    for byte in bytes {
        world.devices[0].session.handle_bytes(world.now_ms, &[byte]);
    }
    world.carry_out(0);
    world.settle();
    assert!(world.devices[0].session.is_ready());
}
