//! Notices: what the system writes stands once in its log, whoever asks for it again; every device that wants it holds all of
//! it in order; who wants no adverts is told of none.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use record::Key;
use store::MemoryStore;
use wire::message::{Entry, Place};
use wire::notice::Announced;
use wire::operator::{Recipients, recipients};
use wire::{ConversationId, Notices, UserId, body, verified};

use super::{Model, disk, org};
use crate::sim::network::LinkId;
use crate::sim::world::World;

/// Departments that are told something.
pub const DEPARTMENTS: u32 = 6;

/// A request of the operator, under its number.
#[derive(Clone, Debug, Default)]
pub struct Issued {
    pub body: Bytes,
    /// What hostile clients made of it under way, and sent.
    pub altered: Vec<Bytes>,
    /// As the operator was told.
    pub acked: Option<u64>,
    /// Where it stands.
    pub place: Option<Place>,
}

/// What the system was asked to tell.
#[derive(Debug, Default)]
pub struct IssuedNotices {
    pub stored: BTreeMap<(ConversationId, u64), Issued>,
    /// Told to those who were online.
    pub announced: Vec<(ConversationId, Bytes)>,
    /// Links whose clients were told that their users want no adverts.
    adverts_off: BTreeMap<LinkId, bool>,
}

/// Whether adverts are switched off, on disk.
pub fn wants_no_adverts(store: &MemoryStore, user: UserId) -> bool {
    let following = disk::record::<record::Following>(store, &Key::Following(user));
    following.unwrap_or_default().adverts_off
}

/// Whether a user is to have these notices, as it stands on disk.
pub fn follows(store: &MemoryStore, user: UserId, conversation: ConversationId) -> bool {
    match conversation.notice() {
        Some(Notices::Adverts) => !wants_no_adverts(store, user),
        Some(Notices::Department(department)) => departments(store, user).contains(&department),
        Some(Notices::All) | None => true,
    }
}

/// The departments of a user, and those above them.
fn departments(store: &MemoryStore, user: UserId) -> BTreeSet<u32> {
    let place = disk::record::<record::OrgPlace>(store, &Key::OrgPlace(user)).unwrap_or_default();
    let known = org::directory(store).departments;
    let mut all = BTreeSet::new();
    for direct in place.departments {
        let mut next = known.get(&direct);
        while let Some(at) = next {
            all.insert(at.id);
            next = known.get(&at.parent);
        }
    }
    all
}

fn is_advert(conversation: ConversationId) -> bool {
    conversation.notice() == Some(Notices::Adverts)
}

impl Model {
    /// A notice is on its way to the node, by somebody who may or may not.
    pub fn on_notify_sent(&mut self, bytes: &[u8]) {
        let Ok(view) = verified::view::<body::Notify>(bytes) else { return };
        let body = Bytes::copy_from_slice(view.body().map(|body| body.bytes()).unwrap_or_default());
        let conversations: Vec<_> = match recipients(&view) {
            Some(Recipients::Users(users)) => users.into_iter().map(ConversationId::system).collect(),
            Some(Recipients::All) => vec![ConversationId::of_notices(Notices::All)],
            Some(Recipients::Adverts) => vec![ConversationId::of_notices(Notices::Adverts)],
            Some(Recipients::Department(number)) => {
                vec![ConversationId::of_notices(Notices::Department(number))]
            }
            None => return,
        };
        for conversation in conversations {
            self.notices.announced.push((conversation, body.clone()));
            let issued = self.notices.stored.entry((conversation, view.id())).or_default();
            issued.altered.push(body.clone());
        }
    }

    /// The system's entry was shown, or stands on disk.
    pub fn on_issued_entry(&mut self, conversation: ConversationId, entry: &Entry) {
        let key = (conversation, entry.counter);
        let what = match self.notices.stored.get_mut(&key) {
            None => format!("{conversation:?} holds {entry:?}, which nobody asked for"),
            Some(issued) if issued.body != entry.body && !issued.altered.contains(&entry.body) => {
                format!("{conversation:?} holds {entry:?}, asked for was {issued:?}")
            }
            Some(issued) => match issued.place.replace(entry.place) {
                Some(other) if other != entry.place => {
                    format!("notice {key:?} stands at {other:?} and at {:?}", entry.place)
                }
                _ => return,
            },
        };
        self.violate(what);
    }

    /// The operator was told that a notice is on disk.
    pub fn on_issue_acked(&mut self, store: &MemoryStore, key: (ConversationId, u64), seq: u64) {
        let (conversation, id) = key;
        let stored = disk::record::<record::Entry>(store, &Key::Entry(conversation, seq));
        let same = stored.is_some_and(|stored| stored.counter == id && stored.sender == UserId::SYSTEM.0);
        self.violation_if(!same, || format!("notice {key:?} is told written at {seq} and is not on disk"));
        let issued = self.notices.stored.entry(key).or_default();
        let other = issued.acked.replace(seq).filter(|other| *other != seq);
        self.violation_if(other.is_some(), || format!("notice {key:?} is told at {other:?} and at {seq}"));
    }

    pub fn on_adverts_told(&mut self, link: LinkId, off: bool) {
        self.notices.adverts_off.insert(link, off);
    }

    /// Nothing of adverts goes where they were switched off.
    pub fn check_wanted(&mut self, link: LinkId, conversation: ConversationId) {
        let off = self.notices.adverts_off.get(&link) == Some(&true);
        self.violation_if(off && is_advert(conversation), || "an advert where they are off".into());
    }

    pub fn check_announced(&mut self, link: LinkId, announced: &Announced) {
        let Announced { conversation, ref body, .. } = *announced;
        let known = self.notices.announced.iter().any(|(to, said)| *to == conversation && said == body);
        self.violation_if(!known, || format!("{announced:?} was never said"));
        if self.check_member(link, conversation).is_some() {
            self.check_wanted(link, conversation);
        }
    }

    /// What was acknowledged to the operator stays.
    pub fn check_issues(&mut self, store: &MemoryStore) {
        for (key, issued) in self.notices.stored.clone() {
            if let Some(seq) = issued.acked {
                self.on_issue_acked(store, key, seq);
            }
        }
    }
}

impl World {
    /// Notices that this device has to hold before everything is at rest, and how far.
    pub fn unsettled_notices(&self, number: usize) -> Option<String> {
        let device = &self.devices[number];
        let user = device.user_id()?;
        let departments = (1..=DEPARTMENTS).map(Notices::Department);
        for notices in [Notices::All, Notices::Adverts].into_iter().chain(departments) {
            let conversation = ConversationId::of_notices(notices);
            let head = disk::log(&self.store, conversation).last().map_or(0, |(seq, _)| *seq);
            let states = &device.disk.stored.conversations;
            let state = states.iter().find(|state| state.conversation == conversation);
            let (applied, read) = state.map_or((0, 0), |state| (state.applied.seq, state.read.seq));
            let wanted = state.map_or(0, |state| state.read_wanted);
            if !follows(&self.store, user, conversation) {
                continue;
            }
            if applied != head {
                return Some(format!("device {number} has {conversation:?} up to {applied}, not {head}"));
            }
            let stored = disk::marks(&self.store, conversation, user).read.seq;
            if stored < wanted || read != stored {
                let what = format!("{conversation:?} is read up to {read}, wanted {wanted}, stored {stored}");
                return Some(format!("device {number}: {what}"));
            }
        }
        None
    }
}
