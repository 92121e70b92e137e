//! Notices in a user's own list: how far he has read them, and which ones he wants. The notices themselves have their home
//! elsewhere and know nothing of him.

use bytes::Bytes;
use record::{Digest, Key, ListEntry, Marks, OrgPlace, Place, Record, RecordError, Rows};
use wire::message::{MarkKind, Marked};
use wire::{ConversationId, Notices, SessionId, UserId};

use crate::core::{After, Core};
use crate::follow::{Following, NoticeHead};
use crate::login::OpenSession;
use crate::mesh::{Caller, FollowFrame, MeshFrame, SessionPlace};

use super::merge::merge_one;
use super::push;
use super::state::List;
use super::{BUSY_RETRY_MS, Held, ListCommand, Lists};

/// What a user wants of notices. Read with his list.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    pub following: record::Following,
    /// Whose member he is: as it was read, or told since then.
    place: OrgPlace,
}

impl Wishes {
    pub fn following(&self) -> Following {
        Following { adverts_off: Some(self.following.adverts_off), place: Some(self.place.clone()) }
    }

    /// Takes in what the store has.
    pub fn restore(&mut self, following: &Rows, place: &Rows) -> Result<(), RecordError> {
        if let Some(row) = following.rows.first() {
            self.following = record::Following::decode(&row.value)?;
        }
        if let Some(row) = place.rows.first() {
            self.put(&OrgPlace::decode(&row.value)?);
        }
        Ok(())
    }

    /// What was told while the list was being read is newer than what was read.
    fn put(&mut self, place: &OrgPlace) {
        if place.version > self.place.version {
            self.place.clone_from(place);
        }
    }
}

/// A row of a user is on disk: his devices are told.
#[derive(Debug)]
pub(crate) struct Told {
    pub user: UserId,
    /// Has its answer, which says it too.
    except: SessionId,
    frame: Bytes,
    /// What his sessions follow from now on, if that has changed.
    following: Option<Following>,
}

/// Read up to a seq.
#[derive(Clone, Copy, Debug)]
pub(super) struct MarkNotice {
    conversation: ConversationId,
    at: NoticeHead,
    seq: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct SetAdverts {
    off: bool,
    adverts: Option<NoticeHead>,
}

impl Lists {
    pub fn handle_mark_notice(
        &mut self,
        core: &mut Core,
        caller: Caller,
        conversation: ConversationId,
        at: NoticeHead,
        seq: u64,
    ) {
        assert!(conversation.is_followed() && seq <= at.head.seq);
        self.submit(core, caller, ListCommand::MarkNotice(MarkNotice { conversation, at, seq }));
    }

    pub fn handle_set_adverts(
        &mut self,
        core: &mut Core,
        caller: Caller,
        off: bool,
        adverts: Option<NoticeHead>,
    ) {
        self.submit(core, caller, ListCommand::SetAdverts(SetAdverts { off, adverts }));
    }

    /// The user is a member of these departments, on disk. His sessions follow their notices from now on.
    pub fn on_place_changed(
        &mut self,
        core: &mut Core,
        sessions: &[OpenSession],
        user: UserId,
        place: &OrgPlace,
    ) {
        if let Some(held) = self.held.get_mut(&user) {
            held.wishes.put(place);
        }
        let following = Following { adverts_off: None, place: Some(place.clone()) };
        for session in sessions {
            refollow(core, &session.place, &following, None);
        }
    }

    /// It is on disk.
    pub fn handle_told(&mut self, core: &mut Core, sessions: &[OpenSession], told: Told) {
        let places = sessions.iter().map(|open| &open.place);
        for place in places.filter(|place| place.session != told.except) {
            let frame = told.frame.clone();
            if let Some(following) = &told.following {
                refollow(core, place, following, Some(frame));
            } else {
                self.pushes.push_or_sync(core, place, &frame);
            }
        }
    }

    /// Something that is in no log, to the sessions that there is room for.
    pub fn announce(&mut self, core: &mut Core, sessions: &[OpenSession], frame: &Bytes) {
        for session in sessions {
            push::push_or_drop(core, &session.place, frame);
        }
    }
}

impl MarkNotice {
    pub fn run(self, core: &mut Core, caller: Caller, held: &mut Held, entries: &mut usize) {
        let Self { conversation, at, seq } = self;
        let (user, list) = (caller.user, &mut held.list);
        let place = Place { seq, ord: seq }; // all notices count
        if place > list.read_mark(conversation) {
            if let Some(refusal) = core.write_refusal(user.slot()) {
                return core.refuse_caller(caller, refusal, 0, BUSY_RETRY_MS);
            }
            merge_one(core, user, list, entries, conversation, digest(at, place));
            let frame = core.encoder.marked(0, &marked(conversation, user, place));
            let told = Told { user, except: caller.place.session, frame, following: None };
            core.after(user.slot(), list.stamp, After::Followed(told));
        }
        let marked = marked(conversation, user, list.read_mark(conversation));
        let frame = core.encoder.marked(caller.request, &marked);
        core.after(user.slot(), list.stamp, After::Answer { caller, frame });
    }
}

impl SetAdverts {
    pub fn run(self, core: &mut Core, caller: Caller, held: &mut Held, entries: &mut usize) {
        let (user, off) = (caller.user, self.off);
        let mut answer = Vec::new();
        if held.wishes.following.adverts_off != off {
            if let Some(refusal) = core.write_refusal(user.slot()) {
                return core.refuse_caller(caller, refusal, 0, BUSY_RETRY_MS);
            }
            held.wishes.following.adverts_off = off;
            core.put(&Key::Following(user), &held.wishes.following);
            answer = self.skip(core, user, &mut held.list, entries);
            held.list.stamp = core.stamp(user.slot());
            let frame = [&answer, &core.encoder.adverts_set(0, off)[..]].concat().into();
            let following = Some(Following { adverts_off: Some(off), place: None });
            let told = Told { user, except: caller.place.session, frame, following };
            core.after(user.slot(), held.list.stamp, After::Followed(told));
        }
        answer.extend_from_slice(&core.encoder.adverts_set(caller.request, off));
        let (frame, following) = (answer.into(), held.wishes.following());
        core.after(user.slot(), held.list.stamp, After::AnswerFollowing { caller, frame, following });
    }

    /// What came while he did not want any is not unread. Gives the event that says so, if there is something to say.
    fn skip(self, core: &mut Core, user: UserId, list: &mut List, entries: &mut usize) -> Vec<u8> {
        let adverts = ConversationId::of_notices(Notices::Adverts);
        let Some(at) = self.adverts.filter(|at| !self.off && at.head > list.read_mark(adverts)) else {
            return Vec::new();
        };
        merge_one(core, user, list, entries, adverts, digest(at, at.head));
        core.encoder.marked(0, &marked(adverts, user, at.head)).to_vec()
    }
}

fn refollow(core: &mut Core, place: &SessionPlace, following: &Following, frame: Option<Bytes>) {
    let (connection, session) = (place.connection, place.session);
    let following = Box::new(following.clone());
    core.control(
        place.shard,
        MeshFrame::Follow(FollowFrame::Refollow { connection, session, following, frame }),
    );
}

/// The first rows of a new user's list, in the batch of his account: what was told before is not unread for him.
pub(crate) fn begin_list(core: &mut Core, user: UserId) {
    let mut uver = 0;
    for (conversation, at) in core.notice_heads {
        let Some(at) = at.filter(|at| at.head.seq > 0) else { continue };
        uver += 1;
        core.put(&Key::List(user, conversation), &ListEntry { uver, digest: digest(at, at.head) });
    }
}

fn digest(at: NoticeHead, read: Place) -> Digest {
    let own = Marks { delivered: read, read };
    Digest { epoch: at.epoch, head: at.head, time_ms: at.time_ms, own, peer: Marks::default(), mentioned: 0 }
}

fn marked(conversation: ConversationId, user: UserId, place: Place) -> Marked {
    Marked { conversation, user, kind: MarkKind::Read, place: place.into() }
}
