//! What the system writes: into notices for many, and to one user. The operator's requests come here; each names itself by a
//! number, so that one that is made again is carried out once.

use std::collections::VecDeque;

use record::{AuditAct, Place, Remembered, RememberedSend};
use wire::message::{BodyKind, Send};
use wire::operator::Notified;
use wire::{ConversationId, DeviceId, Notices, Refusal, UserId};

use crate::admin::{AdminReply, Notice, Reach};
use crate::asker::Asker;
use crate::bugs::Bug;
use crate::core::Core;
use crate::limits::{CHECKPOINT_ENTRIES, REMEMBERED_ISSUES_MAX};
use crate::mesh::{FollowFrame, MeshFrame};

use super::dedupe::body_hash;
use super::send::{self, Author};
use super::state::Conversation;
use super::{Common, Conversations, Refused, Waiting, checkpoint};

/// Stands in the entries of the system, which has no devices.
pub(super) const SYSTEM_DEVICE: DeviceId = DeviceId(0);

/// The last entries of the system in one conversation, oldest first, by the numbers of their requests, which do not rise.
#[derive(Debug, Default)]
pub(super) struct Issues(VecDeque<RememberedSend>);

impl Issues {
    fn find(&self, id: u64) -> Option<RememberedSend> {
        self.0.iter().find(|issue| issue.counter == id).copied()
    }

    fn remember(&mut self, issue: RememberedSend) {
        if self.0.len() == REMEMBERED_ISSUES_MAX {
            self.0.pop_front();
        }
        self.0.push_back(issue);
    }

    pub fn restore(&mut self, record: Remembered) {
        self.0 = record.sends.into();
    }

    pub fn record(&self) -> Remembered {
        Remembered { sends: self.0.iter().copied().collect() }
    }

    pub fn check_invariants(&self, head: Place) {
        assert!(self.0.len() <= REMEMBERED_ISSUES_MAX);
        assert!(self.0.iter().zip(self.0.iter().skip(1)).all(|(one, next)| one.place < next.place));
        assert!(self.0.back().is_none_or(|last| last.place <= head));
    }
}

impl Conversation {
    pub(super) fn issues(&mut self) -> &mut Issues {
        self.issues.get_or_insert_default()
    }

    /// The system has written an entry here: who writes has read.
    pub(super) fn on_issued(&mut self, issue: RememberedSend) {
        self.issues().remember(issue);
        if !self.id.is_followed() {
            let system = &mut self.marks[0];
            (system.delivered, system.read) = (issue.place, issue.place);
        }
    }
}

impl Conversations {
    /// A request of the operator, at the home of the conversation.
    pub fn handle_issue(&mut self, core: &mut Core, asker: Asker, id: ConversationId, notice: Notice) {
        let send = Send::plain(notice.id, 0, notice.body_kind, &notice.body);
        let readable = notice.body_kind != BodyKind::Text || std::str::from_utf8(&notice.body).is_ok();
        if let Err(refused) = send::check(&send) {
            return refuse(core, asker, refused);
        }
        if !id.is_valid() || id.is_private() || !readable {
            return refuse(core, asker, Refused::new(Refusal::BadField));
        }
        self.submit(core, id, Waiting::Issued { asker, notice });
    }
}

pub(super) fn refuse(core: &mut Core, asker: Asker, refused: Refused) {
    if !matches!(asker, Asker::Session(_)) {
        core.counters.refused(refused.refusal); // a session's are counted with its answer
    }
    asker.refuse_for(core, refused.refusal);
}

/// The entry of the audit log. Of copies for a list of users there is one entry for all, where the list came in.
fn audit(core: &mut Core, asker: Asker, conversation: ConversationId, notice: &Notice) {
    if matches!(asker, Asker::Shard(..)) || core.write_refusal(conversation.slot()).is_some() {
        return;
    }
    let (to, subject) = match conversation.notice() {
        Some(Notices::All) => ("to all".to_owned(), UserId::NOBODY),
        Some(Notices::Adverts) => ("as an advert".to_owned(), UserId::NOBODY),
        Some(Notices::Department(department)) => (format!("to department {department}"), UserId::NOBODY),
        None => (format!("to user {}", conversation.high), conversation.high),
    };
    let how = if notice.reach == Reach::OnlineNow { ", to those who are online" } else { "" };
    let detail = format!("{to}{how}, under {}", notice.id);
    core.audit(conversation.slot(), AuditAct::NoticeIssued, asker.user(), subject, "", detail);
}

pub(super) fn run(
    core: &mut Core,
    common: &mut Common,
    conversation: &mut Conversation,
    asker: Asker,
    notice: &Notice,
) -> Result<(), Refused> {
    if notice.reach == Reach::OnlineNow {
        announce(core, common, conversation.id, notice);
        audit(core, asker, conversation.id, notice);
        let time_ms = core.now.wall_ms;
        asker.answer(core, AdminReply::Issued { seq: 0, time_ms }, |encoder, request| {
            encoder.notified(request, &Notified { told: 1, time_ms, ..Notified::default() })
        });
        return Ok(());
    }
    let hash = body_hash(notice.body_kind.0, &notice.body);
    let before = conversation.issues.as_ref().and_then(|issues| issues.find(notice.id));
    let issue = match before.filter(|_| !core.bug(Bug::IssueTwice)) {
        Some(issue) if issue.hash == hash => {
            core.counters.duplicates += 1;
            issue
        }
        Some(_) => return Err(Refused::new(Refusal::CounterReused)),
        None => {
            if let Some(refused) = common.write_refusal(core, conversation) {
                return Err(refused);
            }
            let author = Author { user: UserId::SYSTEM, device: SYSTEM_DEVICE, session: None };
            let Notice { id: counter, body_kind, ref body, .. } = *notice;
            let asked = Send::plain(counter, 0, body_kind, body);
            audit(core, asker, conversation.id, notice);
            let issue = send::append(core, common, conversation, author, asked, hash);
            conversation.on_issued(issue);
            if issue.place.seq.is_multiple_of(CHECKPOINT_ENTRIES) {
                checkpoint::put(core, conversation);
            }
            issue
        }
    };
    let (seq, time_ms) = (issue.place.seq, issue.time_ms);
    let reply = AdminReply::Issued { seq, time_ms };
    asker.answer_after(core, conversation.id.slot(), conversation.stamp, reply, |encoder, request| {
        encoder.notified(request, &Notified { told: 1, seq, time_ms, ..Notified::default() })
    });
    Ok(())
}

/// To those who are online; nothing is stored.
fn announce(core: &mut Core, common: &mut Common, id: ConversationId, notice: &Notice) {
    let frame = core.encoder.announced(id, core.now.wall_ms, notice.body_kind, &notice.body);
    if id.is_followed() {
        common.hub.announce(core, id, frame);
    } else {
        // What the system tells a user has its home where his is.
        core.control(core.address, MeshFrame::Follow(FollowFrame::Announce { user: id.high, frame }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_issue_is_forgotten_first_whatever_its_number() {
        let mut issues = Issues::default();
        for number in 0..=REMEMBERED_ISSUES_MAX as u64 {
            let place = Place { seq: number + 1, ord: number + 1 };
            let counter = (1_000 - number) * 7;
            issues.remember(RememberedSend { counter, hash: number, place, time_ms: 5 });
            issues.check_invariants(place);
        }
        assert_eq!(issues.find(7_000), None);
        assert_eq!(issues.find(6_993).map(|issue| issue.place.seq), Some(2));
        let mut again = Issues::default();
        again.restore(issues.record());
        assert_eq!(again.record(), issues.record());
    }
}
