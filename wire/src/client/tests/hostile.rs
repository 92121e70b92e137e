//! A node that says anything: the client leaves it, and never panics.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::world::{ANNA, BERT, CARL, Device, World, chat_of};
use crate::client::Effect;
use crate::encode::Encoder;
use crate::frame::LENGTH_LEN;
use crate::ids::{ConversationId, DeviceId, UserId};
use crate::message::{
    BodyKind, Entry, EntryKind, HeadMoved, MarkKind, Marked, Move, Place, PulledRange, Range, RangeKind,
    Sent, Summary, Synced,
};
use crate::refusal::Refusal;

#[derive(Clone, Debug)]
enum Say {
    Message {
        conversation: ConversationId,
        epoch: u32,
        seq: u64,
    },
    HeadMoved {
        conversation: ConversationId,
        epoch: u32,
        seq: u64,
    },
    Marked {
        conversation: ConversationId,
        user: UserId,
        kind: u8,
        seq: u64,
    },
    Pulled {
        conversation: ConversationId,
        epoch: u32,
        from: u64,
        to: u64,
        head: u64,
        ranges: Vec<(u64, u64, u8)>,
    },
    Synced {
        from: u64,
        to: u64,
        more: bool,
        heads: Vec<(ConversationId, u32, u64)>,
    },
    Sent {
        conversation: ConversationId,
        counter: u64,
        epoch: u32,
        seq: u64,
    },
    Refused {
        refusal: Refusal,
        detail: u64,
        retry_ms: u32,
    },
    Move {
        reconnect_ms: u32,
        deadline_ms: u32,
    },
    SyncNeeded,
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![10 => 0..12u64, 1 => Just(crate::limits::SEQ_MAX), 1 => Just(u64::MAX), 1 => any::<u64>()]
}

fn conversation() -> impl Strategy<Value = ConversationId> {
    prop_oneof![
        6 => Just(chat_of(ANNA, BERT)),
        2 => Just(chat_of(ANNA, CARL)),
        1 => Just(chat_of(BERT, CARL)),
        1 => Just(ConversationId { low: UserId(0), high: UserId(u64::MAX) }),
    ]
}

fn say() -> impl Strategy<Value = Say> {
    let epoch = || 0..4u32;
    let range = (number(), number(), 0..9u8);
    prop_oneof![
        4 => (conversation(), epoch(), number())
            .prop_map(|(conversation, epoch, seq)| Say::Message { conversation, epoch, seq }),
        2 => (conversation(), epoch(), number())
            .prop_map(|(conversation, epoch, seq)| Say::HeadMoved { conversation, epoch, seq }),
        2 => (conversation(), prop_oneof![Just(ANNA), Just(BERT)], 0..4u8, number())
            .prop_map(|(conversation, user, kind, seq)| Say::Marked { conversation, user, kind, seq }),
        4 => (conversation(), epoch(), number(), number(), number(), vec(range, 0..4)).prop_map(
            |(conversation, epoch, from, to, head, ranges)| {
                Say::Pulled { conversation, epoch, from, to, head, ranges }
            }
        ),
        3 => (number(), number(), any::<bool>(), vec((conversation(), epoch(), number()), 0..4))
            .prop_map(|(from, to, more, heads)| Say::Synced { from, to, more, heads }),
        4 => (conversation(), number(), epoch(), number())
            .prop_map(|(conversation, counter, epoch, seq)| Say::Sent { conversation, counter, epoch, seq }),
        2 => (prop::sample::select(Refusal::ALL), number(), any::<u32>())
            .prop_map(|(refusal, detail, retry_ms)| Say::Refused { refusal, detail, retry_ms }),
        1 => (any::<u32>(), any::<u32>())
            .prop_map(|(reconnect_ms, deadline_ms)| Say::Move { reconnect_ms, deadline_ms }),
        1 => Just(Say::SyncNeeded),
    ]
}

fn entry(seq: u64) -> Entry {
    Entry {
        place: Place { seq, ord: seq },
        time_ms: seq,
        sender: if seq.is_multiple_of(2) { ANNA } else { BERT },
        device: DeviceId(1),
        counter: seq,
        kind: EntryKind::Message,
        body_kind: BodyKind::Text,
        body: Bytes::from_static(b"?"),
        extras: None,
    }
}

fn summary((conversation, epoch, seq): (ConversationId, u32, u64)) -> Summary {
    let place = Place { seq, ord: seq };
    Summary {
        conversation,
        uver: seq,
        epoch,
        head: place,
        read: place,
        delivered: place,
        peer_read: place,
        peer_delivered: place,
        time_ms: seq,
        mentioned: 0,
    }
}

fn frame(encoder: &mut Encoder, request: u32, say: Say) -> Bytes {
    let place = |seq| Place { seq, ord: seq };
    match say {
        Say::Message { conversation, epoch, seq } => encoder.message(conversation, epoch, &entry(seq).view()),
        Say::HeadMoved { conversation, epoch, seq } => {
            encoder.head_moved(&HeadMoved { conversation, epoch, head: place(seq) })
        }
        Say::Marked { conversation, user, kind, seq } => {
            encoder.marked(request, &Marked { conversation, user, kind: MarkKind(kind), place: place(seq) })
        }
        Say::Pulled { conversation, epoch, from, to, head, ranges } => {
            let range = PulledRange { conversation, from, to, epoch, head: place(head) };
            let entries: Vec<Entry> = (from..=to.min(from.saturating_add(4))).map(entry).collect();
            let ranges: Vec<Range> = ranges
                .into_iter()
                .map(|(from, to, kind)| Range { from, to, kind: RangeKind(kind) })
                .collect();
            encoder.pulled(request, &range, entries.iter().map(Entry::view), &ranges)
        }
        Say::Synced { from, to, more, heads } => {
            let changes: Vec<Summary> = heads.into_iter().map(summary).collect();
            encoder.synced(request, &Synced { from, to, more, changes, adverts_off: false })
        }
        Say::Sent { conversation, counter, epoch, seq } => {
            encoder.sent(request, &Sent { conversation, counter, place: place(seq), time_ms: 1, epoch })
        }
        Say::Refused { refusal, detail, retry_ms } => encoder.refused(request, refusal, detail, retry_ms),
        Say::Move { reconnect_ms, deadline_ms } => {
            encoder.move_away(&Move { addresses: Vec::new(), reconnect_ms, deadline_ms })
        }
        Say::SyncNeeded => encoder.sync_needed(),
    }
}

proptest! {
    #[test]
    fn nothing_that_a_node_says_makes_a_client_panic(
        script in vec((0..20u32, say(), any::<bool>(), 0..2u8), 1..60)
    ) {
        let mut world = World::new(vec![Device::known(ANNA, 1)]);
        world.connect(0);
        world.settle();
        let session = &mut world.devices[0].session;
        let mut encoder = Encoder::new();
        let mut now_ms = 10_000;
        for (request, said, send, what) in script {
            if !session.is_ready() {
                break;
            }
            if send {
                let body = Bytes::from_static(b"mine");
                let peer = if what == 0 { BERT } else { CARL };
                session.send(now_ms, chat_of(ANNA, peer), BodyKind::Text, body).expect("room");
            }
            let frame = frame(&mut encoder, request, said);
            session.handle_frame(now_ms, &frame[LENGTH_LEN..]);
            session.check_invariants();
            while let Some(effect) = session.poll_effect() {
                if let Effect::Persist { token, .. } = effect {
                    session.handle_persisted(now_ms, token);
                    session.check_invariants();
                }
            }
            now_ms += 700;
            session.handle_tick(now_ms);
            session.check_invariants();
        }
    }
}
