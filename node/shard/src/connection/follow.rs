//! What sessions of this shard follow, and the events of it.
//!
//! One frame of a home becomes one event for each session that follows, a bounded number in each turn, in the order in
//! which the frames came.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use wire::message::HeadMoved;
use wire::{ConnectionId, ConversationId, Notices, SessionId};

use super::Connections;
use super::state::{Session, SessionFollows, State};
use crate::bugs::Bug;
use crate::core::Core;
use crate::follow::{Above, Followed, Following, Update};
use crate::input::SendClass;
use crate::limits::{FAN_OUT_PER_TURN, FAN_OUTS_MAX, FOLLOWED_PER_SESSION_MAX};
use crate::mesh::PushEvent;

/// Events on their way to the sessions that follow a conversation.
#[derive(Debug)]
struct FanOut {
    conversation: ConversationId,
    events: Arc<[PushEvent]>,
    /// The place in the table that is looked at next.
    next: u32,
}

/// What waits until all sessions are told.
#[derive(Debug, Default)]
pub(super) struct FanOuts {
    queue: VecDeque<FanOut>,
    /// Told as a head when the queue is empty, since it was full. Each is followed here.
    late: BTreeSet<ConversationId>,
}

impl FanOuts {
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.late.is_empty()
    }

    fn push(&mut self, conversation: ConversationId, events: Arc<[PushEvent]>) {
        if self.queue.len() < FAN_OUTS_MAX && self.late.is_empty() {
            self.queue.push_back(FanOut { conversation, events, next: 0 });
        } else {
            self.late.insert(conversation);
        }
    }

    pub fn check_invariants(&self) {
        assert!(self.queue.len() <= FAN_OUTS_MAX);
    }
}

impl Connections {
    /// From the home of a conversation that sessions here follow.
    pub(crate) fn handle_followed(&mut self, core: &mut Core, followed: Followed) {
        match self.follows.handle_followed(core, &followed) {
            Update::Events => self.fan_outs.push(followed.conversation, followed.events),
            Update::Head => {
                let events = self.head_event(core, followed.conversation);
                self.fan_outs.push(followed.conversation, events);
            }
            Update::Nothing => {}
        }
    }

    /// What a session follows has changed.
    pub(crate) fn handle_refollow(
        &mut self,
        core: &mut Core,
        id: ConnectionId,
        session: SessionId,
        following: Following,
        frame: Option<Bytes>,
        above: Above<'_>,
    ) {
        if self.table.find(id).is_some_and(|found| found.session(session).is_some()) {
            let before = self.followed_by(id);
            self.follow(core, id, following, above);
            if let Some(frame) = frame {
                self.handle_push(core, id, session, frame, 0);
            }
            self.send_new_heads(core, id, &before);
        }
    }

    /// Another department stands above another: what sessions follow is found anew, a part in each turn.
    pub(crate) fn handle_tree(&mut self) {
        self.replaced = Some(0);
    }

    /// Some sessions whose departments may have others above them now.
    pub(super) fn replace_some(&mut self, core: &mut Core, above: Above<'_>) {
        let Some(from) = self.replaced.take() else { return };
        let to = self.table.end().min(from + FAN_OUT_PER_TURN as u32);
        for index in from..to {
            let Some(id) = self.table.id_of(core.address.shard, index) else { continue };
            let Some(State::LoggedIn(session)) = self.table.find(id).map(|found| &found.state) else {
                continue;
            };
            if let Some(place) = session.follows.as_ref().map(|follows| follows.place.clone()) {
                let before = self.followed_by(id);
                self.follow(core, id, Following { adverts_off: None, place: Some(place) }, above);
                self.send_new_heads(core, id, &before);
            }
        }
        self.replaced = (to < self.table.end()).then_some(to);
    }

    /// A session follows this from now on.
    fn follow(&mut self, core: &mut Core, id: ConnectionId, following: Following, above: Above<'_>) {
        let Some(State::LoggedIn(session)) = self.table.find(id).map(|found| &mut found.state) else {
            return;
        };
        if let Some(off) = following.adverts_off {
            session.adverts = Some(!off || core.bug(Bug::AdvertsToAll));
        }
        let known = session.follows.as_ref().map_or(0, |follows| follows.place.version);
        let Some(place) = following.place.filter(|place| place.version >= known) else { return };
        let mut wanted = above(&place.departments);
        wanted.truncate(FOLLOWED_PER_SESSION_MAX);
        let of = |department: &u32| ConversationId::of_notices(Notices::Department(*department));
        let wanted: Vec<_> = wanted.iter().map(of).collect();
        let before = session.follows.take().map(|follows| follows.conversations).unwrap_or_default();
        for gone in before.iter().filter(|conversation| !wanted.contains(conversation)) {
            self.follows.remove(core, *gone, id.index);
        }
        let mut conversations = Vec::with_capacity(wanted.len());
        for conversation in wanted {
            if before.contains(&conversation) || self.follows.add(core, conversation, id.index) {
                conversations.push(conversation);
            }
        }
        // Most users are in no department, and cost nothing here.
        if place.version > 0 {
            session.follows = Some(Box::new(SessionFollows { place, conversations }));
        }
    }

    /// Tells a session how far that has come which it follows now and did not before.
    fn send_new_heads(&mut self, core: &mut Core, id: ConnectionId, before: &[ConversationId]) {
        self.send_heads(core, id, |conversation| !before.contains(&conversation));
    }

    /// Everything that a session follows.
    fn followed_by(&mut self, id: ConnectionId) -> Vec<ConversationId> {
        let Some(State::LoggedIn(session)) = self.table.find(id).map(|found| &found.state) else {
            return Vec::new();
        };
        followed(session).collect()
    }

    /// The answer of a command, with what the session follows: it is told how far that has come. Before the answer, so that a
    /// client knows all there is; but not before it is told that it gets adverts again.
    pub(super) fn answer_following(
        &mut self,
        core: &mut Core,
        id: ConnectionId,
        answer: Bytes,
        following: Following,
        above: Above<'_>,
    ) {
        let had_none = matches!(
            self.table.find(id).map(|found| &found.state),
            Some(State::LoggedIn(session)) if session.adverts == Some(false)
        );
        self.follow(core, id, following, above);
        let is_late =
            |conversation: ConversationId| had_none && conversation.notice() == Some(Notices::Adverts);
        self.send_heads(core, id, |conversation| !is_late(conversation));
        core.send(id, answer, SendClass::Reply);
        if had_none {
            self.send_heads(core, id, is_late);
        }
    }

    /// Tells a session how far what it follows has come, as far as that is wanted.
    fn send_heads(&mut self, core: &mut Core, id: ConnectionId, wanted: impl Fn(ConversationId) -> bool) {
        let Self { table, follows, .. } = self;
        let Some(State::LoggedIn(session)) = table.find(id).map(|found| &found.state) else { return };
        let mut frames = Vec::new();
        for conversation in followed(session).filter(|conversation| wanted(*conversation)) {
            let at = follows.head(conversation).unwrap_or_default();
            if at.head.seq > 0 {
                frames.extend_from_slice(&head_moved(core, conversation, at));
            }
        }
        if !frames.is_empty() {
            core.send(id, frames.into(), SendClass::Reply);
        }
    }

    fn head_event(&self, core: &mut Core, conversation: ConversationId) -> Arc<[PushEvent]> {
        let at = self.follows.head(conversation).unwrap_or_default();
        Arc::new([PushEvent {
            frames: head_moved(core, conversation, at),
            messages: 0,
            except: None,
            only: None,
        }])
    }

    /// Tells as many sessions as one turn may.
    pub(super) fn fan_out(&mut self, core: &mut Core) {
        let mut looks = FAN_OUT_PER_TURN;
        while looks > 0 {
            let Some(mut fan_out) = self.fan_outs.queue.pop_front() else {
                let Some(conversation) = self.fan_outs.late.pop_first() else { return };
                let events = self.head_event(core, conversation);
                self.fan_outs.queue.push_back(FanOut { conversation, events, next: 0 });
                continue;
            };
            while looks > 0
                && let Some(index) = self.next_place(&fan_out)
            {
                looks -= 1;
                fan_out.next = index + 1;
                self.push_followed(core, index, &fan_out);
            }
            if self.next_place(&fan_out).is_some() {
                return self.fan_outs.queue.push_front(fan_out);
            }
        }
    }

    /// The next connection that may follow the conversation.
    fn next_place(&self, fan_out: &FanOut) -> Option<u32> {
        match fan_out.conversation.notice() {
            Some(Notices::All | Notices::Adverts) => {
                (fan_out.next < self.table.end()).then_some(fan_out.next)
            }
            _ => self.follows.next_follower(fan_out.conversation, fan_out.next),
        }
    }

    fn push_followed(&mut self, core: &mut Core, index: u32, fan_out: &FanOut) {
        let Some(id) = self.table.id_of(core.address.shard, index) else { return };
        let Some(State::LoggedIn(session)) = self.table.find(id).map(|found| &found.state) else { return };
        if fan_out.conversation.notice() == Some(Notices::Adverts) && session.adverts != Some(true) {
            return;
        }
        let session = session.session;
        for event in fan_out.events.iter().filter(|event| event.except != Some(session)) {
            self.handle_push(core, id, session, event.frames.clone(), event.messages);
        }
    }
}

/// Everything that a session follows.
fn followed(session: &Session) -> impl Iterator<Item = ConversationId> {
    let adverts = (session.adverts == Some(true)).then_some(Notices::Adverts);
    let own = session.follows.iter().flat_map(|follows| follows.conversations.iter().copied());
    let pinned = [Some(Notices::All), adverts].into_iter().flatten().map(ConversationId::of_notices);
    pinned.chain(own)
}

fn head_moved(core: &mut Core, conversation: ConversationId, at: crate::follow::NoticeHead) -> Bytes {
    core.encoder.head_moved(&HeadMoved { conversation, epoch: at.epoch, head: at.head.into() })
}
