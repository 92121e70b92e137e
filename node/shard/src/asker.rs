//! Who asked for an act of the operator: the admin socket, the session of a token, or another shard that asks for one of
//! both.

use bytes::Bytes;
use wire::encode::Encoder;
use wire::{Refusal, ShardAddress, Slot, UserId};

use crate::admin::AdminReply;
use crate::commits::Stamp;
use crate::core::{After, Core};
use crate::mesh::Caller;
use crate::parts::{PartAnswer, PartNumber};

/// Gets exactly one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// The admin socket, by the token of its request.
    Socket(u64),
    /// A session, wherever its connection is.
    Session(Caller),
    /// A shard that puts the answers of all together.
    Shard(ShardAddress, PartNumber),
}

impl Asker {
    /// The user of the session; nobody for the admin socket.
    pub fn user(self) -> UserId {
        match self {
            Asker::Socket(_) | Asker::Shard(..) => UserId::NOBODY,
            Asker::Session(caller) => caller.user,
        }
    }

    /// "No", and at once: nothing in it rests on what is not on disk yet.
    pub fn refuse(self, core: &mut Core, refusal: Refusal, detail: u64, retry_ms: u32) {
        match self {
            Asker::Socket(token) => {
                core.reply(token, AdminReply::Refused { reason: refusal.reason().into() })
            }
            Asker::Session(caller) => core.refuse_caller(caller, refusal, detail, retry_ms),
            Asker::Shard(to, number) => PartAnswer::Refused { refusal, retry_ms }.send(core, to, number),
        }
    }

    /// "No", when what it rests on is on disk.
    pub fn refuse_after(self, core: &mut Core, slot: Slot, stamp: Stamp, refusal: Refusal, detail: u64) {
        let reply = AdminReply::Refused { reason: refusal.reason().into() };
        if let Asker::Session(_) = self {
            core.counters.refused(refusal);
        }
        self.answer_after(core, slot, stamp, reply, |encoder, request| {
            encoder.refused(request, refusal, detail, 0)
        });
    }

    /// The answer in the form that fits, at once.
    pub fn answer(self, core: &mut Core, reply: AdminReply, frame: impl FnOnce(&mut Encoder, u32) -> Bytes) {
        match self {
            Asker::Socket(token) => core.reply(token, reply),
            Asker::Session(caller) => {
                let frame = frame(&mut core.encoder, caller.request);
                core.answer(caller, frame);
            }
            Asker::Shard(to, number) => PartAnswer::Told(Box::new(reply)).send(core, to, number),
        }
    }

    /// The answer in the form that fits, when what it rests on is on disk.
    pub fn answer_after(
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
            Asker::Shard(..) => unreachable!("a shard asks only for what is on disk"),
        };
        core.after(slot, stamp, after);
    }
}
