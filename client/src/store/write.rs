//! Writes: each call is one transaction, on disk when it returns.

use redb::{Table, WriteTransaction};
use wire::ConversationId;
use wire::client::{Account, KeptKeys, PersistOp, StoredSend};
use wire::message::{Entry, EntryKind, Pulled, Range, RangeKind};

use super::acts;
use super::tables::{self, SeqKey};
use super::{Change, Store, StoreError, contacts, silence};
use crate::transport::{Address, Fingerprint};

pub(super) type Failure = redb::Error;

impl Store {
    /// Applies the changes in order: all of them or none.
    pub fn write<'c>(&self, changes: impl IntoIterator<Item = &'c Change>) -> Result<(), StoreError> {
        self.in_transaction(|transaction| {
            changes.into_iter().try_for_each(|change| match change {
                Change::Session(op) => apply(transaction, op),
                Change::History(pulled) => put_history(transaction, pulled),
                Change::UserDeleted(user) => {
                    transaction.open_table(tables::DELETED)?.insert(user.0, ())?;
                    Ok(())
                }
                Change::Contacts(changed) => contacts::put(transaction, changed),
                Change::Name { user, name } => {
                    transaction.open_table(tables::NAMES)?.insert(user.0, name.as_str())?;
                    Ok(())
                }
            })
        })
    }

    /// Remembers the certificate of this address instead of an earlier one.
    pub fn pin(&self, address: &Address, fingerprint: Fingerprint) -> Result<(), StoreError> {
        self.in_transaction(|transaction| {
            transaction.open_table(tables::PINS)?.insert(address.to_string().as_str(), &fingerprint.0)?;
            Ok(())
        })
    }

    pub(super) fn in_transaction(
        &self,
        change: impl FnOnce(&WriteTransaction) -> Result<(), Failure>,
    ) -> Result<(), StoreError> {
        #[cfg(test)]
        let crash = super::crash::due(self.folder());
        #[cfg(test)]
        if crash == Some(super::crash::Moment::BeforeCommit) {
            return Err(self.broken("crashed before the commit"));
        }
        let transaction = self.database.begin_write().map_err(|error| self.failed(error))?;
        change(&transaction).map_err(|error| self.failed(error))?;
        transaction.commit().map_err(|error| self.failed(error))?; // redb's default: on disk when it returns
        #[cfg(test)]
        if crash == Some(super::crash::Moment::AfterCommit) {
            return Err(self.broken("crashed after the commit"));
        }
        Ok(())
    }
}

fn apply(transaction: &WriteTransaction, op: &PersistOp) -> Result<(), Failure> {
    match op {
        PersistOp::Account(account) => put_account(transaction, account)?,
        PersistOp::Keys(keys) => put_keys(transaction, keys.as_ref())?,
        PersistOp::NextCounter(counter) => {
            transaction.open_table(tables::NUMBERS)?.insert(tables::NEXT_COUNTER, counter)?;
        }
        PersistOp::Uver(uver) => {
            transaction.open_table(tables::NUMBERS)?.insert(tables::UVER, uver)?;
        }
        PersistOp::Outgoing(send) => {
            transaction.open_table(tables::OUTGOING)?.insert(send.counter, tables::send_row(send))?;
            put_outgoing_extras(transaction, send)?;
        }
        PersistOp::Unanswered { counter, silence } => silence::put(transaction, *counter, *silence)?,
        PersistOp::Decided { counter } => {
            transaction.open_table(tables::OUTGOING)?.remove(counter)?;
            transaction.open_table(tables::OUTGOING_EXTRAS)?.remove(counter)?;
            silence::forget(transaction, *counter)?;
        }
        PersistOp::Entry { conversation, entry } => {
            acts::put_entry(transaction, *conversation, entry)?;
        }
        PersistOp::Gap { conversation, range } => put_gap(transaction, *conversation, *range)?,
        PersistOp::Conversation(state) => {
            let key = tables::conversation_key(state.conversation);
            let mut conversations = transaction.open_table(tables::CONVERSATIONS)?;
            conversations.insert(key, tables::conversation_row(state))?;
            transaction.open_table(tables::MENTIONED)?.insert(key, state.mentioned)?;
        }
    }
    Ok(())
}

pub(super) fn put_entry_row(
    transaction: &WriteTransaction,
    conversation: ConversationId,
    entry: &Entry,
) -> Result<(), Failure> {
    let key = tables::seq_key(conversation, entry.place.seq);
    transaction.open_table(tables::ENTRIES)?.insert(key, tables::entry_row(entry))?;
    let mut table = transaction.open_table(tables::EXTRAS)?;
    match entry.extras.as_deref() {
        Some(extras) => {
            let mentions = tables::mentions(extras);
            table.insert(key, tables::extras_row(extras, &mentions))?;
        }
        None => drop(table.remove(key)?),
    }
    Ok(())
}

fn put_outgoing_extras(transaction: &WriteTransaction, send: &StoredSend) -> Result<(), Failure> {
    if send.kind == EntryKind::Message && send.extras.is_none() {
        return Ok(());
    }
    let extras = send.extras.as_deref().cloned().unwrap_or_default();
    let mentions = tables::mentions(&extras);
    let row = (send.kind.0, tables::extras_row(&extras, &mentions));
    transaction.open_table(tables::OUTGOING_EXTRAS)?.insert(send.counter, row)?;
    Ok(())
}

fn put_account(transaction: &WriteTransaction, account: &Account) -> Result<(), Failure> {
    let mut numbers = transaction.open_table(tables::NUMBERS)?;
    numbers.insert(tables::USER, account.user.0)?;
    numbers.insert(tables::DEVICE, u64::from(account.device.0))?;
    transaction.open_table(tables::TEXTS)?.insert(tables::NAME, account.name.as_str())?;
    put_secret(&mut transaction.open_table(tables::SECRETS)?, tables::TICKET, &account.ticket)
}

fn put_keys(transaction: &WriteTransaction, keys: Option<&KeptKeys>) -> Result<(), Failure> {
    let mut secrets = transaction.open_table(tables::SECRETS)?;
    let nothing: &[u8] = &[];
    let (salt, client_key, server_key) = match keys {
        Some(kept) => (&kept.salt[..], &kept.keys.client_key[..], &kept.keys.server_key[..]),
        None => (nothing, nothing, nothing),
    };
    put_secret(&mut secrets, tables::SALT, salt)?;
    put_secret(&mut secrets, tables::CLIENT_KEY, client_key)?;
    put_secret(&mut secrets, tables::SERVER_KEY, server_key)?;
    let iterations = keys.map_or(0, |kept| u64::from(kept.iterations));
    transaction.open_table(tables::NUMBERS)?.insert(tables::ITERATIONS, iterations)?;
    Ok(())
}

/// Ranges that say nothing lasting are left out: what they cover stays missing.
fn put_history(transaction: &WriteTransaction, pulled: &Pulled) -> Result<(), Failure> {
    for entry in &pulled.entries {
        acts::put_entry(transaction, pulled.conversation, entry)?;
    }
    let mut gaps = transaction.open_table(tables::GAPS)?;
    let is_lasting = |range: &&Range| !matches!(range.kind, RangeKind::More | RangeKind::EpochChanged);
    for range in pulled.ranges.iter().filter(is_lasting) {
        gaps.insert(tables::seq_key(pulled.conversation, range.from), (range.to, range.kind.0))?;
    }
    Ok(())
}

/// An empty secret is none.
fn put_secret(secrets: &mut Table<'_, &str, &[u8]>, name: &str, secret: &[u8]) -> Result<(), Failure> {
    if secret.is_empty() {
        secrets.remove(name)?;
    } else {
        secrets.insert(name, secret)?;
    }
    Ok(())
}

/// What was stored in the range (before a restore of the node, say) is not true any more.
fn put_gap(
    transaction: &WriteTransaction,
    conversation: ConversationId,
    range: Range,
) -> Result<(), Failure> {
    let keys: std::ops::RangeInclusive<SeqKey> =
        tables::seq_key(conversation, range.from)..=tables::seq_key(conversation, range.to);
    transaction.open_table(tables::ENTRIES)?.retain_in(keys.clone(), |_, _| false)?;
    transaction.open_table(tables::EXTRAS)?.retain_in(keys, |_, _| false)?;
    let mut gaps = transaction.open_table(tables::GAPS)?;
    gaps.insert(tables::seq_key(conversation, range.from), (range.to, range.kind.0))?;
    Ok(())
}
