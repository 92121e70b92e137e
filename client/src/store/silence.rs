//! Which sends were not answered in time, and how often.

use std::collections::BTreeMap;

use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};
use wire::client::Silence;

use super::tables::known;

/// By counter: how often.
const UNANSWERED: TableDefinition<u64, u8> = TableDefinition::new("outgoing_unanswered");

pub(super) fn read(transaction: &ReadTransaction) -> Result<BTreeMap<u64, Silence>, redb::Error> {
    let mut silences = BTreeMap::new();
    let Some(table) = known(transaction.open_table(UNANSWERED))? else { return Ok(silences) };
    for row in table.iter()? {
        let (counter, times) = row?;
        let silence = if times.value() == 1 { Silence::Once } else { Silence::Twice };
        silences.insert(counter.value(), silence);
    }
    Ok(silences)
}

pub(super) fn put(transaction: &WriteTransaction, counter: u64, silence: Silence) -> Result<(), redb::Error> {
    let times = match silence {
        Silence::Once => 1,
        Silence::Twice => 2,
    };
    transaction.open_table(UNANSWERED)?.insert(counter, times)?;
    Ok(())
}

pub(super) fn forget(transaction: &WriteTransaction, counter: u64) -> Result<(), redb::Error> {
    transaction.open_table(UNANSWERED)?.remove(counter)?;
    Ok(())
}
