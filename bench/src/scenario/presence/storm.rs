//! Users who come one after the other, stay until all are there, and go one after the other.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Result, bail};
use hdrhistogram::Histogram;
use wire::UserId;
use wire::presence::PresenceState;

use crate::driver::{Driver, Entrance, PeerEvent};
use crate::measure::histogram;
use crate::pairs::beside::Beside;

/// Number of the commands of a storm; answers are told apart by what they are.
const REQUEST: u32 = 7;
/// How much longer than planned all stay if somebody has not been told of all his contacts.
const TOLD_MAX: Duration = Duration::from_secs(30);
const FOLLOW_WAIT: Duration = Duration::from_millis(5);

/// When who comes and goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub users: usize,
    /// In which all come, and all go.
    pub storm: Duration,
    /// Between the two.
    pub hold: Duration,
    /// Contacts that all together are to be told of when all are there. Until they are, nobody goes for [`TOLD_MAX`].
    pub due: u64,
    pub entrance: Entrance,
}

/// Where a user is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Away,
    /// Since so many nanoseconds of the round.
    Coming(u64),
    Here,
    Leaving,
    /// He was here.
    Gone,
}

#[derive(Debug)]
pub(super) struct Storm {
    plan: Plan,
    places: Vec<Place>,
    /// Who is online, as each was told.
    online: Vec<HashSet<UserId>>,
    /// Users before these have begun to come, and to go.
    came: usize,
    left: usize,
    /// Those who are in and have not asked yet, and those whose session is over.
    to_ask: Vec<usize>,
    to_cut: Vec<usize>,
    /// How many have come in, and when the last one did.
    entered: usize,
    entered_ns: u64,
    login_ns: Histogram<u64>,
    presences: u64,
    frames: u64,
    /// Who is online, counted over all who were told.
    told_now: u64,
    /// The same when the first one went, and how much later than planned that was.
    told: Option<u64>,
    late_ns: u64,
}

impl Plan {
    /// Of a round: all come, stay, go, and are heard of for as long as they stayed.
    pub(super) fn length(&self) -> Duration {
        2 * (self.storm + self.hold)
    }

    /// When a user comes.
    fn comes_ns(&self, user: usize) -> u64 {
        (self.storm.as_nanos() as u64 / self.users as u64) * user as u64
    }

    /// When he goes.
    fn goes_ns(&self, user: usize) -> u64 {
        (self.storm + self.hold).as_nanos() as u64 + self.comes_ns(user)
    }
}

impl Storm {
    pub(super) fn new(plan: Plan) -> Self {
        Self {
            plan,
            places: vec![Place::Away; plan.users],
            online: vec![HashSet::new(); plan.users],
            came: 0,
            left: 0,
            to_ask: Vec::new(),
            to_cut: Vec::new(),
            entered: 0,
            entered_ns: 0,
            login_ns: histogram(),
            presences: 0,
            frames: 0,
            told_now: 0,
            told: None,
            late_ns: 0,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.on_their_way() == 0 && self.to_cut.is_empty()
    }

    /// Users who are not gone.
    pub(super) fn on_their_way(&self) -> usize {
        self.places.iter().filter(|place| **place != Place::Gone).count()
    }

    /// Goes on behind the end of a round.
    pub(super) fn follow(&mut self, driver: &mut Driver, first: usize, since: Duration) -> Result<()> {
        let now_ns = (self.plan.length() + since).as_nanos() as u64;
        self.act(driver, first, now_ns)?;
        driver.turn(FOLLOW_WAIT, |index, event| match index.checked_sub(first) {
            Some(client) => self.handle(client, event, now_ns),
            None => Ok(()),
        })
    }

    /// Logins until the last one, per second since the first began.
    pub(super) fn logins_per_s(&self) -> f64 {
        self.entered as f64 * 1e9 / self.entered_ns.max(1) as f64
    }

    pub(super) fn login_ns(&self) -> &Histogram<u64> {
        &self.login_ns
    }

    /// States of contacts that came, and the frames they came in.
    pub(super) fn presences(&self) -> u64 {
        self.presences
    }

    pub(super) fn frames(&self) -> u64 {
        self.frames
    }

    /// Contacts that their users were told to be online, when the first one went.
    pub(super) fn told(&self) -> u64 {
        self.told.unwrap_or(self.told_now)
    }

    /// How much later than planned all had been told, nanoseconds.
    pub(super) fn late_ns(&self) -> u64 {
        self.late_ns
    }

    /// Whether users may go: all are there and told of each other, or have waited for long enough.
    fn may_go(&mut self, now_ns: u64) -> bool {
        if self.told.is_none() {
            let late_ns = now_ns.saturating_sub(self.plan.goes_ns(0));
            let complete = self.entered == self.plan.users && self.told_now >= self.plan.due;
            if !complete && u128::from(late_ns) < TOLD_MAX.as_nanos() {
                return false;
            }
            (self.told, self.late_ns) = (Some(self.told_now), late_ns);
        }
        true
    }

    /// When a user goes, as late as the first one went.
    fn goes_ns(&self, user: usize) -> u64 {
        self.plan.goes_ns(user) + self.late_ns
    }

    /// Begins the end of a user who is here. One who is late goes when he has come.
    fn leave(&mut self, driver: &mut Driver, first: usize, user: usize) {
        driver.push(first + user, |encoder| encoder.logout(REQUEST, false));
        self.places[user] = Place::Leaving;
    }
}

impl Beside for Storm {
    fn act(&mut self, driver: &mut Driver, first: usize, now_ns: u64) -> Result<()> {
        for user in self.to_cut.drain(..) {
            driver.cut(first + user);
        }
        for user in self.to_ask.drain(..) {
            if self.places[user] == Place::Here {
                let most = wire::limits::PRESENCES_MAX;
                driver.push(first + user, |encoder| encoder.sync_presence(REQUEST, 0, most));
            }
        }
        while self.came < self.plan.users && self.plan.comes_ns(self.came) <= now_ns {
            self.places[self.came] = Place::Coming(self.plan.comes_ns(self.came));
            driver.connect(first + self.came, self.plan.entrance)?;
            self.came += 1;
        }
        while self.left < self.plan.users && self.goes_ns(self.left) <= now_ns && self.may_go(now_ns) {
            // Those behind him go after him: the order is the plan's.
            if self.places[self.left] != Place::Here {
                break;
            }
            self.leave(driver, first, self.left);
            self.left += 1;
        }
        Ok(())
    }

    fn next_ns(&self) -> Option<u64> {
        if !self.to_ask.is_empty() || !self.to_cut.is_empty() {
            return Some(0);
        }
        let comes = (self.came < self.plan.users).then(|| self.plan.comes_ns(self.came));
        let goes = self.places.get(self.left).filter(|place| **place == Place::Here);
        let goes = goes.filter(|_| self.told.is_some());
        comes.into_iter().chain(goes.map(|_| self.goes_ns(self.left))).min()
    }

    fn handle(&mut self, client: usize, event: PeerEvent, now_ns: u64) -> Result<()> {
        if client >= self.plan.users {
            return Ok(());
        }
        match event {
            PeerEvent::Entered => {
                if let Place::Coming(since_ns) = self.places[client] {
                    self.login_ns.saturating_record(now_ns.saturating_sub(since_ns));
                }
                self.places[client] = Place::Here;
                self.entered += 1;
                self.entered_ns = now_ns;
                self.to_ask.push(client);
            }
            PeerEvent::Presence(contacts) => {
                self.frames += 1;
                self.presences += contacts.len() as u64;
                for contact in contacts {
                    match contact.state {
                        PresenceState::Offline if self.online[client].remove(&contact.user) => {
                            self.told_now -= 1
                        }
                        PresenceState::Offline => {}
                        _ => self.told_now += u64::from(self.online[client].insert(contact.user)),
                    }
                }
            }
            // It asks again.
            PeerEvent::Busy { .. } if self.places[client] == Place::Here => self.to_ask.push(client),
            PeerEvent::Busy { .. } => bail!("the node has no room for a logout"),
            PeerEvent::LoggedOut => {
                self.places[client] = Place::Gone;
                self.told_now -= self.online[client].len() as u64;
                self.online[client].clear();
                self.to_cut.push(client);
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::presence::Presence;

    const PLAN: Plan = Plan {
        users: 10,
        storm: Duration::from_secs(1),
        hold: Duration::from_secs(2),
        due: 1,
        entrance: Entrance::Resume,
    };

    fn presence(user: u64, state: PresenceState) -> PeerEvent {
        PeerEvent::Presence(vec![Presence { user: UserId(user), state, text: String::new() }])
    }

    #[test]
    fn nobody_goes_before_all_have_come() {
        assert!((0..10).all(|user| PLAN.comes_ns(user) < 1_000_000_000));
        assert!((0..10).all(|user| PLAN.goes_ns(user) >= 3_000_000_000));
        assert!(PLAN.goes_ns(9) < PLAN.length().as_nanos() as u64);
    }

    #[test]
    fn nobody_goes_until_all_are_told_or_have_waited_for_long() {
        let mut storm = Storm::new(PLAN);
        let first_ns = PLAN.goes_ns(0);
        (0..10).for_each(|user| storm.handle(user, PeerEvent::Entered, 5).unwrap());
        assert!(!storm.may_go(first_ns), "one contact is due");
        storm.handle(3, presence(1, PresenceState::Online), 6).unwrap();
        assert!(storm.may_go(first_ns + 7));
        assert_eq!((storm.told(), storm.late_ns(), storm.goes_ns(1)), (1, 7, PLAN.goes_ns(1) + 7));
        let mut alone = Storm::new(PLAN);
        assert!(alone.may_go(first_ns + TOLD_MAX.as_nanos() as u64));
        assert_eq!(alone.told(), 0);
    }

    #[test]
    fn who_is_told_twice_counts_once_and_who_went_not_at_all() {
        let mut storm = Storm::new(PLAN);
        storm.handle(0, PeerEvent::Entered, 5).unwrap();
        for event in [
            presence(1, PresenceState::Online),
            presence(1, PresenceState::Away),
            presence(2, PresenceState::Online),
            presence(2, PresenceState::Offline),
        ] {
            storm.handle(0, event, 6).unwrap();
        }
        assert_eq!((storm.told(), storm.presences(), storm.frames()), (1, 4, 4));
        storm.handle(0, PeerEvent::LoggedOut, 7).unwrap();
        assert_eq!((storm.told(), storm.on_their_way()), (0, 9));
        assert!(!storm.is_over(), "his connection is still there");
        storm.handle(PLAN.users, PeerEvent::Entered, 8).unwrap();
        assert_eq!(storm.entered, 1, "others are no part of it");
    }
}
