//! Verifies a closed store: every store shard is whole, not behind its mark, and every row is readable.

use std::fmt;
use std::path::Path;

use record::kv::StoreShardId;

use crate::error::OpenError;
use crate::folder::Folder;
use crate::mark::Marked;
use crate::options::Tuning;
use crate::shard_open::{Found, ShardPlace};
use crate::view::View;

/// Findings of one store shard that are listed one by one; the rest is counted.
pub const FINDINGS_PER_SHARD_MAX: usize = 100;
/// A check is alone with the data, so it gets what one store shard of a node would get.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// Knows what rows mean. It sees the store shards in order, and the rows of each in key order.
pub trait RowVisitor {
    /// # Errors
    /// What is wrong with this row; the check goes on with the next.
    fn on_row(&mut self, store_shard: StoreShardId, key: &[u8], value: &[u8]) -> Result<(), String>;

    /// All rows of this store shard have been shown. Returns what is wrong with them together.
    fn on_shard_end(&mut self, store_shard: StoreShardId) -> Vec<String>;
}

/// Takes rows of any meaning.
impl RowVisitor for () {
    fn on_row(&mut self, _: StoreShardId, _: &[u8], _: &[u8]) -> Result<(), String> {
        Ok(())
    }

    fn on_shard_end(&mut self, _: StoreShardId) -> Vec<String> {
        Vec::new()
    }
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    pub store_shards: u16,
    /// Rows that were read.
    pub rows: u64,
    /// One line each, beginning with the store shard. Empty: the store is sound.
    pub findings: Vec<String>,
}

impl CheckReport {
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}

impl fmt::Display for CheckReport {
    /// The findings, and a last line that sums up.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        write!(
            f,
            "check: store_shards={} rows={} findings={}",
            self.store_shards,
            self.rows,
            self.findings.len()
        )
    }
}

/// Checks the data folder. It must not be in use. Nothing is changed, so that the evidence stays for `repair` or until a
/// backup is there.
///
/// # Errors
/// If the folder as a whole cannot be looked at. What is wrong inside it is in the report.
pub fn check(dir: &Path, visitor: &mut dyn RowVisitor) -> Result<CheckReport, OpenError> {
    let folder = Folder::take(dir)?;
    let manifest = folder.read_manifest()?.ok_or_else(|| OpenError::NoManifest { dir: dir.to_owned() })?;
    let mut report = CheckReport { store_shards: manifest.store_shards, ..CheckReport::default() };
    for shard in manifest.shards() {
        let mut findings = Findings { shard, lines: Vec::new(), unlisted: 0 };
        let place = ShardPlace { folder: &folder, manifest: &manifest, shard };
        match check_shard(place, visitor, &mut findings) {
            Ok(rows) => report.rows += rows,
            Err(what) => findings.add(what),
        }
        report.findings.extend(findings.into_lines());
    }
    Ok(report)
}

struct Findings {
    shard: StoreShardId,
    lines: Vec<String>,
    unlisted: u64,
}

impl Findings {
    fn add(&mut self, what: impl fmt::Display) {
        if self.lines.len() < FINDINGS_PER_SHARD_MAX {
            self.lines.push(format!("store shard {}: {what}", self.shard.0));
        } else {
            self.unlisted += 1;
        }
    }

    fn into_lines(mut self) -> Vec<String> {
        if self.unlisted > 0 {
            self.lines.push(format!("store shard {}: {} more findings", self.shard.0, self.unlisted));
        }
        self.lines
    }
}

/// Gives the number of rows, or why they could not be looked at.
fn check_shard(
    place: ShardPlace<'_>,
    visitor: &mut dyn RowVisitor,
    findings: &mut Findings,
) -> Result<u64, String> {
    let text = |e: OpenError| e.to_string();
    let marked = place.marked().map_err(text)?;
    match marked {
        Marked::At(_) => {}
        Marked::Missing if !place.manifest.complete => {}
        Marked::Missing => findings.add("its mark is missing"),
        Marked::Damaged => findings.add("its mark is not readable"),
    }
    if !place.database_exists().map_err(text)? {
        let first_start = !place.manifest.complete;
        return if first_start { Ok(0) } else { Err("its folder is missing or empty".to_owned()) };
    }
    let found = place.find(marked, Tuning::new(CACHE_BYTES, 0, 1));
    let Found { database, table, last, .. } = found.map_err(|e| match e {
        OpenError::Damaged { what, .. } => format!("{what}; its rows were not looked at"),
        other => other.to_string(),
    })?;
    if let Marked::At(mark) = marked
        && mark > last
    {
        findings.add(format!("commit {mark} was acknowledged and it holds only {last}"));
    }
    let shard = place.shard;
    let rows = View { database, table: table.into() }.for_each_row(|key, value| {
        if let Err(what) = visitor.on_row(shard, key, value) {
            findings.add(format!("row {}: {what}", Hex(key)));
        }
    });
    let rows = rows.map_err(|failure| format!("rows cannot be read: {}", failure.into_text()))?;
    for what in visitor.on_shard_end(shard) {
        findings.add(what);
    }
    Ok(rows)
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
