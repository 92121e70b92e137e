//! The rows of one slot.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use wire::limits::MESSAGE_BODY_LEN_MAX;
use wire::name::UserName;
use wire::{ConversationId, DeviceId, Slot, UserId};

use super::across::Across;
use super::log::{LogCheck, Told};
use super::{Findings, check_place, in_slot};
use crate::body::{BodyHasher, body_hash};
use crate::entry::Entry;
use crate::profile::Profile;
use crate::records::*;
use crate::relation::Contact;
use crate::service::Tokens;

/// Parts of a body in chunks.
struct Long {
    conversation: ConversationId,
    seq: u64,
    body_len: usize,
    hash: u64,
    chunks_seen: u16,
    hasher: BodyHasher,
}

pub(super) struct SlotCheck {
    slot: Slot,
    state: Option<SlotState>,
    names: HashMap<String, u64>,
    accounts: HashSet<UserId>,
    /// The highest number of a user in this slot.
    user_last: u32,
    /// Accounts that nobody can log in to, unless they are of services.
    without_credential: BTreeSet<UserId>,
    /// The user whose list is being read, and the versions seen in it.
    list: Option<(UserId, HashSet<u64>)>,
    /// The same of his list of contacts.
    contacts: Option<(UserId, HashSet<u64>)>,
    /// What was told about conversations whose entries come later.
    told: HashMap<ConversationId, Told>,
    log: Option<LogCheck>,
    /// Bodies in chunks, in the order in which their chunks come.
    long: VecDeque<Long>,
}

impl SlotCheck {
    pub fn new(slot: Slot) -> Self {
        Self {
            slot,
            state: None,
            names: HashMap::new(),
            accounts: HashSet::new(),
            user_last: 0,
            without_credential: BTreeSet::new(),
            list: None,
            contacts: None,
            told: HashMap::new(),
            log: None,
            long: VecDeque::new(),
        }
    }

    pub fn slot(&self) -> Slot {
        self.slot
    }

    pub fn add_state(&mut self, state: SlotState) -> Result<(), String> {
        self.state = Some(state);
        Ok(())
    }

    pub fn add_name(&mut self, name: String, entry: NameEntry) -> Result<(), String> {
        if UserName::parse(&name).ok().is_none_or(|parsed| parsed.as_str() != name) {
            return Err(format!("{name:?} is not a name in its comparable form"));
        }
        let user = UserId(entry.user);
        if !user.is_valid() || user.slot() != self.slot {
            return Err(format!("{name:?} belongs to {user:?}, who cannot be in this slot"));
        }
        self.names.insert(name, entry.user);
        Ok(())
    }

    pub fn add_account(&mut self, user: UserId, account: &Account) -> Result<(), String> {
        if !user.is_valid() {
            return Err(format!("{user:?} cannot be"));
        }
        self.accounts.insert(user);
        self.user_last = self.user_last.max((user.0 >> wire::ids::SLOTS.trailing_zeros()) as u32);
        // What is left of the names at the end belongs to nobody.
        let name =
            UserName::parse(&account.name).map_err(|wrong| format!("name {:?}: {wrong}", account.name))?;
        // The name of a deleted account may belong to another one by now.
        if account.state == AccountState::Deleted {
            if self.names.get(name.as_str()) == Some(&user.0) {
                self.names.remove(name.as_str());
            }
            return check_devices(account);
        }
        match self.names.remove(name.as_str()) {
            None => return Err(format!("its name {:?} is not in the table of names", name.as_str())),
            Some(other) if other != user.0 => {
                return Err(format!("its name {:?} belongs to user {other}", name.as_str()));
            }
            Some(_) => {}
        }
        if account.credentials.is_empty() && account.code.is_none() {
            self.without_credential.insert(user);
        }
        check_devices(account)
    }

    /// Profiles come behind all accounts of their slot.
    pub fn add_profile(&mut self, user: UserId, profile: &Profile) -> Result<(), String> {
        if !self.accounts.contains(&user) {
            return Err(format!("{user:?} has a profile and no account"));
        }
        profile.check().map_err(|limit| format!("the profile of {user:?} breaks the limit {limit}"))
    }

    pub fn add_tokens(&mut self, user: UserId, tokens: &Tokens) -> Result<(), String> {
        if !self.without_credential.remove(&user) {
            return Err(format!("{user:?} has tokens, and is no account without a password"));
        }
        tokens.check().map_err(|what| format!("{user:?}: {what}"))
    }

    /// Gives how many entries this user's list has so far.
    pub fn add_list_entry(&mut self, user: UserId, entry: ListEntry) -> Result<usize, String> {
        let list = versions_of(&mut self.list, user);
        if entry.uver == 0 || !list.insert(entry.uver) {
            return Err(format!("version {} stands twice in the list of {user:?} or is 0", entry.uver));
        }
        Ok(list.len())
    }

    /// Gives how many rows this user's list of contacts has so far.
    pub fn add_contact(&mut self, user: UserId, contact: &Contact) -> Result<usize, String> {
        let list = versions_of(&mut self.contacts, user);
        if !list.insert(contact.cver) {
            return Err(format!("version {} stands twice in the contacts of {user:?}", contact.cver));
        }
        Ok(list.len())
    }

    pub fn add_checkpoint(
        &mut self,
        conversation: ConversationId,
        checkpoint: Checkpoint,
    ) -> Result<(), String> {
        check_place(checkpoint.head)?;
        self.told.entry(conversation).or_default().checkpoint = Some(checkpoint);
        Ok(())
    }

    pub fn add_remembered(
        &mut self,
        conversation: ConversationId,
        user: UserId,
        device: DeviceId,
        remembered: &Remembered,
    ) -> Result<(), String> {
        let told = self.told.entry(conversation).or_default();
        let mut before: Option<&RememberedSend> = None;
        for send in &remembered.sends {
            // The system's are made by whoever writes a notice, and do not rise.
            let rises = |before: &RememberedSend| before.counter < send.counter || user == UserId::SYSTEM;
            if before.is_some_and(|before| !rises(before) || before.place >= send.place) {
                return Err(format!("the remembered send {} is out of order", send.counter));
            }
            before = Some(send);
            told.sends.push((user, device, *send));
        }
        Ok(())
    }

    pub fn add_marks(
        &mut self,
        conversation: ConversationId,
        user: UserId,
        marks: Marks,
    ) -> Result<(), String> {
        check_marks(marks)?;
        self.told.entry(conversation).or_default().marks.push((user, marks));
        Ok(())
    }

    pub fn add_entry(
        &mut self,
        conversation: ConversationId,
        seq: u64,
        entry: &Entry,
        findings: &mut Findings,
        across: &mut Across,
    ) -> Result<(), String> {
        if self.log.as_ref().is_none_or(|log| log.conversation() != conversation) {
            self.end_log(findings, across);
            let told = self.told.remove(&conversation).unwrap_or_default();
            self.log = Some(LogCheck::new(conversation, told));
        }
        self.log.as_mut().expect("set above").add(seq, entry)?;
        self.add_body(conversation, seq, entry)
    }

    fn add_body(&mut self, conversation: ConversationId, seq: u64, entry: &Entry) -> Result<(), String> {
        let body_len = entry.body_len as usize;
        if body_len > MESSAGE_BODY_LEN_MAX {
            return Err(format!("its body has {body_len} bytes"));
        }
        if body_len == entry.body.len() {
            let whole = body_hash(entry.body_kind, &entry.body) == entry.body_hash;
            return if whole { Ok(()) } else { Err("its body does not have its hash".into()) };
        }
        if !entry.body.is_empty() {
            return Err(format!("its body has {} of {body_len} bytes", entry.body.len()));
        }
        let hasher = BodyHasher::new(entry.body_kind);
        self.long.push_back(Long {
            conversation,
            seq,
            body_len,
            hash: entry.body_hash,
            chunks_seen: 0,
            hasher,
        });
        Ok(())
    }

    pub fn add_chunk(
        &mut self,
        conversation: ConversationId,
        seq: u64,
        index: u16,
        bytes: &[u8],
        findings: &mut Findings,
    ) -> Result<(), String> {
        while self.long.front().is_some_and(|long| (long.conversation, long.seq) < (conversation, seq)) {
            let long = self.long.pop_front().expect("seen above");
            findings.add(long.incomplete());
        }
        let Some(long) =
            self.long.front_mut().filter(|long| (long.conversation, long.seq) == (conversation, seq))
        else {
            return Err(format!("chunk {index} of seq {seq} belongs to no body in chunks"));
        };
        if index != long.chunks_seen {
            return Err(format!("chunk {index} of seq {seq} comes after {} chunks", long.chunks_seen));
        }
        let expected = (long.body_len - usize::from(index) * CHUNK_LEN).min(CHUNK_LEN);
        if bytes.len() != expected {
            return Err(format!("chunk {index} of seq {seq} has {} bytes, not {expected}", bytes.len()));
        }
        long.hasher.add(bytes);
        long.chunks_seen += 1;
        if usize::from(long.chunks_seen) * CHUNK_LEN < long.body_len {
            return Ok(());
        }
        let long = self.long.pop_front().expect("seen above");
        let whole = long.hasher.hash() == long.hash;
        if whole { Ok(()) } else { Err(format!("the body of seq {seq} does not have its hash")) }
    }

    /// No more entries come.
    pub fn end_logs(&mut self, findings: &mut Findings, across: &mut Across) {
        self.end_log(findings, across);
        let mut without: Vec<_> = self.told.drain().collect();
        without.sort_by_key(|(conversation, _)| *conversation);
        for (conversation, told) in without {
            LogCheck::new(conversation, told).end(findings, across);
        }
    }

    fn end_log(&mut self, findings: &mut Findings, across: &mut Across) {
        if let Some(log) = self.log.take() {
            log.end(findings, across);
        }
    }

    /// No more rows come.
    pub fn end(mut self, findings: &mut Findings, across: &mut Across) {
        self.end_logs(findings, across);
        self.long.iter().for_each(|long| findings.add(long.incomplete()));
        let mut nobodys: Vec<_> = self.names.into_iter().collect();
        nobodys.sort();
        for (name, user) in nobodys {
            findings.add(in_slot(
                self.slot,
                format!("name {name:?} belongs to user {user}, who has no account of it"),
            ));
        }
        for user in &self.without_credential {
            findings.add(in_slot(self.slot, format!("{user:?} has neither a credential nor tokens")));
        }
        let numbered = self.state.map_or(0, |state| state.users);
        if self.user_last > numbered {
            let what = format!("user number {} exists and only {numbered} were handed out", self.user_last);
            findings.add(in_slot(self.slot, what));
        }
    }
}

/// What is read was delivered too.
pub(super) fn check_marks(marks: Marks) -> Result<(), String> {
    check_place(marks.delivered)?;
    check_place(marks.read)?;
    if marks.read > marks.delivered {
        return Err(format!("read up to {} and delivered up to {}", marks.read.seq, marks.delivered.seq));
    }
    Ok(())
}

fn check_devices(account: &Account) -> Result<(), String> {
    let mut seen = HashSet::new();
    for device in &account.devices {
        let number = device.device;
        if number == 0 || number > account.devices_issued || !seen.insert(number) {
            return Err(format!("device {number} of {} issued cannot be", account.devices_issued));
        }
    }
    Ok(())
}

/// The versions seen in the list of this user: the one being read, or a new one.
fn versions_of(list: &mut Option<(UserId, HashSet<u64>)>, user: UserId) -> &mut HashSet<u64> {
    if list.as_ref().is_none_or(|(current, _)| *current != user) {
        *list = Some((user, HashSet::new()));
    }
    &mut list.as_mut().expect("set above").1
}

impl Long {
    fn incomplete(&self) -> String {
        let Self { conversation, seq, body_len, chunks_seen, .. } = self;
        let chunks = body_len.div_ceil(CHUNK_LEN);
        format!("{conversation:?}: the body of seq {seq} has {chunks_seen} of {chunks} chunks")
    }
}
