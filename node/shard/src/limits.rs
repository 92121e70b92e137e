//! Bounds of one shard. Pools are sums, a comment per term; relations are asserted.

/// Connections of one shard that have not logged in. A new one over it is closed (`TooManyConnections`).
pub const UNAUTHENTICATED_MAX: usize = 12_000;
/// Connections of one shard. The node's descriptors are the harder limit.
pub const CONNECTIONS_MAX: usize = 1 << 20;
/// Edits of the directory that are done together, and pieces of them that wait. More are refused.
pub const ORG_EDITS_MAX: usize = wire::limits::ORG_EDITS_MAX;
pub const ORG_PIECES_MAX: usize = 16;
/// Pages of the directory that are being read. More are refused `busy`.
pub const ORG_PAGES_MAX: usize = 64;
/// Users whose homes have not confirmed their departments. A piece over it is refused `busy`.
pub const ORG_OUTBOX_MAX: usize = 4_096;
/// Rows of the directory that one load reads at a start, and departments in one frame about the tree.
pub const ORG_ROWS_PER_LOAD: u32 = 1_024;
pub const ORG_TREE_PART_MAX: usize = 1_024;
/// Shards are told of new versions of the directory so often at most.
pub const ORG_TOLD_MS: u64 = 2_000;
/// Sessions that a shard tells of one in one turn.
pub const ORG_TOLD_SESSIONS_MAX: usize = 512;
/// Commands of one session without an answer. More are refused `busy`.
pub const COMMANDS_IN_FLIGHT_MAX: u16 = 64;
/// Commands on their way to one peer shard without an answer. More are refused `busy` before anything is stored.
pub const FORWARDS_IN_FLIGHT_MAX: u32 = 4_096;
/// Credits for delivery frames to one peer shard that it has not taken: a frame uses one, and one more for each
/// `DELIVERY_CREDIT_BYTES` in it. The frame that uses the last one may use more than are left. Without credit, commands are
/// refused `busy` and pushes become coalesced marks.
pub const DELIVERY_CREDITS: u64 = 8_192;
/// Bytes of bodies and events that a delivery frame carries for one credit more.
pub const DELIVERY_CREDIT_BYTES: usize = 1_024;
/// The receiver returns credits when it has taken this many, and at the end of each turn in which it was idle.
pub const CREDIT_STEP: u64 = DELIVERY_CREDITS / 8;
/// Reads of one shard without an answer. A command that needs one more is refused `busy`.
pub const LOADS_IN_FLIGHT_MAX: usize = 1_024;
/// Records of accounts that wait until fewer loads are in flight: one per connection that logs in. More are refused `busy`.
pub const LOGINS_POSTPONED_MAX: usize = 16_384;
/// Records of accounts that one load reads.
pub const LOGIN_RECORDS_PER_LOAD_MAX: usize = 64;
/// Commands that wait for one key to be loaded. More are refused `busy`.
pub const QUEUED_PER_KEY_MAX: usize = 256;
/// Changes that other homes have not confirmed. A send over it is refused `busy`.
pub const OUTBOX_MAX: usize = 65_536;
/// Conversations in memory; the least recently used clean ones over it are dropped.
pub const CONVERSATIONS_CACHED_MAX: usize = 65_536;
/// Lists of users in memory; the least recently used clean ones over it are dropped.
pub const LISTS_CACHED_MAX: usize = 16_384;
/// Accounts, names and slot states in memory, each; they are needed at login only. The least recently used clean ones
/// over it are dropped.
pub const ACCOUNTS_CACHED_MAX: usize = 4_096;
/// Conversations in one user's list. The one that changed longest ago leaves it; its log stays.
pub const LIST_ENTRIES_MAX: usize = 16_384;
/// Devices of one account, whose record must stay under the store's longest value. A new one replaces the one without a
/// session that was active longest ago.
pub const DEVICES_MAX: usize = 40;
/// Sessions of one user at a time. One more is refused `too_many_devices`.
pub const SESSIONS_PER_USER_MAX: usize = 32;
/// Users in memory with what is kept of their devices; needed for lists of devices only. The least recently used clean
/// ones over it are dropped.
pub const SEEN_CACHED_MAX: usize = 1_024;
/// Milliseconds for which a session that told its home of an activity tells no other.
pub const ACTIVE_TOLD_MS: u64 = 60_000;
/// Sends remembered per conversation and device.
pub const REMEMBERED_SENDS_MAX: usize = 64;
/// Entries of one conversation that are written anew and not on disk yet. With more, recalls and edits are refused for a moment.
pub const REWRITES_UNWRITTEN_MAX: usize = 64;
/// Notices remembered per conversation, to know a request that is made again.
pub const REMEMBERED_ISSUES_MAX: usize = 64;
/// Conversations without a list of members that the sessions of one shard follow. What a session follows over it is not
/// pushed to it, and its `Sync` does not tell the head.
pub const FOLLOWED_MAX: usize = 16_384;
/// Such conversations of one home that other shards follow: each shard asks for those that it follows, so this is no more
/// than `FOLLOWED_MAX` for each of 1,024 shards, and in fact no more than the home has.
pub const HUB_MAX: usize = FOLLOWED_MAX * 1_024;
/// Conversations without a list of members that one session follows; more are not followed.
pub const FOLLOWED_PER_SESSION_MAX: usize = 256;
/// Places of connections that are looked at in one turn to tell sessions of such conversations.
pub const FAN_OUT_PER_TURN: usize = 4_096;
/// Events of such conversations that wait until all sessions are told. What comes over it is told as a head.
pub const FAN_OUTS_MAX: usize = 256;
/// Devices of one user remembered per conversation; a send of an older one is refused `sync_first`.
pub const REMEMBERED_DEVICES_MAX: usize = 128;
/// Entries between two checkpoints: bounds the rebuild of a conversation after a restart.
pub const CHECKPOINT_ENTRIES: u64 = 1_024;
/// A turn's entries leave a conversation's tail, kept in memory for pulls, when so many stand behind them or when the tail
/// has more bytes.
pub const TAIL_ENTRIES_MAX: usize = 64;
pub const TAIL_BYTES_MAX: usize = 64 * 1024;
/// The tails of all conversations of one shard together; the oldest turns leave first.
pub const TAILS_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Turns of all tails, those that have left their tail included until they are met.
pub const TAILS_TURNS_MAX: usize = 262_144;
/// Conversations of one shard whose first send waits to hear whether the peer exists. More are refused `busy`.
pub const INTRODUCTIONS_MAX: usize = 1_024;
/// Rows of one read while a conversation's state is rebuilt, and the bytes that end it.
pub const REBUILD_ROWS: u32 = 256;
pub const REBUILD_BYTES: u32 = 256 * 1024;
/// Slots whose outbox is read at once, the rows of one of them, and such reads in flight.
pub const RECOVERY_SLOTS: usize = 16;
pub const RECOVERY_ROWS: u32 = 64;
pub const RECOVERY_LOADS_MAX: usize = 4;
/// Changes in memory when they are read back after a start: those noted, the parts being read, and those found with a
/// conversation that is being read. Over it no further conversation is read: commands are refused `busy`.
pub const OUTBOX_READ_BACK_MAX: usize =
    OUTBOX_MAX + RECOVERY_LOADS_MAX * RECOVERY_SLOTS * RECOVERY_ROWS as usize + 2 * LOADS_IN_FLIGHT_MAX;
/// Views of relations that other homes have not confirmed, two per changed relation. A change over it is refused `busy`.
pub const CONTACT_OUTBOX_MAX: usize = 16_384;
/// The same in memory when they are read back after a start: those noted, and the parts being read.
pub const CONTACT_OUTBOX_READ_BACK_MAX: usize =
    CONTACT_OUTBOX_MAX + RECOVERY_LOADS_MAX * RECOVERY_SLOTS * RECOVERY_ROWS as usize;
/// Entries of the audit log that a slot keeps of each class, how many new ones make it look for older ones to delete, and how
/// many it looks at then.
pub const AUDIT_KEPT_MAX: usize = 256;
pub const AUDIT_SWEEP: u32 = 64;
pub const AUDITED_MAX: usize = 1_024;
/// Entries in one answer.
pub const AUDIT_ROWS_MAX: u32 = 256;
/// Commands of one shard's callers that are being carried out in parts. More are refused `busy`.
pub const PARTED_MAX: usize = 32;
/// Relations that one read for a part fetches, and reads of one part in flight.
pub const PAIRS_PER_LOAD_MAX: usize = 64;
pub const PART_LOADS_MAX: usize = 4;
/// Lists of contacts in memory, and their rows; lists used longest ago leave over it.
pub const CONTACT_LISTS_CACHED_MAX: usize = 16_384;
pub const CONTACT_ROWS_CACHED_MAX: usize = 262_144;
/// Challenges of sessions for a proof of their password, each valid for a minute. One more is refused `busy`.
pub const PROOFS_MAX: usize = 4_096;
/// Frames of the ephemeral lane to one peer shard that it has not taken. Without credit what is to be told waits.
pub const EPHEMERAL_CREDITS: u64 = 16;
/// Frames by which events for sessions may go beyond the credits: those of one turn.
pub const EPHEMERAL_OVERDRAFT_MAX: u64 = (PRESENCE_TOLD_PER_TURN
    * SESSIONS_PER_USER_MAX
    * record::CONTACTS_MAX.div_ceil(wire::limits::PRESENCES_MAX as usize))
.div_ceil(PRESENCE_PUSHES_PER_FRAME) as u64
    + 1;
/// Pairs of users of whom one shard, or this one itself, is to be told, the newest state of each. One more is not told, and both
/// shards tell each other anew what the other one's users watch.
pub const PRESENCE_PENDING_MAX: usize = 65_536;
/// Pairs in one frame, and frames of one turn to one peer.
pub const PRESENCE_PAIRS_PER_FRAME: usize = 256;
pub const PRESENCE_FRAMES_PER_TURN: usize = 8;
/// Pairs of users of this shard that are told to each other in one turn; more wait for the next.
pub const PRESENCE_LOCAL_PAIRS_PER_TURN: usize = 2_048;
/// Pairs that such an exchange has gathered when it goes on to no further user before some were told: those of one turn. What one
/// user watches may go beyond.
pub const PRESENCE_EXCHANGING_MAX: usize = PRESENCE_PAIRS_PER_FRAME * PRESENCE_FRAMES_PER_TURN;
/// Users gone through in one turn for a shard at which something was lost.
pub const PRESENCE_EXCHANGED_PER_TURN: usize = 256;
/// Users whose sessions are told in one turn; more wait for the next.
pub const PRESENCE_TOLD_PER_TURN: usize = 256;
/// Events for sessions in one frame.
pub const PRESENCE_PUSHES_PER_FRAME: usize = 64;
/// Loads of contacts of users who come online, in flight, the users of one of them, and the rows of one user. Further users
/// wait, and further rows are read by another load.
pub const PRESENCE_LOADS_MAX: usize = 32;
pub const PRESENCE_USERS_PER_LOAD_MAX: usize = 16;
pub const PRESENCE_ROWS: u32 = 128;
/// Contacts of all users of one shard who are online. Further ones are shown as offline to those who come then.
pub const PRESENCE_CONTACTS_MAX: usize = 1 << 24;
/// Texts beside states in memory. Further ones are not shown.
pub const PRESENCE_TEXTS_MAX: usize = 65_536;
/// Profiles that are being changed. A change of another one is refused `busy`.
pub const PROFILES_CHANGING_MAX: usize = 4_096;
/// Rows of one read of a user's list.
pub const LIST_ROWS: u32 = 4_096;
/// List entries in memory, of all users; lists used longest ago leave over it.
pub const LIST_ENTRIES_CACHED_MAX: usize = 262_144;
/// Conversations of sessions whose pushes found no room, by shard of the sessions. More: the session is told to sync.
pub const MISSED_MAX: usize = 16_384;
/// Bytes of frames that go to a session as one; a longer frame goes alone.
pub const FRAMES_TOGETHER_BYTES_MAX: usize = 16 * 1024;
/// Placements that are counted before their sessions exist.
pub const PENDING_PLACEMENTS_MAX: usize = 65_536;
/// How long one is counted.
pub const PENDING_PLACEMENT_MS_MAX: u64 = 15_000;
/// Addresses with counters (connections, failures) in one shard; beyond it the oldest without connections leaves.
pub const ADDRESSES_MAX: usize = 65_536;
/// Addresses, and pairs of name and address, with failed logins remembered in one shard; the one that failed longest ago leaves.
pub const FAILURES_MAX: usize = 65_536;
/// Failed logins of one address on one name that are free; each further one doubles the delay, from the first one on.
pub const FAILURES_FREE: u32 = 3;
pub const FAILURE_DELAY_MS_FIRST: u64 = 1_000;
pub const FAILURE_DELAY_MS_MAX: u64 = 60_000;
/// The same of one address on all names, over all shards: each forgives one of them after `FAILURE_FORGIVEN_MS`.
pub const ADDRESS_FAILURES_FREE: u32 = 40;
pub const FAILURE_FORGIVEN_MS: u64 = 60_000;
/// After so long without another failure they are forgotten.
pub const FAILURE_MS_MAX: u64 = 15 * 60_000;
/// Failed logins that close a connection.
pub const FAILURES_PER_CONNECTION_MAX: u8 = 3;
/// Frames that do not verify, or are too long for their command: so many close a connection.
pub const MALFORMED_PER_CONNECTION_MAX: u8 = 8;
/// Frames of one connection before it has logged in: each may be answered, and the answers wait in memory when the peer
/// does not read. More close it.
pub const FRAMES_BEFORE_LOGIN_MAX: u16 = 512;
/// Pulls, and Syncs, of one session without an answer. More are refused `busy`: their answers are long.
pub const LONG_READS_IN_FLIGHT_MAX: u8 = 1;
/// What a refusal `busy` says to wait.
pub const BUSY_RETRY_MS: u32 = 100;
/// An allowance may be used up to so far ahead: a burst.
pub const BURST_MS_MAX: u64 = 2_000;
/// Steps of a registration and the login behind it: a shard's share of the rate allows them in a row, or a client that
/// starts anew after each refusal would never be done.
pub const LOGIN_STEPS: u64 = 4;
/// Users in one answer to the operator; ranges of names and accounts in one load for it.
pub const LISTED_USERS_MAX: u32 = 256;
pub const LISTED_SLOTS_PER_LOAD_MAX: usize = 64;
/// Requests of the operator that wait for a load.
pub const LISTINGS_MAX: usize = 16;
/// Milliseconds that a change waits at most which nobody waits for: it goes with the next one that somebody waits for.
pub const UNHURRIED_MS_MAX: u64 = 50;
/// So many changes that nobody waits for do not wait any longer.
pub const UNHURRIED_OPS_MAX: usize = 1_024;
/// Milliseconds for which changes of a list gather before they are merged into it; a `Sync` does not wait for that.
pub const MERGE_MS_MAX: u64 = 50;
/// Operations in one turn's batch to one store shard; more wait for the next.
pub const BATCH_OPS_MAX: usize = 16_384;

const _: () = assert!(ORG_EDITS_MAX <= ORG_OUTBOX_MAX && ORG_EDITS_MAX * 8 < BATCH_OPS_MAX);
const _: () = assert!(SESSIONS_PER_USER_MAX < DEVICES_MAX);
const _: () = assert!(record::CONTACTS_MAX <= PRESENCE_PENDING_MAX / 2);
const _: () = assert!(PRESENCE_LOADS_MAX <= LOADS_IN_FLIGHT_MAX / 2);
const _: () = assert!(LIST_ENTRIES_MAX <= LIST_ENTRIES_CACHED_MAX);
const _: () = assert!(record::CONTACTS_MAX <= CONTACT_ROWS_CACHED_MAX);
const _: () = assert!(wire::limits::SYNC_CHANGES_MAX as usize <= LIST_ENTRIES_MAX);
const _: () = assert!(UNHURRIED_OPS_MAX < BATCH_OPS_MAX);
const _: () = assert!(CREDIT_STEP > 0 && CREDIT_STEP * 2 <= DELIVERY_CREDITS);
const _: () = assert!(wire::limits::WINDOW_MAX as usize <= QUEUED_PER_KEY_MAX);
const _: () = assert!((wire::limits::WINDOW_MAX as usize) < REMEMBERED_SENDS_MAX);
const _: () = assert!(wire::limits::WINDOW_MAX <= COMMANDS_IN_FLIGHT_MAX);
