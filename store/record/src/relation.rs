//! What two users are to each other: one record at the home of their private conversation, and the rows that show it in the
//! lists of both.

use rkyv::{Archive, Deserialize, Serialize};
use wire::limits::{CONTACT_GROUP_LEN_MAX, CONTACT_REMARK_LEN_MAX, CONTACT_TEXT_LEN_MAX};

use crate::records::{Record, RecordError, record, versioned};

/// Between the two users of a private conversation: the lower (side 0) and the higher (side 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Archive, Serialize, Deserialize)]
pub enum Tie {
    #[default]
    Strangers,
    /// The user of this side asks; the other one is shown it.
    Requested {
        by: u8,
    },
    /// The user of this side asks and still sees it so; the other one is shown nothing (any more).
    Unheard {
        by: u8,
    },
    Contacts,
}

/// The relation of the two users of a private conversation.
#[derive(Clone, Debug, PartialEq, Eq, Default, Archive, Serialize, Deserialize)]
pub struct Relation {
    /// Rises by one with each change.
    pub version: u64,
    pub tie: Tie,
    /// By the lower and by the higher user.
    pub blocked: [bool; 2],
    /// Last change of the tie, Unix milliseconds.
    pub since_ms: u64,
    /// Of the request that waits. Empty otherwise.
    pub text: String,
    /// Requests of the lower and of the higher user are not shown any more: one was refused, or was shown and withdrawn. So
    /// that each is shown once at most, until the other one asks too.
    pub refused: [bool; 2],
}
versioned!(Relation, Relation, 2, 1 => RelationV1);

/// As version 1 had it.
#[derive(Clone, Debug, PartialEq, Eq, Default, Archive, Serialize, Deserialize)]
pub struct RelationV1 {
    pub version: u64,
    pub tie: Tie,
    pub blocked: [bool; 2],
    pub since_ms: u64,
    pub text: String,
}

impl From<RelationV1> for Relation {
    fn from(old: RelationV1) -> Self {
        let RelationV1 { version, tie, blocked, since_ms, text } = old;
        Self { version, tie, blocked, since_ms, text, refused: [false; 2] }
    }
}

/// What one of the two wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    Request { text: String },
    Accept,
    Refuse,
    Remove,
    Block,
    Unblock,
}

/// Why an act cannot be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotNow {
    /// There is no request to accept or refuse.
    NoRequest,
    /// The one who asks has blocked the other himself.
    Blocked,
}

impl Relation {
    /// Of two users of whom nothing else is known but that they may write to each other.
    pub fn contacts() -> Self {
        Self { tie: Tie::Contacts, ..Self::default() }
    }

    /// The relation after an act of the user of this side; `None` when it is the same.
    ///
    /// # Errors
    /// When the act does not fit. Nothing in it depends on whether the other one has blocked.
    pub fn after(&self, side: usize, act: &Act, now_ms: u64) -> Result<Option<Self>, NotNow> {
        let other = 1 - side;
        let (me, peer) = (side as u8, other as u8);
        let mut next = self.clone();
        if matches!(act, Act::Request { .. }) {
            next.refused[other] = false;
        }
        match (act, self.tie) {
            (Act::Request { .. }, _) if self.blocked[side] => return Err(NotNow::Blocked),
            (Act::Request { .. }, Tie::Contacts) => {}
            (Act::Request { .. }, Tie::Requested { by } | Tie::Unheard { by }) if by == me => {}
            // Both want it.
            (Act::Request { .. }, Tie::Requested { .. } | Tie::Unheard { .. }) => next.tie = Tie::Contacts,
            (Act::Request { .. }, Tie::Strangers) if self.blocked[other] || self.refused[side] => {
                next.tie = Tie::Unheard { by: me }
            }
            (Act::Request { text }, Tie::Strangers) => {
                next.tie = Tie::Requested { by: me };
                next.text.clone_from(text);
            }
            (Act::Accept, Tie::Contacts) => {}
            (Act::Accept, Tie::Requested { by }) if by == peer => next.tie = Tie::Contacts,
            (Act::Refuse, Tie::Requested { by }) if by == peer => {
                next.tie = Tie::Unheard { by };
                next.refused[other] = true;
            }
            (Act::Accept | Act::Refuse, _) => return Err(NotNow::NoRequest),
            (Act::Remove, Tie::Contacts) => next.tie = Tie::Strangers,
            (Act::Remove, Tie::Requested { by } | Tie::Unheard { by }) if by == me => {
                next.tie = Tie::Strangers
            }
            (Act::Remove, _) => {}
            (Act::Block, tie) => {
                next.blocked[side] = true;
                next.tie = match tie {
                    Tie::Requested { by } | Tie::Unheard { by } if by == me => Tie::Strangers,
                    Tie::Requested { by } => Tie::Unheard { by },
                    tie => tie,
                };
            }
            (Act::Unblock, _) => next.blocked[side] = false,
        }
        // A request that was shown is withdrawn.
        if self.tie == (Tie::Requested { by: me }) && next.tie == Tie::Strangers {
            next.refused[side] = true;
        }
        if next.tie == Tie::Contacts {
            next.refused = [false; 2];
        }
        if next.tie != self.tie {
            next.since_ms = now_ms;
            if !matches!(next.tie, Tie::Requested { .. }) {
                next.text.clear();
            }
        }
        if next == *self {
            return Ok(None);
        }
        next.version += 1;
        Ok(Some(next))
    }

    /// The relation after the operator made contacts of the two; `None` when they are. Blocks stay.
    pub fn befriended(&self, now_ms: u64) -> Option<Self> {
        let next = Self {
            version: self.version + 1,
            tie: Tie::Contacts,
            blocked: self.blocked,
            since_ms: now_ms,
            text: String::new(),
            refused: [false; 2],
        };
        (self.tie != Tie::Contacts).then_some(next)
    }

    /// What the user of this side may know of it.
    pub fn view(&self, side: usize) -> View {
        let (state, text) = match self.tie {
            Tie::Strangers => (ContactState::None, ""),
            Tie::Contacts => (ContactState::Contact, ""),
            Tie::Requested { by } | Tie::Unheard { by } if usize::from(by) == side => {
                (ContactState::Requested, "")
            }
            Tie::Requested { .. } => (ContactState::Asked, &self.text[..]),
            Tie::Unheard { .. } => (ContactState::None, ""),
        };
        let since_ms = match state {
            ContactState::Asked | ContactState::Contact => self.since_ms,
            // A refusal or a block moves the tie; whoever asked must not see when.
            ContactState::None | ContactState::Requested => 0,
        };
        View { state, blocked: self.blocked[side], since_ms, text: text.to_owned() }
    }

    /// Whether messages of the user of this side are taken. `open`: contacts or not.
    pub fn may_write(&self, open: bool) -> bool {
        (open || self.tie == Tie::Contacts) && self.blocked == [false; 2]
    }

    /// # Errors
    /// What cannot be, in words.
    pub fn check(&self) -> Result<(), &'static str> {
        match self.tie {
            Tie::Requested { by } | Tie::Unheard { by } if by > 1 => return Err("a request of neither"),
            Tie::Requested { .. } if self.blocked != [false; 2] => return Err("a request beside a block"),
            Tie::Unheard { by } if self.blocked[usize::from(by)] => return Err("a request of who blocks"),
            Tie::Requested { by } if self.refused[usize::from(by)] => {
                return Err("a request that was refused");
            }
            Tie::Contacts if self.refused != [false; 2] => return Err("a refusal between contacts"),
            Tie::Requested { .. } => {}
            _ if !self.text.is_empty() => return Err("a text without a request"),
            _ => {}
        }
        if self.text.len() > CONTACT_TEXT_LEN_MAX { Err("a text that is too long") } else { Ok(()) }
    }
}

/// Rows of one user's list of contacts. For a new one over it leaves, of those that show nothing, of requests to him, or of
/// all, the one that changed longest ago.
pub const CONTACTS_MAX: usize = 16_384;

/// A contact as his user sees him.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Archive, Serialize, Deserialize)]
pub enum ContactState {
    #[default]
    None,
    /// The user asked and was not answered.
    Requested,
    /// The other one asks.
    Asked,
    Contact,
}

/// What a user may know of a relation.
#[derive(Clone, Debug, PartialEq, Eq, Default, Archive, Serialize, Deserialize)]
pub struct View {
    pub state: ContactState,
    /// By the user himself.
    pub blocked: bool,
    /// Since when it is so, Unix milliseconds; 0: not told.
    pub since_ms: u64,
    /// Of the other one's request.
    pub text: String,
}

impl View {
    /// Whether there is anything to show.
    pub fn is_empty(&self) -> bool {
        self.state == ContactState::None && !self.blocked
    }
}

/// A row of a user's list of contacts. One that shows nothing any more stays, so that other devices hear of it.
#[derive(Clone, Debug, PartialEq, Eq, Default, Archive, Serialize, Deserialize)]
pub struct Contact {
    /// Version of the user's list of contacts at which this row last changed.
    pub cver: u64,
    /// Version of the relation at which the view was made; 0 before the first.
    pub version: u64,
    pub view: View,
    /// The user's own words about him.
    pub remark: String,
    pub group: String,
}
record!(Contact, Contact, 1);

impl Contact {
    /// # Errors
    /// What cannot be, in words.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.cver == 0 {
            return Err("a row without a version");
        }
        if self.remark.len() > CONTACT_REMARK_LEN_MAX || self.group.len() > CONTACT_GROUP_LEN_MAX {
            return Err("a remark or group that is too long");
        }
        Ok(())
    }
}

/// A view that the user's home may not have yet.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct ContactOutboxEntry {
    pub version: u64,
    pub view: View,
}
record!(ContactOutboxEntry, ContactOutbox, 1);

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Act {
        Act::Request { text: "hello".into() }
    }

    /// Does acts of side 0 (upper case) and side 1 (lower case), each by its first letter; `q` asks.
    fn after(acts: &str) -> Relation {
        let mut relation = Relation::default();
        for letter in acts.chars() {
            let side = usize::from(letter.is_lowercase());
            let act = match letter.to_ascii_lowercase() {
                'q' => request(),
                'a' => Act::Accept,
                'f' => Act::Refuse,
                'm' => Act::Remove,
                'b' => Act::Block,
                'u' => Act::Unblock,
                other => panic!("{other}"),
            };
            if let Ok(Some(next)) = relation.after(side, &act, 7) {
                relation = next;
            }
            relation.check().unwrap_or_else(|what| panic!("{acts}: {what}"));
        }
        relation
    }

    fn states(acts: &str) -> [ContactState; 2] {
        let relation = after(acts);
        [relation.view(0).state, relation.view(1).state]
    }

    #[test]
    fn requests_are_accepted_refused_crossed_and_withdrawn() {
        use ContactState::{Asked, Contact, None, Requested};
        for (acts, expected) in [
            ("Q", [Requested, Asked]),
            ("Qa", [Contact, Contact]),
            ("Qq", [Contact, Contact]),
            ("Qf", [Requested, None]),
            ("QfQ", [Requested, None]),
            ("Qfq", [Contact, Contact]),
            ("QM", [None, None]),
            // Neither a refusal nor a withdrawal makes room for another text, until the other one asks himself.
            ("QfMQ", [Requested, None]),
            ("QMQ", [Requested, None]),
            ("QBUQ", [Requested, None]),
            ("QMQMQ", [Requested, None]),
            ("QfMq", [Asked, Requested]),
            ("QfMqmQ", [Requested, Asked]),
            ("QMQq", [Contact, Contact]),
            ("QfqMQ", [Requested, Asked]),
            ("QMa", [None, None]),
            ("Qam", [None, None]),
            ("QA", [Requested, Asked]),
            ("Qm", [Requested, Asked]),
            ("a", [None, None]),
            ("qBu", [None, Requested]),
        ] {
            assert_eq!(states(acts), expected, "{acts}");
        }
        assert_eq!(after("Q").view(1).text, "hello");
        assert_eq!(after("Q").view(0).text, "", "whoever asked knows it");
        assert_eq!(after("Qa").text, "");
        assert_eq!(after("Q").after(0, &Act::Accept, 7), Err(NotNow::NoRequest));
        assert_eq!(after("B").after(0, &request(), 7), Err(NotNow::Blocked));
    }

    /// Whatever happens, what one of the two sees and is answered is the same whether the other one has blocked him, has
    /// refused him, or does nothing.
    #[test]
    fn a_block_shows_to_nobody_but_its_owner() {
        for before in ["", "Q", "Qf", "Qa", "q"] {
            for later in ["", "Q", "M", "QM", "MQ", "QQ", "BU", "BUQ"] {
                let (quiet, blocked) = (format!("{before}{later}"), format!("{before}b{later}"));
                let (quiet, blocked) = (after(&quiet), after(&blocked));
                let (mut seen, mut shown) = (quiet.view(0), blocked.view(0));
                // His own request falls when he blocks: that is seen, as a withdrawal.
                if before == "q" {
                    continue;
                }
                (seen.since_ms, shown.since_ms) = (0, 0);
                assert_eq!(seen, shown, "{before}+{later}");
                for act in [request(), Act::Accept, Act::Refuse, Act::Remove, Act::Block, Act::Unblock] {
                    assert_eq!(
                        quiet.after(0, &act, 9).is_err(),
                        blocked.after(0, &act, 9).is_err(),
                        "{before}+{later} then {act:?}"
                    );
                }
            }
        }
        let withdrawn = (after("qm").view(0), after("qb").view(0));
        assert_eq!(withdrawn.0, withdrawn.1);
    }

    #[test]
    fn messages_need_contacts_or_an_open_node_and_nobody_blocked() {
        for (acts, required, open) in [
            ("", false, true),
            ("Q", false, true),
            ("Qa", true, true),
            ("Qab", false, false),
            ("QabBuU", true, true),
        ] {
            let relation = after(acts);
            assert_eq!((relation.may_write(false), relation.may_write(true)), (required, open), "{acts}");
        }
    }

    #[test]
    fn the_operator_makes_contacts_of_anybody_and_blocks_stay() {
        for acts in ["", "Q", "Qf", "b", "Qb", "Qam"] {
            let befriended = after(acts).befriended(9).expect("they were not");
            befriended.check().unwrap_or_else(|what| panic!("{acts}: {what}"));
            assert_eq!([0, 1].map(|side| befriended.view(side).state), [ContactState::Contact; 2], "{acts}");
            assert_eq!(befriended.blocked, after(acts).blocked);
            assert_eq!((befriended.version, befriended.since_ms), (after(acts).version + 1, 9));
            assert_eq!(befriended.befriended(10), None);
        }
    }

    /// All sequences of four acts: the record stays one that can be, and both see contacts or neither does.
    #[test]
    fn any_order_of_acts_leaves_both_sides_agreeing() {
        let letters: Vec<char> = "QAFMBUqafmbu".chars().collect();
        for number in 0..letters.len().pow(4) {
            let mut rest = number;
            let mut acts = String::new();
            for _ in 0..4 {
                acts.push(letters[rest % letters.len()]);
                rest /= letters.len();
            }
            let [low, high] = states(&acts);
            assert_eq!(low == ContactState::Contact, high == ContactState::Contact, "{acts}");
            assert!(high != ContactState::Asked || low == ContactState::Requested, "{acts}");
            assert!(low != ContactState::Asked || high == ContactState::Requested, "{acts}");
        }
    }

    /// The bytes on disk. They never change; a new version gets bytes of its own beside these.
    #[test]
    fn golden_bytes() {
        let view =
            View { state: ContactState::Asked, blocked: false, since_ms: 3, text: "hello, Bert".into() };
        let relation = Relation {
            version: 2,
            tie: Tie::Requested { by: 1 },
            blocked: [false, false],
            since_ms: 3,
            text: "hello, Bert".into(),
            refused: [true, false],
        };
        let contact =
            Contact { cver: 5, version: 2, view: view.clone(), remark: "Anna".into(), group: "work".into() };
        let outbox = ContactOutboxEntry { version: 2, view };
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!([hex(&relation.encode()), hex(&contact.encode()), hex(&outbox.encode())], GOLDEN);
        let bytes = |hex: &str| {
            let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
            (0..hex.len()).step_by(2).map(byte).collect::<Vec<u8>>()
        };
        let old = Relation { refused: [false; 2], ..relation.clone() };
        assert_eq!(Relation::decode(&bytes(GOLDEN_RELATION_1)), Ok(old));
        assert_eq!(Relation::decode(&relation.encode()), Ok(relation));
        assert_eq!(Contact::decode(&contact.encode()), Ok(contact));
        assert_eq!(ContactOutboxEntry::decode(&outbox.encode()), Ok(outbox));
    }

    const GOLDEN_RELATION_1: &str =
        "0e0168656c6c6f2c204265727402000000000000000101000003000000000000008b000000e1ffffff";
    const GOLDEN: [&str; 3] = [
        "0e0268656c6c6f2c204265727402000000000000000101000003000000000000008b000000e1ffffff0100",
        concat!(
            "0f0168656c6c6f2c204265727405000000000000000200000000000000020003000000000000008b000000",
            "dbffffff416e6e61ffffffff776f726bffffffff"
        ),
        "100168656c6c6f2c20426572740200000000000000020003000000000000008b000000e3ffffff",
    ];
}
