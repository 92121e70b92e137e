//! Planted bugs, which the simulator must find. Only with the feature `planted-bugs`, for tests: without it
//! [`Bugs::has`] is `false` at compile time and there is no way to plant one.

/// One planted bug. Each stands in one line at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bug {
    /// A repeated send is not compared with what was taken before.
    SkipDedupe,
    /// A send is taken though the one before it was not.
    IgnorePrevious,
    /// `Sent` leaves before its batch is on disk.
    AckBeforeCommit,
    /// A message is pushed before its batch is on disk.
    PushBeforeCommit,
    /// A pull shows entries that are not on disk.
    PullUncommitted,
    /// A sync shows a version that is not on disk.
    SyncUncommitted,
    /// A command that comes while its conversation is loaded goes before those that wait.
    OvertakeLoad,
    /// The change for the other home is not written beside its entry.
    LoseOutbox,
    /// What found no room in the delivery lane is not sent later.
    ForgetLaneMark,
    /// A mark may go back.
    MarkGoesBack,
    /// A pull does not tell what did not fit.
    PullForgetsMore,
    /// The change of a relation is not written beside it for the other home.
    LoseContactOutbox,
    /// A message of somebody who may not write is taken.
    TakeFromBlocked,
    /// An invisible contact stands among those who are online.
    ShowHidden,
    /// A mark of an invisible user is shown to the other one.
    ShowHiddenMark,
    /// Whoever goes offline does not say so.
    ForgetGoodbye,
    /// A state that changes while an answer is on its way is not told to whoever answers.
    ForgetCrossing,
    /// States that were lost between two shards are not exchanged anew.
    ForgetPresenceExchange,
    /// A request of the operator that is made again is carried out again.
    IssueTwice,
    /// Adverts go to those too who do not want them.
    AdvertsToAll,
    /// What is gone from the directory is not told.
    OrgForgetsGone,
    /// A recall leaves the message as it was.
    KeepRecalled,
    /// Costs an allocation more per send.
    CopyBody,
    /// Costs a thousand instructions more per send.
    ReadBodyAgain,
}

impl Bug {
    /// Those that change what somebody sees. The others only cost: the check of counts finds them.
    pub const ALL: &[Bug] = &[
        Bug::SkipDedupe,
        Bug::IgnorePrevious,
        Bug::AckBeforeCommit,
        Bug::PushBeforeCommit,
        Bug::PullUncommitted,
        Bug::SyncUncommitted,
        Bug::OvertakeLoad,
        Bug::LoseOutbox,
        Bug::ForgetLaneMark,
        Bug::MarkGoesBack,
        Bug::PullForgetsMore,
        Bug::LoseContactOutbox,
        Bug::TakeFromBlocked,
        Bug::ShowHidden,
        Bug::ShowHiddenMark,
        Bug::ForgetGoodbye,
        Bug::ForgetCrossing,
        Bug::ForgetPresenceExchange,
        Bug::IssueTwice,
        Bug::AdvertsToAll,
        Bug::OrgForgetsGone,
        Bug::KeepRecalled,
    ];
}

/// Which bug this shard has.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bugs {
    #[cfg(feature = "planted-bugs")]
    pub(crate) planted: Option<Bug>,
}

impl Bugs {
    #[cfg(feature = "planted-bugs")]
    pub fn has(self, bug: Bug) -> bool {
        self.planted == Some(bug)
    }

    /// Costs something, when that is planted.
    #[cfg(feature = "planted-bugs")]
    pub fn waste(self, body: &[u8]) {
        if self.has(Bug::CopyBody) {
            std::hint::black_box(body.to_vec());
        }
        if self.has(Bug::ReadBodyAgain) {
            body.iter().cycle().take(1_000).for_each(|byte| _ = std::hint::black_box(byte));
        }
    }

    #[cfg(not(feature = "planted-bugs"))]
    pub const fn waste(self, _body: &[u8]) {}

    #[cfg(not(feature = "planted-bugs"))]
    pub const fn has(self, _bug: Bug) -> bool {
        false
    }
}
