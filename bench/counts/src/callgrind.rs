//! Instructions, counted by Callgrind: this program runs once more in it, and only what happens inside
//! `meter::counted_step` is collected. The output format is that of
//! <https://valgrind.org/docs/manual/cl-format.html>.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command as Process, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::commands::Command;
use crate::fault::Fault;

/// Callers of an allocation that are told apart.
const CALLERS: usize = 7;

/// What one run of one command executed, all its counted repetitions together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// Of this program's own file: the shard with all its packages, and Rust's library. It is linked in whole.
    pub instructions: u64,
    /// Of the C library: allocator and copies. Varies with its version and with the processor.
    pub libc: u64,
    pub by_function: BTreeMap<String, u64>,
    /// Instructions of the allocator's entry, by its callers: in proportion to the calls. (Callgrind counts calls also
    /// while it does not collect.)
    pub allocators: BTreeMap<Site, u64>,
}

/// Who allocates.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Site {
    pub is_new: bool,
    /// The nearest first, up to the shard's step.
    pub callers: String,
}

/// What to tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    Sums,
    Callers,
}

/// Whether there is a Callgrind to run.
pub fn is_installed() -> bool {
    Process::new("valgrind")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Counts one command, with this fault in the shard.
pub fn count(command: Command, detail: Detail, planted: Option<Fault>) -> Result<Profile> {
    let program = std::env::current_exe().context("where this program is")?;
    let folder = tempfile::tempdir().context("a folder for the profile")?;
    let output = folder.path().join("profile");
    let mut valgrind = Process::new("valgrind");
    // Nothing of the environment gets in but what Valgrind itself needs.
    valgrind.env_clear();
    for name in ["PATH", "VALGRIND_LIB"] {
        valgrind.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    valgrind
        .args(["--tool=callgrind", "--collect-atstart=no", "--toggle-collect=*meter::counted_step*"])
        .args(["--compress-strings=no", "--compress-pos=no"])
        .arg(format!("--callgrind-out-file={}", output.display()));
    if detail == Detail::Callers {
        valgrind.arg(format!("--separate-callers{CALLERS}=*__rust_*alloc*"));
    }
    valgrind.arg(&program).args(["--only", command.name()]);
    if let Some(fault) = planted {
        valgrind.args(["--planted", fault.name()]);
    }
    let ran = valgrind.output().context("valgrind does not start")?;
    if !ran.status.success() {
        bail!("{} in valgrind: {}\n{}", command.name(), ran.status, String::from_utf8_lossy(&ran.stderr));
    }
    let text = std::fs::read_to_string(&output).context("the profile")?;
    let profile = parse(&text, &program)?;
    ensure!(profile.instructions > 0, "nothing was counted: are the program's symbols stripped?");
    Ok(profile)
}

fn parse(text: &str, program: &Path) -> Result<Profile> {
    let program = program.to_str().context("a path in UTF-8")?;
    let mut profile = Profile::default();
    let (mut object, mut function) = ("", "");
    let mut lines = text.lines().skip_while(|line| !line.starts_with("events:")).skip(1);
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("ob=") {
            object = name;
        } else if let Some(name) = line.strip_prefix("fn=") {
            function = name;
        } else if line.starts_with("calls=") {
            // What the called function costs is counted where it is.
            lines.next();
        } else if line.starts_with(|first: char| first.is_ascii_digit()) {
            let cost = line.rsplit(' ').next().unwrap_or_default().parse::<u64>().context("a cost")?;
            let sum = if object == program { &mut profile.instructions } else { &mut profile.libc };
            *sum += cost;
            let (name, callers) = function.split_once('\'').unwrap_or((function, ""));
            *profile.by_function.entry(name.to_owned()).or_default() += cost;
            if let Some(site) = Site::new(name, callers) {
                *profile.allocators.entry(site).or_default() += cost;
            }
        }
    }
    Ok(profile)
}

impl Site {
    fn new(allocator: &str, callers: &str) -> Option<Self> {
        let is_new = match allocator.rsplit_once("__rust_")?.1 {
            "alloc" | "alloc_zeroed" => true,
            "realloc" => false,
            _ => return None,
        };
        let callers: Vec<_> =
            callers.split('\'').take_while(|caller| !caller.starts_with("counts::")).collect();
        Some(Self { is_new, callers: callers.join(" < ") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
version: 1
positions: line
events: Ir
summary: 9

ob=/bin/counts
fl=a.rs
fn=shard::Shard::step'counts::meter::counted_step
10 5
fi=b.rs
11 7
cfn=__rustc::__rust_alloc'record::encode'shard::Shard::step'counts::meter::counted_step
calls=3 20
12 999

fn=__rustc::__rust_alloc'record::encode'shard::Shard::step'counts::meter::counted_step
7 36
cob=/lib/libc.so.6
cfn=memcpy
calls=1 20
12 888

fn=record::encode
1 2

ob=/lib/libc.so.6
fn=memcpy
1 30
totals: 44
";

    #[test]
    fn own_costs_are_told_from_the_librarys_and_calls_are_not_counted_twice() {
        let profile = parse(TEXT, Path::new("/bin/counts")).expect("a profile");
        assert_eq!((profile.instructions, profile.libc), (50, 30));
        let functions: Vec<_> =
            profile.by_function.iter().map(|(name, cost)| (name.as_str(), *cost)).collect();
        let allocator = "__rustc::__rust_alloc";
        assert_eq!(
            functions,
            [(allocator, 36), ("memcpy", 30), ("record::encode", 2), ("shard::Shard::step", 12)]
        );
        let site = Site { is_new: true, callers: "record::encode < shard::Shard::step".into() };
        assert_eq!(profile.allocators, BTreeMap::from([(site, 36)]));
    }

    #[test]
    fn a_profile_that_cannot_be_read_is_an_error() {
        assert!(parse("events: Ir\nob=/bin/counts\n10 many\n", Path::new("/bin/counts")).is_err());
    }
}
