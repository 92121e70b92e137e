//! What the kernel knows of this process, under the names that Prometheus' own client libraries use where they have one.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::family::{Families, Kind, Unit};

pub(super) fn add(families: &mut Families) {
    families
        .begin(Kind::Gauge, "build_info", Unit::None, "Always 1; the labels tell which program runs.")
        .add(&[("version", env!("CARGO_PKG_VERSION")), ("architecture", std::env::consts::ARCH)], 1);
    let used = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = used.tv_sec as f64 + used.tv_nsec as f64 * 1e-9;
    let help = "Processor time of all threads, in user and kernel mode.";
    families.begin_foreign(Kind::Counter, "process_cpu", Unit::Seconds, help).add(&[], seconds);
    add_memory(families, &fs::read_to_string("/proc/self/status").unwrap_or_default());
    add_descriptors(families);
}

pub(super) fn add_uptime(families: &mut Families, uptime: Duration) {
    let help = "Time since the node was ready for its first connection.";
    families.begin(Kind::Gauge, "uptime", Unit::Seconds, help).add(&[], uptime.as_secs_f64());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let help = "Unix time at which the node was ready for its first connection.";
    families
        .begin_foreign(Kind::Gauge, "process_start_time", Unit::Seconds, help)
        .add(&[], now.saturating_sub(uptime).as_secs_f64().round());
}

/// A line of `/proc/self/status` that is missing leaves its figure out.
fn add_memory(families: &mut Families, status: &str) {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    if let Some(kib) = field("VmRSS") {
        let help = "Memory in use, files mapped included.";
        families.begin_foreign(Kind::Gauge, "process_resident_memory", Unit::Bytes, help).add(&[], kib << 10);
    }
    if let Some(kib) = field("VmSize") {
        let help = "Address space in use.";
        families.begin_foreign(Kind::Gauge, "process_virtual_memory", Unit::Bytes, help).add(&[], kib << 10);
    }
    if let Some(kib) = field("RssAnon") {
        let help = "Memory in use that is no file's.";
        families.begin(Kind::Gauge, "process_anonymous_memory", Unit::Bytes, help).add(&[], kib << 10);
    }
    if let Some(threads) = field("Threads") {
        families.begin_foreign(Kind::Gauge, "process_threads", Unit::None, "Threads.").add(&[], threads);
    }
}

fn add_descriptors(families: &mut Families) {
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // The listing itself has one open.
        let open = (open.count() as u64).saturating_sub(1);
        families
            .begin_foreign(Kind::Gauge, "process_open_fds", Unit::None, "Open files and sockets.")
            .add(&[], open);
    }
    if let Some(max) = getrlimit(Resource::Nofile).current {
        let help = "Most open files and sockets this process may have.";
        families.begin_foreign(Kind::Gauge, "process_max_fds", Unit::None, help).add(&[], max);
    }
}

#[cfg(test)]
mod tests {
    use super::super::family::Value;
    use super::*;

    fn value(families: &Families, name: &str) -> f64 {
        let family = families.list.iter().find(|family| family.full_name() == name);
        match family.unwrap_or_else(|| panic!("no {name}")).samples[0].value {
            Value::Whole(value) => value as f64,
            Value::Real(value) => value,
            Value::Histogram { .. } => panic!("{name} is a histogram"),
        }
    }

    #[test]
    fn the_kernel_tells_of_this_process() {
        let mut families = Families::default();
        add(&mut families);
        add_uptime(&mut families, Duration::from_secs(5));
        assert!(value(&families, "process_cpu_seconds") > 0.0);
        let [resident, anonymous, all] = [
            "process_resident_memory_bytes",
            "ringtalk_process_anonymous_memory_bytes",
            "process_virtual_memory_bytes",
        ]
        .map(|name| value(&families, name));
        assert!(1e5 < anonymous && anonymous < resident && resident < all);
        let (open, max) = (value(&families, "process_open_fds"), value(&families, "process_max_fds"));
        assert!(0.0 < open && open < max);
        assert!(value(&families, "process_start_time_seconds") > 1.7e9);
    }

    #[test]
    fn what_the_kernel_does_not_tell_is_left_out() {
        let mut families = Families::default();
        add_memory(&mut families, "VmRSS:\t   12 kB\nVmRSSish: 7\nThreads: x\nRssAnon");
        assert_eq!(families.list.len(), 1);
        assert_eq!(value(&families, "process_resident_memory_bytes"), 12.0 * 1024.0);
    }
}
