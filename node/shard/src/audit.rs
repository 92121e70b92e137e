//! The audit log of this shard's slots: bounded, and read in the order of time.
//!
//! An entry is written with the batch of its act ([`Core::audit`]). Its key is the time and a number that is never used twice, so nothing
//! has to be read for it. Each slot keeps the newest of each class; what is older goes when enough came since.

use std::collections::{BTreeMap, VecDeque};

use record::{
    AUDIT_DETAIL_LEN_MAX, AuditAct, AuditClass, AuditEntry, AuditPlace, Key, Query, Record, Rows, keys,
};
use wire::{Refusal, Slot, UserId};

use crate::admin::{AdminReply, AuditLine};
use crate::asker::Asker;
use crate::core::{Core, LoadFor};
use crate::limits::{
    AUDIT_KEPT_MAX, AUDIT_ROWS_MAX, AUDIT_SWEEP, AUDITED_MAX, BUSY_RETRY_MS, LISTED_SLOTS_PER_LOAD_MAX,
    LISTINGS_MAX,
};

/// What a load was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LoadKey {
    Sweep(Slot, AuditClass),
    Read(u64),
}

impl Core {
    /// Notes an act in the log, in the batch that is being built. Call it where the act itself is put there; where the act is not
    /// durable, the entry goes with the next batch. `by`: the user who did it; nobody for the operator and for whoever is not known.
    pub fn audit(
        &mut self,
        slot: Slot,
        act: AuditAct,
        by: UserId,
        subject: UserId,
        name: &str,
        detail: String,
    ) {
        self.audited += 1;
        // Of this run, this shard, and the acts of both.
        let number = self.config.term << 40 | u64::from(self.address.shard) << 32 | self.audited;
        let place = AuditPlace { class: act.class(), time_ms: self.now.wall_ms, number };
        let mut detail = detail;
        let end =
            (0..=AUDIT_DETAIL_LEN_MAX.min(detail.len())).rev().find(|end| detail.is_char_boundary(*end));
        detail.truncate(end.unwrap_or(0));
        let entry =
            AuditEntry { act: act as u8, by: by.0, subject: subject.0, name: name.to_owned(), detail };
        self.put(&Key::Audit(slot, place), &entry);
        let count = self.audited_since_sweep.entry((slot, act.class())).or_default();
        *count += 1;
        self.audit_sweep_due |= *count >= AUDIT_SWEEP;
    }
}

/// A request for entries behind a place.
#[derive(Debug)]
struct Reading {
    asker: Asker,
    after: (u64, u64),
    rows_max: usize,
    slots: VecDeque<Slot>,
    found: BTreeMap<(u64, u64), AuditEntry>,
    /// What is behind it was not looked at in every slot.
    covered: (u64, u64),
}

/// Requests that wait for reads, and the sweep.
#[derive(Debug, Default)]
pub(crate) struct Audits {
    readings: BTreeMap<u64, Reading>,
    last: u64,
    is_sweeping: bool,
}

impl Audits {
    /// Entries of this shard's slots.
    pub fn handle_read(&mut self, core: &mut Core, asker: Asker, after: (u64, u64), rows_max: u32) {
        if self.readings.len() >= LISTINGS_MAX {
            return asker.refuse(core, Refusal::Busy, 0, BUSY_RETRY_MS);
        }
        let mut slots: Vec<_> = core.ownership.slots_of(core.address.shard).collect();
        slots.sort_by_key(|slot| (core.store_shard(*slot), slot.number()));
        let rows_max = rows_max.clamp(1, AUDIT_ROWS_MAX) as usize;
        let covered = (u64::MAX, u64::MAX);
        let reading =
            Reading { asker, after, rows_max, slots: slots.into(), found: BTreeMap::new(), covered };
        self.last += 1;
        self.read_on(core, self.last, reading);
    }

    fn read_on(&mut self, core: &mut Core, number: u64, mut reading: Reading) {
        let Some(first) = reading.slots.front().copied() else {
            let asker = reading.asker;
            return asker.answer(core, reading.reply(), |_, _| {
                unreachable!("a session is answered with the pages of all shards")
            });
        };
        let mut queries = Vec::new();
        while let Some(slot) = reading.slots.front().copied()
            && core.store_shard(slot) == core.store_shard(first)
            && queries.len() < LISTED_SLOTS_PER_LOAD_MAX
        {
            for class in AuditClass::ALL {
                let (from, to) = keys::audit_range(slot, class, reading.after);
                let rows_max = reading.rows_max as u32;
                queries.push(Query::Range { from, to, reverse: false, rows_max, bytes_max: u32::MAX });
            }
            reading.slots.pop_front();
        }
        let asker = reading.asker;
        if core.load(first, queries, LoadFor::Audit(LoadKey::Read(number))) {
            self.readings.insert(number, reading);
        } else {
            asker.refuse(core, Refusal::Busy, 0, BUSY_RETRY_MS);
        }
    }

    pub fn handle_loaded(&mut self, core: &mut Core, key: LoadKey, rows: &[Rows]) {
        match key {
            LoadKey::Sweep(slot, class) => self.on_swept(core, slot, class, rows),
            LoadKey::Read(number) => {
                let mut reading = self.readings.remove(&number).expect("a load is of a request");
                match rows.iter().try_for_each(|rows| reading.take(rows)) {
                    Ok(()) => self.read_on(core, number, reading),
                    Err(reason) => core.damaged(Slot::of(0), &format!("an audit entry: {reason}")),
                }
            }
        }
    }

    /// Deletes what is older than the newest of a slot and class.
    fn on_swept(&mut self, core: &mut Core, slot: Slot, class: AuditClass, rows: &[Rows]) {
        self.is_sweeping = false;
        if core.write_refusal(slot).is_some() {
            return;
        }
        core.audited_since_sweep.remove(&(slot, class));
        for row in rows[0].rows.iter().skip(AUDIT_KEPT_MAX) {
            if let Some(key) = Key::parse(&row.key) {
                core.delete(&key);
            }
        }
    }

    pub fn end_turn(&mut self, core: &mut Core) {
        if !core.audit_sweep_due || self.is_sweeping {
            return;
        }
        let due = core.audited_since_sweep.iter().find(|(_, count)| **count >= AUDIT_SWEEP);
        let Some(((slot, class), _)) = due else {
            core.audit_sweep_due = false;
            return;
        };
        let (slot, class) = (*slot, *class);
        let (from, to) = keys::audit_range(slot, class, (0, 0));
        let rows_max = AUDITED_MAX as u32;
        let query = Query::Range { from, to, reverse: true, rows_max, bytes_max: u32::MAX };
        self.is_sweeping = core.load(slot, vec![query], LoadFor::Audit(LoadKey::Sweep(slot, class)));
    }

    pub fn check_invariants(&self) {
        assert!(self.readings.len() <= LISTINGS_MAX);
    }
}

impl Reading {
    fn take(&mut self, rows: &Rows) -> Result<(), String> {
        for row in &rows.rows {
            let Some(Key::Audit(_, place)) = Key::parse(&row.key) else { return Err("its key".into()) };
            let entry = AuditEntry::decode(&row.value).map_err(|error| error.to_string())?;
            self.found.insert((place.time_ms, place.number), entry);
            if self.found.len() > self.rows_max {
                self.found.pop_last();
                let last = self.found.keys().next_back().copied();
                self.covered = self.covered.min(last.expect("one is left"));
            }
        }
        if let Some(Key::Audit(_, place)) =
            rows.rows.last().filter(|_| rows.more).and_then(|row| Key::parse(&row.key))
        {
            self.covered = self.covered.min((place.time_ms, place.number));
        }
        Ok(())
    }

    fn reply(mut self) -> AdminReply {
        let covered = self.covered;
        self.found.retain(|at, _| *at <= covered);
        let line = |((time_ms, number), entry): ((u64, u64), AuditEntry)| AuditLine {
            time_ms,
            number,
            act: AuditAct::from_number(entry.act).map_or("unknown", AuditAct::name).to_owned(),
            by: entry.by,
            subject: entry.subject,
            name: entry.name,
            detail: entry.detail,
        };
        let covered = (covered != (u64::MAX, u64::MAX)).then_some(covered);
        AdminReply::Audit { lines: self.found.into_iter().map(line).collect(), covered }
    }
}
