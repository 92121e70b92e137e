//! What the operating system grants this process.

use rustix::process::{Resource, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity};

/// Processors this process may run on, ascending.
pub fn allowed_processors() -> Vec<usize> {
    match sched_getaffinity(None) {
        Ok(set) => (0..CpuSet::MAX_CPU).filter(|processor| set.is_set(*processor)).collect(),
        // A machine with more processors than the set holds: the lowest always exists.
        Err(_) => vec![0],
    }
}

/// Allows as many open files as this process may have, and gives that number.
pub fn raise_descriptors_max() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let before = limit.current;
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, "the limit of open files stays as it is");
            limit.current = before;
        }
    }
    limit.current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_processors_and_descriptors() {
        let processors = allowed_processors();
        assert!(!processors.is_empty() && processors.is_sorted());
        assert!(raise_descriptors_max() > 16);
    }
}
