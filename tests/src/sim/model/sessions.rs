//! Sessions and tickets: what was ended stays ended, whatever crashes in between.
//!
//! Whoever ends sessions means those whose tickets he could have known when he asked. When the node has said that it is
//! done, none of these tickets may ever be taken again, and none of these sessions may stay.

use std::collections::{BTreeMap, BTreeSet};

use record::{Account, Key};
use store::MemoryStore;
use wire::device::Device;
use wire::message::DeviceClass;
use wire::{DeviceId, UserId};

use super::{Identity, Model, disk};
use crate::sim::network::LinkId;

/// What somebody asked to be ended.
#[derive(Clone, Copy, Debug)]
pub enum Ends {
    Only(DeviceId),
    Others,
    /// Of this user, by an operator: one device, or all.
    OfUser(UserId, Option<DeviceId>),
    /// The login of a device of this class.
    Login(DeviceClass),
}

/// A session or a ticket, and its place among all that were shown.
#[derive(Clone, Copy, Debug)]
struct Shown {
    identity: Identity,
    class: DeviceClass,
    number: u64,
}

#[derive(Debug, Default)]
pub struct Sessions {
    shown: u64,
    tickets: BTreeMap<Vec<u8>, Shown>,
    links: BTreeMap<LinkId, Shown>,
    classes: BTreeMap<Identity, DeviceClass>,
    /// By request, with how much had been shown when it was sent. Hostile clients use a number twice.
    asked: BTreeMap<(LinkId, u32), Vec<(Ends, u64)>>,
    /// Whether each resume was sent with a ticket that was void by then.
    resumes: BTreeMap<(LinkId, u32), Vec<bool>>,
    void: BTreeSet<Vec<u8>>,
    ended: BTreeSet<LinkId>,
    told: BTreeSet<LinkId>,
}

impl Sessions {
    /// How much has been shown so far.
    pub fn shown(&self) -> u64 {
        self.shown
    }

    pub fn on_ends_sent(&mut self, at: (LinkId, u32), ends: Ends) {
        self.asked.entry(at).or_default().push((ends, self.shown));
    }

    pub fn on_resume_sent(&mut self, at: (LinkId, u32), ticket: &[u8]) {
        self.resumes.entry(at).or_default().push(self.void.contains(ticket));
    }

    /// Links whose sessions were ended, as the node has confirmed.
    pub fn ended(&self) -> impl Iterator<Item = LinkId> + '_ {
        self.ended.iter().copied()
    }

    fn end(&mut self, up_to: u64, covers: impl Fn(&Shown) -> bool) {
        let covers = |shown: &Shown| shown.number <= up_to && covers(shown);
        let tickets = self.tickets.iter().filter(|(_, shown)| covers(shown));
        self.void.extend(tickets.map(|(ticket, _)| ticket.clone()));
        let links = self.links.iter().filter(|(_, shown)| covers(shown));
        self.ended.extend(links.map(|(link, _)| *link));
    }

    /// What this request asked for, if it was used once.
    fn asked(&self, at: (LinkId, u32)) -> Option<(Ends, u64)> {
        match self.asked.get(&at).map(Vec::as_slice) {
            Some([asked]) => Some(*asked),
            _ => None,
        }
    }
}

impl Model {
    /// A session was opened by a password (`request` is of its proof) or by a ticket.
    pub fn on_session(
        &mut self,
        (link, request): (LinkId, u32),
        identity: Identity,
        ticket: &[u8],
        one_per_class: bool,
    ) {
        let asked = self.sessions.asked((link, request));
        if let Some((Ends::Login(class), up_to)) = asked {
            self.sessions.classes.insert(identity, class);
            self.sessions.end(up_to, |shown| {
                let other = &shown.identity;
                let is_same = *other == identity;
                let takes_over = one_per_class && shown.class == class;
                other.user == identity.user && (is_same || takes_over)
            });
        }
        let hopeless = self.sessions.resumes.get(&(link, request));
        let hopeless = hopeless.is_some_and(|sent| sent.iter().all(|void| *void));
        self.violation_if(hopeless, || format!("{identity:?} is resumed with a ticket of an ended session"));
        let class = self.sessions.classes.get(&identity).copied().unwrap_or_default();
        self.sessions.shown += 1;
        let shown = Shown { identity, class, number: self.sessions.shown };
        if !ticket.is_empty() {
            self.sessions.tickets.insert(ticket.to_vec(), shown);
        }
        self.sessions.links.insert(link, shown);
    }

    /// The node says that the sessions are ended.
    pub fn on_sessions_ended(&mut self, link: LinkId, request: u32) {
        let Some(identity) = self.identities.get(&link).copied() else {
            return self.violate("sessions are ended for nobody".into());
        };
        let Some((ends, up_to)) = self.sessions.asked((link, request)) else { return };
        self.sessions.end(up_to, |shown| {
            let (user, device) = (shown.identity.user, shown.identity.device);
            let own = user == identity.user;
            match ends {
                Ends::Only(ended) => own && device == ended,
                Ends::Others => own && device != identity.device,
                Ends::OfUser(of, ended) => user == of && ended.is_none_or(|ended| device == ended),
                Ends::Login(_) => false,
            }
        });
    }

    /// The operator ended all sessions of a user, of those that had been shown when he asked.
    pub fn on_all_ended(&mut self, user: UserId, up_to: u64) {
        self.sessions.end(up_to, |shown| shown.identity.user == user);
    }

    /// Whoever was told that his connection ends is told nothing more.
    pub fn check_told(&mut self, link: LinkId, is_closing: bool) {
        if self.sessions.told.contains(&link) {
            self.violate("something is shown behind the end".into());
        }
        if is_closing {
            self.sessions.told.insert(link);
        }
    }

    /// A user is shown his own devices, and knows his own among them.
    pub fn check_devices(&mut self, store: &MemoryStore, link: LinkId, devices: &[Device]) {
        let Some(identity) = self.identities.get(&link).copied() else {
            return self.violate(format!("{devices:?} are shown to nobody"));
        };
        let account = disk::record::<Account>(store, &Key::Account(identity.user));
        let issued = account.map_or(0, |account| account.devices_issued);
        let own: Vec<_> = devices.iter().filter(|device| device.own).collect();
        let knows_own = own.len() == 1 && own[0].device == identity.device && own[0].online;
        let numbers: BTreeSet<_> = devices.iter().map(|device| device.device.0).collect();
        let is_sound =
            numbers.len() == devices.len() && numbers.iter().all(|number| (1..=issued).contains(number));
        self.violation_if(!knows_own || !is_sound, || {
            format!("{identity:?} of {issued} devices is shown {devices:?}")
        });
    }
}
