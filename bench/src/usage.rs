//! What the operating system has counted for a process, in total and by kind of thread.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Nanoseconds in a tick of `/proc/PID/stat`, which counts user and system time: 100 ticks a second on every Linux of today.
const TICK_NS: u64 = 10_000_000;

/// All that a process has used since it started.
#[derive(Debug, Clone, Default)]
pub struct Usage {
    threads: BTreeMap<u32, ThreadUsage>,
    /// Bytes handed to block devices.
    disk_bytes: u64,
}

#[derive(Debug, Clone, Default)]
struct ThreadUsage {
    group: String,
    counted: Counted,
}

/// What is counted of one thread or of several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// Time on a processor.
    pub cpu_ns: u64,
    /// Of it, in steps of 10 ms.
    pub user_ns: u64,
    pub system_ns: u64,
    /// Switches to another thread because this one waited, and because its time was up.
    pub voluntary_switches: u64,
    pub involuntary_switches: u64,
}

/// What a process used between two readings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Growth {
    pub total: Counted,
    /// Processor time by kind of thread.
    pub cpu_ns_by_group: BTreeMap<String, u64>,
    pub disk_bytes: u64,
}

impl Usage {
    /// # Errors
    /// If the process has ended.
    pub fn read(pid: u32) -> Result<Self> {
        let mut usage = Self::default();
        for (id, task) in tasks(pid)? {
            // A thread may end between the listing and the reading.
            if let Some(thread) = ThreadUsage::read(&task) {
                usage.threads.insert(id, thread);
            }
        }
        let io = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
        usage.disk_bytes = field(&io, "write_bytes:").unwrap_or(0);
        Ok(usage)
    }

    /// What was used since `before`. Threads that ended meanwhile are not counted.
    pub fn since(&self, before: &Self) -> Growth {
        let mut growth =
            Growth { disk_bytes: self.disk_bytes.saturating_sub(before.disk_bytes), ..Growth::default() };
        for (id, thread) in &self.threads {
            let earlier = before.threads.get(id).map(|thread| thread.counted).unwrap_or_default();
            let used = thread.counted.since(&earlier);
            growth.total.add(&used);
            *growth.cpu_ns_by_group.entry(thread.group.clone()).or_default() += used.cpu_ns;
        }
        growth
    }
}

impl ThreadUsage {
    fn read(task: &Path) -> Option<Self> {
        let read = |name: &str| std::fs::read_to_string(task.join(name)).ok();
        let (stat, status) = (read("stat")?, read("status")?);
        let (user_ns, system_ns) = user_and_system_ns(&stat)?;
        let counted = Counted {
            cpu_ns: run_ns(&read("schedstat")?)?,
            user_ns,
            system_ns,
            voluntary_switches: field(&status, "voluntary_ctxt_switches:")?,
            involuntary_switches: field(&status, "nonvoluntary_ctxt_switches:")?,
        };
        Some(Self { group: thread_group(read("comm")?.trim_end()), counted })
    }
}

impl Counted {
    fn since(&self, before: &Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns.saturating_sub(before.cpu_ns),
            user_ns: self.user_ns.saturating_sub(before.user_ns),
            system_ns: self.system_ns.saturating_sub(before.system_ns),
            voluntary_switches: self.voluntary_switches.saturating_sub(before.voluntary_switches),
            involuntary_switches: self.involuntary_switches.saturating_sub(before.involuntary_switches),
        }
    }

    fn add(&mut self, other: &Self) {
        self.cpu_ns += other.cpu_ns;
        self.user_ns += other.user_ns;
        self.system_ns += other.system_ns;
        self.voluntary_switches += other.voluntary_switches;
        self.involuntary_switches += other.involuntary_switches;
    }
}

fn tasks(pid: u32) -> Result<Vec<(u32, PathBuf)>> {
    let folder = PathBuf::from(format!("/proc/{pid}/task"));
    let listing = std::fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
    Ok(listing
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .collect())
}

/// Processor time of all threads of a process, for frequent reading.
pub fn cpu_ns(pid: u32) -> Result<u64> {
    let of = |task: PathBuf| std::fs::read_to_string(task.join("schedstat")).ok();
    Ok(tasks(pid)?.into_iter().filter_map(|(_, task)| run_ns(&of(task)?)).sum())
}

/// Processor time of the calling thread.
pub fn own_cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    run_ns(&text).unwrap_or(0)
}

/// Anonymous memory of a process in bytes.
pub fn anonymous_bytes(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    Ok(field(&text, "Anonymous:").unwrap_or(0) * 1_024)
}

/// Bytes of all files below a folder; files that vanish meanwhile count nothing.
pub fn folder_bytes(folder: &Path) -> u64 {
    let Ok(listing) = std::fs::read_dir(folder) else { return 0 };
    listing
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() => folder_bytes(&entry.path()),
            Ok(data) => data.len(),
            Err(_) => 0,
        })
        .sum()
}

/// The kind of a thread: its name without the number behind it. `core-0` and `core-1` are both `core`.
fn thread_group(name: &str) -> String {
    let kind = name.trim_end_matches(|c: char| c.is_ascii_digit() || "-_: #".contains(c));
    let kind = if kind.is_empty() { name } else { kind };
    kind.replace([':', '/', ' '], "-")
}

fn run_ns(schedstat: &str) -> Option<u64> {
    schedstat.split_whitespace().next()?.parse().ok()
}

/// The thread's name may hold spaces and brackets, so fields count from the last closing bracket.
fn user_and_system_ns(stat: &str) -> Option<(u64, u64)> {
    let rest = &stat[stat.rfind(')')? + 1..];
    let mut fields = rest.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some((next()? * TICK_NS, next()? * TICK_NS))
}

/// The number on the line that begins with `name`.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_grouped_by_their_names_without_numbers() {
        for (name, group) in [
            ("core-0", "core"),
            ("core-63-0", "core"),
            ("store-00", "store"),
            ("store-read-03", "store-read"),
            ("fjall:worker", "fjall-worker"),
            ("ringtalk", "ringtalk"),
            ("7", "7"),
            ("admin-peer", "admin-peer"),
        ] {
            assert_eq!(thread_group(name), group);
        }
    }

    #[test]
    fn times_are_read_behind_a_name_with_brackets_and_spaces() {
        let stat = "12 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 25 0 0 20 0 1 0";
        assert_eq!(user_and_system_ns(stat), Some((150 * TICK_NS, 25 * TICK_NS)));
        assert_eq!(user_and_system_ns("12 (a"), None);
        assert_eq!(user_and_system_ns("12 (a) S 1"), None);
    }

    #[test]
    fn a_field_is_not_taken_for_one_whose_name_ends_the_same() {
        let status = "nonvoluntary_ctxt_switches:\t7\nvoluntary_ctxt_switches:\t3\n";
        assert_eq!(field(status, "voluntary_ctxt_switches:"), Some(3));
        assert_eq!(field(status, "nonvoluntary_ctxt_switches:"), Some(7));
        assert_eq!(field("cancelled_write_bytes: 5\nwrite_bytes: 9", "write_bytes:"), Some(9));
    }

    #[test]
    fn growth_sums_threads_and_leaves_out_what_was_before() {
        let thread = |group: &str, cpu_ns| ThreadUsage {
            group: group.into(),
            counted: Counted { cpu_ns, voluntary_switches: cpu_ns / 10, ..Counted::default() },
        };
        let usage = |threads: &[(u32, &str, u64)], disk_bytes| Usage {
            threads: threads.iter().map(|(id, group, ns)| (*id, thread(group, *ns))).collect(),
            disk_bytes,
        };
        let before = usage(&[(1, "core", 100), (2, "store", 50), (3, "gone", 500)], 10);
        let after = usage(&[(1, "core", 160), (2, "store", 70), (4, "store", 30)], 25);
        let growth = after.since(&before);
        assert_eq!(growth.total.cpu_ns, 60 + 20 + 30);
        assert_eq!(growth.total.voluntary_switches, 6 + 2 + 3);
        assert_eq!(growth.disk_bytes, 15);
        let groups: Vec<_> = growth.cpu_ns_by_group.into_iter().collect();
        assert_eq!(groups, [("core".to_owned(), 60), ("store".to_owned(), 50)]);
    }

    #[test]
    fn this_process_has_used_something() {
        let before = Usage::read(std::process::id()).unwrap();
        let own = own_cpu_ns();
        // The kernel brings these counters up to date at its ticks and when it switches, so that a thread has to work for
        // longer than a tick to see its own rise.
        let work = || (0..1_000_000u64).map(|i| std::hint::black_box(i) % 7).sum::<u64>();
        assert!((0..10_000).any(|_| work() > 0 && own_cpu_ns() > own), "used time is not counted");
        let growth = Usage::read(std::process::id()).unwrap().since(&before);
        assert!(growth.total.cpu_ns > 0 && anonymous_bytes(std::process::id()).unwrap() > 0);
    }
}
