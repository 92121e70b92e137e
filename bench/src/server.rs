//! The process under test: started here or already running.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal};
use rustix::thread::CpuSet;

use crate::options::NodeOptions;
use crate::program;
use crate::usage::{self, Usage};

/// How long a process may take to stop before it is killed.
const STOP_MAX: Duration = Duration::from_secs(20);
/// A process is quiet when it uses less than this share of a core over [`QUIET_STEP`], several times in a row: a merge that
/// waits for the disk uses none for a while.
const QUIET_SHARE: f64 = 0.02;
const QUIET_STEP: Duration = Duration::from_millis(100);
/// So many, where no option says otherwise.
const QUIET_STEPS: u32 = 4;
/// How long work that was put off, such as compaction, is waited for.
const QUIET_MAX: Duration = Duration::from_secs(120);
/// What every node under test is started with: limits that only a bench meets, and sessions that outlive other rounds.
const NODE_ARGUMENTS: &[&str] = &[
    "--register",
    "open",
    "--contacts",
    "open",
    "--iterations",
    "4096",
    "--rate-logins",
    "0",
    "--rate-messages",
    "0",
    "--rate-queries",
    "0",
    "--rate-light",
    "0",
    "--connections-per-address",
    "100000",
    "--unauthenticated-max",
    "20000",
    "--idle-desktop",
    "86400",
];

#[derive(Debug)]
pub struct Server {
    pub address: SocketAddr,
    pub pid: u32,
    /// The data folder, where it is known.
    pub data: Option<PathBuf>,
    started: Option<(Command, Child)>,
    /// For so many steps in a row it is quiet before it counts as such.
    quiet_steps: u32,
    _folder: Option<tempfile::TempDir>,
}

/// Commits of the store so far: each is one fdatasync.
#[derive(Debug, Clone, Copy)]
pub struct Commits {
    pub count: u64,
    pub bytes: u64,
}

/// Runs this thread on `cores` only; threads and processes started from now on inherit it.
pub fn pin(cores: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core);
    }
    rustix::thread::sched_setaffinity(None, &set).with_context(|| format!("pinning to cores {cores:?}"))
}

pub(crate) fn parse_cores(list: &str) -> Result<Vec<usize>> {
    list.split(',').map(|core| core.trim().parse().with_context(|| format!("core {core:?}"))).collect()
}

/// A port that was free a moment ago.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0").context("a free port")?.local_addr()?)
}

impl Server {
    /// The node of the options, and this thread pinned to the load's core. `more` goes to a node that is started, in front
    /// of what the user gave.
    pub fn node(options: &NodeOptions, more: &[&str]) -> Result<Self> {
        let mut server = match (options.connect, options.pid) {
            (Some(address), Some(pid)) => {
                let data = options.data.clone();
                Self { address, pid, data, started: None, quiet_steps: QUIET_STEPS, _folder: None }
            }
            _ => Self::start_node(options, more)?,
        };
        server.quiet_steps = options.quiet_ms.div_ceil(QUIET_STEP.as_millis() as u32);
        pin(&[options.load_core])?;
        Ok(server)
    }

    fn start_node(options: &NodeOptions, more: &[&str]) -> Result<Self> {
        let program = match &options.node {
            Some(path) => path.clone(),
            None => program::node()?,
        };
        let folder = match options.data {
            Some(_) => None,
            None => Some(tempfile::tempdir().context("a data folder")?),
        };
        let data = options.data.clone().or_else(|| Some(folder.as_ref()?.path().to_owned()));
        let data = data.expect("one of the two is there");
        let address = free_address()?;
        pin(&parse_cores(&options.server_cores)?)?;
        let listen = if options.tls { "--listen" } else { "--listen-plain" };
        let mut command = Command::new(&program);
        command.arg("--data").arg(&data);
        command.args([listen, &address.to_string(), "--cores", &options.server_cores, "--log", "warn"]);
        if !options.node_arg.iter().any(|argument| argument.starts_with("--admin-http")) {
            // Several nodes stand side by side, and there is one default port.
            command.args(["--admin-http", "off"]);
        }
        command.args(NODE_ARGUMENTS).args(more).args(&options.node_arg);
        let mut server = Self::spawn(command, address, folder)?;
        server.data = Some(data);
        Ok(server)
    }

    /// Starts a program that prints `ready` when it accepts at `address`. It is stopped when this is dropped, and then
    /// `folder` is removed.
    pub(crate) fn spawn(
        mut command: Command,
        address: SocketAddr,
        folder: Option<tempfile::TempDir>,
    ) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let child = launch(&mut command)?;
        let pid = child.id();
        let started = Some((command, child));
        Ok(Self { address, pid, data: None, started, quiet_steps: QUIET_STEPS, _folder: folder })
    }

    /// Stops it and starts it again with the same arguments and data.
    ///
    /// # Errors
    /// If it was not started here.
    pub fn restart(&mut self, options: &NodeOptions) -> Result<()> {
        let Some((mut command, child)) = self.started.take() else {
            bail!("a node that was not started here cannot be started again");
        };
        stop(child);
        pin(&parse_cores(&options.server_cores)?)?;
        let child = launch(&mut command)?;
        self.pid = child.id();
        self.started = Some((command, child));
        pin(&[options.load_core])
    }

    pub fn usage(&self) -> Result<Usage> {
        Usage::read(self.pid)
    }

    /// Waits until nothing that was put off is left, so that its cost falls to the round that caused it. `false`: it was
    /// still busy when the patience ended.
    pub fn wait_until_quiet(&self) -> Result<bool> {
        let begin = Instant::now();
        let mut before = usage::cpu_ns(self.pid)?;
        let mut quiet_steps = 0;
        while begin.elapsed() < QUIET_MAX {
            let step = Instant::now();
            std::thread::sleep(QUIET_STEP);
            let after = usage::cpu_ns(self.pid)?;
            let share = after.saturating_sub(before) as f64 / step.elapsed().as_nanos() as f64;
            quiet_steps = if share < QUIET_SHARE { quiet_steps + 1 } else { 0 };
            if quiet_steps >= self.quiet_steps {
                return Ok(true);
            }
            before = after;
        }
        Ok(false)
    }

    /// What the node has committed; `None` where it does not tell.
    pub fn commits(&self) -> Option<Commits> {
        let (program, data) = (self.started.as_ref()?.0.get_program(), self.data.as_ref()?);
        let output = Command::new(program).args(["stats", "--json", "--data"]).arg(data).output().ok()?;
        let figures: std::collections::BTreeMap<String, f64> = serde_json::from_slice(&output.stdout).ok()?;
        let count = |name: &str| figures.get(name).map(|value| *value as u64);
        Some(Commits {
            count: count("ringtalk_store_commits_total")?,
            bytes: count("ringtalk_store_committed_bytes_total")?,
        })
    }

    /// A new token of a service account of the node, with these scopes.
    ///
    /// # Errors
    /// If the node was not started here, or refuses.
    pub fn token(&self, name: &str, scopes: &str) -> Result<String> {
        let (started, data) = (self.started.as_ref(), self.data.as_ref());
        let (started, data) = started.zip(data).context("a token of a node that was not started here")?;
        let mut command = Command::new(started.0.get_program());
        command.args(["token", "create", name, "--scopes", scopes, "--data"]).arg(data);
        let output = command.output().context("asking the node for a token")?;
        if !output.status.success() {
            bail!("no token: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Bytes of all files in the data folder, where it is known.
    pub fn store_bytes(&self) -> Option<u64> {
        self.data.as_deref().map(usage::folder_bytes)
    }
}

/// A node prints its banner when it accepts; the rest of its output is read and dropped.
fn launch(command: &mut Command) -> Result<Child> {
    let mut child =
        command.spawn().with_context(|| format!("starting {}", command.get_program().to_string_lossy()))?;
    let stdout = child.stdout.take().expect("piped by the caller");
    if let Err(error) = wait_until_ready(stdout) {
        let _ = child.kill();
        let _ = child.wait();
        return Err(error);
    }
    Ok(child)
}

fn wait_until_ready(stdout: ChildStdout) -> Result<()> {
    let mut lines = BufReader::new(stdout).lines();
    loop {
        match lines.next() {
            Some(Ok(line)) if line == "ready" => break,
            Some(Ok(_)) => {}
            _ => bail!("the process ended before it was ready"),
        }
    }
    std::thread::spawn(move || lines.for_each(drop));
    Ok(())
}

fn stop(mut child: Child) {
    if let Some(pid) = Pid::from_raw(child.id() as i32) {
        let _ = rustix::process::kill_process(pid, Signal::TERM);
    }
    let begin = Instant::now();
    while begin.elapsed() < STOP_MAX {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
    let _ = child.wait();
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some((_, child)) = self.started.take() {
            stop(child);
        }
    }
}
