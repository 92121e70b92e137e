//! Commands of one client about one conversation are carried out in the order in which they were sent: none overtakes
//! another, whatever has to be loaded first.

use std::collections::{BTreeMap, VecDeque};

use wire::{ConversationId, EventBody, Refusal};

use crate::sim::network::LinkId;

/// Sends remembered per link.
const REMEMBERED_MAX: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Open,
    Taken,
    /// Refused since the one before it was not taken, but only those up to this counter.
    OutOfOrder {
        last: u64,
    },
    Refused,
}

/// A send as it was requested.
#[derive(Debug)]
struct Requested {
    request: u32,
    conversation: ConversationId,
    counter: u64,
    previous: u64,
    decision: Decision,
}

/// The sends of honest clients, by link, in the order in which they left.
#[derive(Debug, Default)]
pub struct Order(BTreeMap<LinkId, VecDeque<Requested>>);

impl Order {
    pub fn on_requested(
        &mut self,
        link: LinkId,
        request: u32,
        conversation: ConversationId,
        counter: u64,
        previous: u64,
    ) {
        let sends = self.0.entry(link).or_default();
        if sends.len() == REMEMBERED_MAX {
            sends.pop_front();
        }
        sends.push_back(Requested { request, conversation, counter, previous, decision: Decision::Open });
    }

    /// A send that was taken cannot be followed by one that was refused for want of it.
    ///
    /// # Errors
    /// In words, when it was.
    pub fn on_answered(&mut self, link: LinkId, request: u32, event: &EventBody) -> Result<(), String> {
        let Some(sends) = self.0.get_mut(&link) else { return Ok(()) };
        let Some(at) = sends.iter().position(|send| send.request == request) else { return Ok(()) };
        sends[at].decision = match event {
            EventBody::Sent(_) => Decision::Taken,
            EventBody::Refused(refused) if refused.code == Refusal::OutOfOrder.code() => {
                Decision::OutOfOrder { last: refused.detail }
            }
            _ => Decision::Refused,
        };
        let overtaken = |(first, second): (&Requested, &Requested)| {
            first.conversation == second.conversation
                && first.counter == second.previous
                && first.decision == Decision::Taken
                && matches!(second.decision, Decision::OutOfOrder { last } if last < first.counter)
        };
        let answered = &sends[at];
        let before = sends.range(..at).map(|first| (first, answered));
        let after = sends.range(at + 1..).map(|second| (answered, second));
        match before.chain(after).find(|pair| overtaken(*pair)) {
            Some((first, second)) => Err(format!("{second:?} has overtaken {first:?}")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::UserId;
    use wire::message::{Place, Refused, Sent};

    fn conversation() -> ConversationId {
        ConversationId::private(UserId(1 << 10), UserId(2 << 10)).expect("two users")
    }

    fn taken(counter: u64) -> EventBody {
        let place = Place { seq: counter, ord: counter };
        EventBody::Sent(Sent { conversation: conversation(), counter, place, time_ms: 0, epoch: 1 })
    }

    fn out_of_order(last: u64) -> EventBody {
        let code = Refusal::OutOfOrder.code();
        EventBody::Refused(Refused {
            code,
            name: String::new(),
            reason: String::new(),
            detail: last,
            retry_ms: 0,
        })
    }

    #[test]
    fn a_send_that_overtook_the_one_before_it_is_noticed() {
        let mut order = Order::default();
        order.on_requested(1, 10, conversation(), 4, 3);
        order.on_requested(1, 11, conversation(), 5, 4);
        assert!(order.on_answered(1, 11, &out_of_order(3)).is_ok(), "the first may be refused yet");
        assert!(order.on_answered(1, 10, &taken(4)).is_err());
    }

    #[test]
    fn a_repeat_of_what_was_taken_long_ago_overtakes_nothing() {
        let mut order = Order::default();
        order.on_requested(1, 10, conversation(), 4, 3);
        order.on_requested(1, 11, conversation(), 9, 4);
        assert!(order.on_answered(1, 10, &taken(4)).is_ok());
        assert!(order.on_answered(1, 11, &out_of_order(8)).is_ok());
    }
}
