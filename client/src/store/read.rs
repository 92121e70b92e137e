//! Reads: what a session goes on from, and what the application shows.

use redb::{ReadTransaction, ReadableDatabase, ReadableTable};
use wire::client::{Account, ConversationState, KeptKeys, Stored, StoredSend};
use wire::message::{Entry, Range};
use wire::scram::ClientKeys;
use wire::{ConversationId, DeviceId, UserId};

use super::tables;
use super::{Store, StoreError, silence};
use crate::transport::{Address, Fingerprint};

/// One piece of a conversation's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistoryItem {
    Entry(Entry),
    /// These seqs hold no entries (any more), and why.
    Gap(Range),
}

/// The newest part of a history before some seq, oldest first. Items together cover all seqs from the first item's to
/// where the page ends, except what is in `missing`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryPage {
    pub items: Vec<HistoryItem>,
    /// The first hole met going back, `from..=to`: the node has to be asked. Items end behind it.
    pub missing: Option<(u64, u64)>,
    /// Nothing older exists.
    pub is_start: bool,
}

impl Store {
    pub(super) fn load(&self) -> Result<Stored, StoreError> {
        self.load_all()
            .map_err(|error| self.failed(error))?
            .ok_or_else(|| self.damaged("a kept key has a wrong length"))
    }

    fn load_all(&self) -> Result<Option<Stored>, redb::Error> {
        let transaction = self.database.begin_read()?;
        let numbers = transaction.open_table(tables::NUMBERS)?;
        let number = |name| numbers.get(name).map(|found| found.map_or(0, |found| found.value()));
        let secrets = transaction.open_table(tables::SECRETS)?;
        let secret = |name| secrets.get(name).map(|found| found.map(|found| found.value().to_vec()));
        let name =
            transaction.open_table(tables::TEXTS)?.get(tables::NAME)?.map(|name| name.value().to_owned());
        let account = match name {
            Some(name) => Some(Account {
                user: UserId(number(tables::USER)?),
                name,
                device: DeviceId(number(tables::DEVICE)? as u32),
                ticket: secret(tables::TICKET)?.unwrap_or_default(),
            }),
            None => None,
        };
        let mut keys = None;
        if let (Some(salt), Some(client_key), Some(server_key)) =
            (secret(tables::SALT)?, secret(tables::CLIENT_KEY)?, secret(tables::SERVER_KEY)?)
        {
            let (Ok(client_key), Ok(server_key)) = (client_key.try_into(), server_key.try_into()) else {
                return Ok(None);
            };
            let iterations = number(tables::ITERATIONS)? as u32;
            keys = Some(KeptKeys { salt, iterations, keys: ClientKeys { client_key, server_key } });
        }
        let mut outgoing = Vec::new();
        read_outgoing(&transaction, &mut outgoing)?;
        let mut conversations = Vec::new();
        read_conversations(&transaction, &mut conversations)?;
        Ok(Some(Stored {
            account,
            keys,
            next_counter: number(tables::NEXT_COUNTER)?,
            uver: number(tables::UVER)?,
            outgoing,
            unanswered: silence::read(&transaction)?,
            conversations,
        }))
    }

    /// Up to `count` items with seqs below `before`, as far as they are here.
    pub fn history(&self, id: ConversationId, before: u64, count: usize) -> Result<HistoryPage, StoreError> {
        self.read_history(id, before, count).map_err(|error| self.failed(error))
    }

    fn read_history(
        &self,
        id: ConversationId,
        before: u64,
        count: usize,
    ) -> Result<HistoryPage, redb::Error> {
        let transaction = self.database.begin_read()?;
        let conversations = transaction.open_table(tables::CONVERSATIONS)?;
        let row = conversations.get(tables::conversation_key(id))?.map(|row| row.value());
        let Some(row) = row else { return Ok(HistoryPage { is_start: true, ..HistoryPage::default() }) };
        let applied = tables::conversation_state(tables::conversation_key(id), row).applied.seq;
        let first = tables::seq_key(id, 0);
        let mut next = before.min(applied + 1); // what comes next going back lies below it
        let end = tables::seq_key(id, next);
        let (entries, gaps) =
            (transaction.open_table(tables::ENTRIES)?, transaction.open_table(tables::GAPS)?);
        let extras = transaction.open_table(tables::EXTRAS)?;
        let (mut entries, mut gaps) = (entries.range(first..end)?.rev(), gaps.range(first..end)?.rev());
        let mut next_entry = || match entries.next().transpose() {
            Ok(Some((key, row))) => {
                let mut entry = tables::entry(key.value().2, row.value());
                let found = extras.get(key.value())?;
                entry.extras = found.and_then(|row| tables::extras(row.value()).boxed());
                Ok(Some(entry))
            }
            Ok(None) => Ok(None),
            Err(error) => Err(redb::Error::from(error)),
        };
        let mut next_gap = || match gaps.next().transpose() {
            Ok(row) => Ok(row.map(|(key, row)| tables::range(key.value().2, row.value()))),
            Err(error) => Err(redb::Error::from(error)),
        };
        let (mut entry, mut gap) = (next_entry()?, next_gap()?);
        let mut page = HistoryPage::default();
        while next > 1 && page.items.len() < count {
            while entry.as_ref().is_some_and(|entry| entry.place.seq >= next) {
                entry = next_entry()?; // covered by a gap
            }
            if let Some(found) = entry.take_if(|entry| entry.place.seq + 1 == next) {
                next = found.place.seq;
                page.items.push(HistoryItem::Entry(found));
                entry = next_entry()?;
            } else if let Some(found) = gap.take_if(|gap| gap.to + 1 >= next) {
                if found.from < next {
                    page.items.push(HistoryItem::Gap(Range { to: next - 1, ..found }));
                    next = found.from;
                }
                gap = next_gap()?;
            } else {
                let below = entry.map_or(0, |entry| entry.place.seq).max(gap.map_or(0, |gap| gap.to));
                page.missing = Some((below + 1, next - 1));
                break;
            }
        }
        page.is_start = next <= 1;
        page.items.reverse();
        Ok(page)
    }

    pub fn conversations(&self) -> Result<Vec<ConversationState>, StoreError> {
        let read = || {
            let transaction = self.database.begin_read()?;
            let mut states = Vec::new();
            read_conversations(&transaction, &mut states)?;
            Ok(states)
        };
        read().map_err(|error: redb::Error| self.failed(error))
    }

    /// Sends that are not decided, by rising counter.
    pub fn outgoing(&self) -> Result<Vec<StoredSend>, StoreError> {
        let read = || {
            let transaction = self.database.begin_read()?;
            let mut sends = Vec::new();
            read_outgoing(&transaction, &mut sends)?;
            Ok(sends)
        };
        read().map_err(|error: redb::Error| self.failed(error))
    }

    /// Every name that is known.
    pub fn names(&self) -> Result<Vec<(UserId, String)>, StoreError> {
        let read = || {
            let transaction = self.database.begin_read()?;
            let mut names = Vec::new();
            for row in transaction.open_table(tables::NAMES)?.iter()? {
                let (user, name) = row?;
                names.push((UserId(user.value()), name.value().to_owned()));
            }
            Ok(names)
        };
        read().map_err(|error: redb::Error| self.failed(error))
    }

    /// Users whose accounts are gone, as far as that is known.
    pub fn deleted_users(&self) -> Result<Vec<UserId>, StoreError> {
        let read = || -> Result<Vec<UserId>, redb::Error> {
            let transaction = self.database.begin_read()?;
            let Some(table) = tables::known(transaction.open_table(tables::DELETED))? else {
                return Ok(Vec::new());
            };
            let mut users = Vec::new();
            for row in table.iter()? {
                users.push(UserId(row?.0.value()));
            }
            Ok(users)
        };
        read().map_err(|error| self.failed(error))
    }

    /// The certificate remembered for this address.
    pub fn pinned(&self, address: &Address) -> Result<Option<Fingerprint>, StoreError> {
        let read = || {
            let transaction = self.database.begin_read()?;
            let pins = transaction.open_table(tables::PINS)?;
            let found = pins.get(address.to_string().as_str())?.map(|found| Fingerprint(*found.value()));
            Ok(found)
        };
        read().map_err(|error: redb::Error| self.failed(error))
    }
}

fn read_outgoing(transaction: &ReadTransaction, sends: &mut Vec<StoredSend>) -> Result<(), redb::Error> {
    let extras = transaction.open_table(tables::OUTGOING_EXTRAS)?;
    for row in transaction.open_table(tables::OUTGOING)?.iter()? {
        let (counter, row) = row?;
        let more = extras.get(counter.value())?;
        let more = more.as_ref().map(|more| more.value());
        sends.push(tables::stored_send(counter.value(), row.value(), more));
    }
    Ok(())
}

fn read_conversations(
    transaction: &ReadTransaction,
    states: &mut Vec<ConversationState>,
) -> Result<(), redb::Error> {
    let mentioned = transaction.open_table(tables::MENTIONED)?;
    for row in transaction.open_table(tables::CONVERSATIONS)?.iter()? {
        let (key, row) = row?;
        let mut state = tables::conversation_state(key.value(), row.value());
        state.mentioned = mentioned.get(key.value())?.map_or(0, |seq| seq.value());
        states.push(state);
    }
    Ok(())
}
