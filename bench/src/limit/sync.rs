//! Appending bytes and fdatasync, as a committer does, and nothing else.
//!
//! The file lies where the caller says, which should be where the node's data lies. What the kernel's own threads do for it
//! (the journal of the file system, the block device) is in the latency and not in the processor time.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::ValueEnum;
use hdrhistogram::Histogram;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::time::{ClockId, clock_gettime};

use crate::measure::histogram;
use crate::report::model::{LatencyCurve, Round, Run, Subject};
use crate::scenario::Scenario;

/// Bytes of a file; then it begins anew, outside what is measured.
const FILE_BYTES: u64 = 64 * 1024 * 1024;

/// What the file is like before a byte is appended: it decides what a sync has to write besides the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FileKind {
    /// Empty: each sync also writes its new length and its new blocks.
    Growing,
    /// Its blocks are reserved and were never written: each sync also writes which of them are in use now.
    Allocated,
    /// Full of zeroes that are on disk: a sync writes the bytes and nothing else.
    Overwritten,
}

#[derive(Debug, Clone, Copy)]
pub struct SyncOptions {
    /// Bytes of each append.
    pub bytes: usize,
    pub file: FileKind,
    /// Appends per second; `None`: each follows the one before. One that is late is not caught up with.
    pub per_s: Option<f64>,
}

/// A file being appended to.
#[derive(Debug)]
pub struct Probe {
    path: PathBuf,
    file: File,
    options: SyncOptions,
    bytes: Vec<u8>,
    appended: u64,
}

impl FileKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Growing => "growing",
            Self::Allocated => "allocated",
            Self::Overwritten => "overwritten",
        }
    }
}

impl Probe {
    /// Makes a file in `folder`; it is deleted with the probe.
    ///
    /// # Errors
    /// If the file cannot be made there.
    pub fn new(folder: &Path, options: SyncOptions) -> Result<Self> {
        let path = folder.join(format!("bench-{:x}.probe", rand::random::<u32>()));
        let file = File::create_new(&path).with_context(|| format!("making {}", path.display()))?;
        let bytes = (0..options.bytes).map(|n| (n * 31) as u8).collect();
        let mut probe = Self { path, file, options, bytes, appended: 0 };
        probe.begin_file()?;
        Ok(probe)
    }

    /// Appends and syncs for `length`: the latency `fdatasync` holds both.
    pub fn round(&mut self, length: Duration) -> Result<Round> {
        let mut latencies = histogram();
        let mut cpu = Duration::ZERO;
        let begin = Instant::now();
        let mut due = begin;
        while begin.elapsed() < length {
            if let Some(per_s) = self.options.per_s {
                due = next_due(due, Duration::from_secs_f64(1.0 / per_s), Instant::now());
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            if self.appended + self.options.bytes as u64 > FILE_BYTES {
                self.begin_file()?;
            }
            let (cpu_before, before) = (thread_time(), Instant::now());
            self.append()?;
            latencies.saturating_record(before.elapsed().as_nanos() as u64);
            cpu += thread_time().saturating_sub(cpu_before);
        }
        Ok(self.measured(&latencies, begin.elapsed(), cpu))
    }

    fn append(&mut self) -> Result<()> {
        let what = || format!("appending to {}", self.path.display());
        self.file.write_all(&self.bytes).with_context(what)?;
        self.file.sync_data().with_context(what)?;
        self.appended += self.bytes.len() as u64;
        Ok(())
    }

    /// Brings the file to the state that its kind says.
    fn begin_file(&mut self) -> Result<()> {
        let (kind, first) = (self.options.file, self.appended == 0);
        if first || kind != FileKind::Overwritten {
            self.file.set_len(0)?;
        }
        match kind {
            FileKind::Growing => {}
            FileKind::Allocated => fallocate(&self.file, FallocateFlags::empty(), 0, FILE_BYTES)
                .context("reserving blocks for the file")?,
            FileKind::Overwritten if first => {
                let zeroes = vec![0; 1024 * 1024];
                for _ in 0..FILE_BYTES / zeroes.len() as u64 {
                    self.file.write_all(&zeroes).context("writing the file")?;
                }
            }
            FileKind::Overwritten => {}
        }
        self.file.sync_all()?;
        self.file.seek(SeekFrom::Start(0))?;
        self.appended = 0;
        Ok(())
    }

    fn measured(&self, latencies: &Histogram<u64>, elapsed: Duration, cpu: Duration) -> Round {
        let (count, seconds) = (latencies.len() as f64, elapsed.as_secs_f64());
        let values = [
            ("fdatasyncs_per_s", count / seconds),
            ("bytes_per_s", count * self.options.bytes as f64 / seconds),
            ("cpu_ns_per_fdatasync", cpu.as_nanos() as f64 / count.max(1.0)),
        ];
        Round {
            seconds,
            values: values.into_iter().map(|(name, value)| (name.into(), value)).collect(),
            latencies: [("fdatasync".into(), LatencyCurve::of(latencies))].into(),
            ..Round::default()
        }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        // Whoever owns the folder deletes what is left in it.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Appending in one way.
#[derive(Debug)]
pub struct Sync {
    probe: Probe,
    length: Duration,
}

impl Sync {
    pub fn new(folder: &Path, options: SyncOptions, length: Duration) -> Result<Self> {
        Ok(Self { probe: Probe::new(folder, options)?, length })
    }
}

impl Scenario for Sync {
    fn describe(&self) -> Run {
        let SyncOptions { bytes, file, per_s } = self.probe.options;
        let pace = per_s.map_or("as fast as they go".into(), |per_s| format!("{per_s:.0}/s"));
        let parameters =
            [("sync_bytes", bytes.to_string()), ("file", file.name().to_owned()), ("pace", pace.clone())];
        Run {
            name: format!("fdatasync, {bytes} bytes, {} file, {pace}", file.name()),
            scenario: "fdatasync".into(),
            subject: Subject::Machine,
            parameters: parameters.into_iter().map(|(key, value)| (key.into(), value)).collect(),
            ..Run::default()
        }
    }

    fn round(&mut self) -> Result<Round> {
        self.probe.round(self.length)
    }
}

/// One interval after the last, or now if that has passed.
fn next_due(last: Instant, interval: Duration, now: Instant) -> Instant {
    (last + interval).max(now)
}

/// Processor time of this thread.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_late_is_not_caught_up_with() {
        let (start, interval) = (Instant::now(), Duration::from_millis(10));
        assert_eq!(next_due(start, interval, start), start + interval);
        let late = start + interval * 5;
        assert_eq!(next_due(start, interval, late), late);
        assert_eq!(next_due(late, interval, late), late + interval);
    }

    #[test]
    fn a_probe_appends_to_each_kind_of_file_and_leaves_none() {
        let folder = tempfile::tempdir().unwrap();
        for file in FileKind::value_variants().iter().copied() {
            let mut probe = Probe::new(folder.path(), SyncOptions { bytes: 100, file, per_s: None }).unwrap();
            let length = |probe: &Probe| probe.file.metadata().unwrap().len();
            let before = length(&probe);
            assert_eq!(before, if file == FileKind::Growing { 0 } else { FILE_BYTES });
            let round = probe.round(Duration::from_millis(1)).unwrap();
            let count = round.latencies["fdatasync"].count;
            assert!(count > 0);
            assert_eq!(probe.appended, count * 100);
            assert_eq!(length(&probe), before.max(probe.appended));
            assert!(round.values["cpu_ns_per_fdatasync"] > 0.0);
            probe.begin_file().unwrap();
            assert_eq!((length(&probe), probe.appended), (before, 0));
            drop(probe);
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }
}
