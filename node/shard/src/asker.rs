//! Who asked for an act of the operator: the admin socket, the session of a token, or another shard that asks for one of
//! both.

use bytes::Bytes;
use wire::encode::Encoder;
use wire::{Refusal, ShardAddress, Slot, UserId};

use crate::admin::AdminReply;
use crate::commits::Stamp;
use crate::core::{After, Core, FULL_RETRY_MS};
use crate::limits::BUSY_RETRY_MS;
use crate::mesh::Caller;
use crate::parts::{PartAnswer, PartNumber};

/// Gets exactly one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// The admin socket, by the token of its request.
    Socket(u64),
    /// A session, wherever its connection is.
    Session(Caller),
    /// A shard that puts the answers of all together.
    /// The user is the one it asks for.
    Shard(ShardAddress, PartNumber, UserId),
}

impl Asker {
    /// The user of the session; nobody for the admin socket.
    pub(crate) fn user(self) -> UserId {
        match self {
            Asker::Socket(_) => UserId::NOBODY,
            Asker::Shard(_, _, user) => user,
            Asker::Session(caller) => caller.user,
        }
    }

    /// "No", and at once: nothing in it rests on what is not on disk yet.
    pub(crate) fn refuse(self, core: &mut Core, refusal: Refusal, detail: u64, retry_ms: u32) {
        match self {
            Asker::Socket(token) => {
                core.reply(token, AdminReply::Refused { reason: refusal.reason().into() })
            }
            Asker::Session(caller) => core.refuse_caller(caller, refusal, detail, retry_ms),
            Asker::Shard(to, number, _) => PartAnswer::Refused { refusal, retry_ms }.send(core, to, number),
        }
    }

    /// The same, with the time to wait that fits the refusal.
    pub(crate) fn refuse_for(self, core: &mut Core, refusal: Refusal) {
        let retry_ms = match refusal {
            Refusal::StorageFull => FULL_RETRY_MS as u32,
            Refusal::Busy => BUSY_RETRY_MS,
            _ => 0,
        };
        self.refuse(core, refusal, 0, retry_ms);
    }

    /// "No", when what it rests on is on disk.
    pub(crate) fn refuse_after(
        self,
        core: &mut Core,
        slot: Slot,
        stamp: Stamp,
        refusal: Refusal,
        detail: u64,
    ) {
        if let Asker::Shard(to, number, _) = self {
            let answer = PartAnswer::Refused { refusal, retry_ms: 0 };
            return core.after(slot, stamp, After::Part { to, number, answer });
        }
        let reply = AdminReply::Refused { reason: refusal.reason().into() };
        if let Asker::Session(_) = self {
            core.counters.refused(refusal);
        }
        self.answer_after(core, slot, stamp, reply, |encoder, request| {
            encoder.refused(request, refusal, detail, 0)
        });
    }

    /// The answer in the form that fits, at once.
    pub(crate) fn answer(
        self,
        core: &mut Core,
        reply: AdminReply,
        frame: impl FnOnce(&mut Encoder, u32) -> Bytes,
    ) {
        match self {
            Asker::Socket(token) => core.reply(token, reply),
            Asker::Session(caller) => {
                let frame = frame(&mut core.encoder, caller.request);
                core.answer(caller, frame);
            }
            Asker::Shard(to, number, _) => PartAnswer::Told(Box::new(reply)).send(core, to, number),
        }
    }

    /// The answer in the form that fits, when what it rests on is on disk.
    pub(crate) fn answer_after(
        self,
        core: &mut Core,
        slot: Slot,
        stamp: Stamp,
        reply: AdminReply,
        frame: impl FnOnce(&mut Encoder, u32) -> Bytes,
    ) {
        let after = match self {
            Asker::Socket(token) => After::Reply { token, reply },
            Asker::Session(caller) => {
                let frame = frame(&mut core.encoder, caller.request);
                After::Answer { caller, frame }
            }
            Asker::Shard(to, number, _) => {
                After::Part { to, number, answer: PartAnswer::Told(Box::new(reply)) }
            }
        };
        core.after(slot, stamp, after);
    }
}
