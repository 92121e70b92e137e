//! The node under test: started here or already running, and what the operating system says about it.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal};
use rustix::thread::CpuSet;

use crate::NodeOptions;

/// How long a node may take to stop before it is killed.
const STOP_S_MAX: u64 = 20;

#[derive(Debug)]
pub struct Server {
    pub address: SocketAddr,
    pub pid: u32,
    child: Option<Child>,
    _folder: Option<tempfile::TempDir>,
}

/// What the operating system has counted for the node so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Time on a processor, all threads, in nanoseconds.
    pub cpu_ns: u64,
    pub context_switches: u64,
    /// Bytes handed to block devices.
    pub disk_bytes: u64,
}

/// Runs this thread on `cores` only; processes started from now on inherit it.
pub fn pin(cores: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core);
    }
    rustix::thread::sched_setaffinity(None, &set).with_context(|| format!("pinning to cores {cores:?}"))
}

fn parse_cores(list: &str) -> Result<Vec<usize>> {
    list.split(',').map(|core| core.trim().parse().with_context(|| format!("core {core:?}"))).collect()
}

impl Server {
    /// `more` goes to a node that is started, behind what every scenario wants.
    pub fn start_or_connect(options: &NodeOptions, more: &[&str]) -> Result<Self> {
        let server = match (options.connect, options.pid) {
            (Some(address), Some(pid)) => Self { address, pid, child: None, _folder: None },
            _ => Self::start(options, more)?,
        };
        pin(&[options.load_core])?;
        Ok(server)
    }

    fn start(options: &NodeOptions, more: &[&str]) -> Result<Self> {
        let program = match &options.node {
            Some(path) => path.clone(),
            None => beside_this_program()?,
        };
        let folder = match options.data {
            Some(_) => None,
            None => Some(tempfile::tempdir().context("a data folder")?),
        };
        let data = options.data.as_deref().unwrap_or_else(|| folder.as_ref().expect("made above").path());
        let address = free_address()?;
        pin(&parse_cores(&options.server_cores)?)?;
        let listen = if options.tls { "--listen" } else { "--listen-plain" };
        let mut child = Command::new(&program)
            .arg("--data")
            .arg(data)
            .args([listen, &address.to_string(), "--cores", &options.server_cores, "--register", "open"])
            .args([
                "--iterations",
                "4096",
                "--rate-logins",
                "0",
                "--rate-messages",
                "0",
                "--rate-queries",
                "0",
            ])
            .args(["--connections-per-address", "100000", "--unauthenticated-max", "20000"])
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let stdout = child.stdout.take().expect("piped above");
        let mut server = Self { address, pid: child.id(), child: Some(child), _folder: folder };
        server.wait_until_ready(stdout)?;
        Ok(server)
    }

    /// The node prints its banner when it accepts; the rest of its output is read and dropped.
    fn wait_until_ready(&mut self, stdout: std::process::ChildStdout) -> Result<()> {
        let mut lines = BufReader::new(stdout).lines();
        loop {
            match lines.next() {
                Some(Ok(line)) if line == "ready" => break,
                Some(Ok(_)) => {}
                _ => bail!("the node ended before it was ready"),
            }
        }
        std::thread::spawn(move || lines.for_each(drop));
        Ok(())
    }

    pub fn usage(&self) -> Result<Usage> {
        let mut usage = Usage::default();
        let tasks = PathBuf::from(format!("/proc/{}/task", self.pid));
        for task in std::fs::read_dir(&tasks).with_context(|| format!("reading {}", tasks.display()))? {
            let task = task?.path();
            // A thread may end between the listing and the reading.
            let Ok(text) = std::fs::read_to_string(task.join("schedstat")) else { continue };
            usage.cpu_ns +=
                text.split_whitespace().next().and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
            let status = std::fs::read_to_string(task.join("status")).unwrap_or_default();
            usage.context_switches += fields_ending(&status, "ctxt_switches:");
        }
        let io = std::fs::read_to_string(format!("/proc/{}/io", self.pid)).unwrap_or_default();
        usage.disk_bytes = fields_ending(&io, "write_bytes:");
        Ok(usage)
    }

    /// Anonymous memory of the node in bytes.
    pub fn anonymous_bytes(&self) -> Result<u64> {
        let path = format!("/proc/{}/smaps_rollup", self.pid);
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        Ok(fields_ending(&text, "Anonymous:") * 1024)
    }
}

/// The sum of the numbers on lines whose name is or ends with `name`.
fn fields_ending(text: &str, name: &str) -> u64 {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            words.next()?.ends_with(name).then(|| words.next()?.parse::<u64>().ok())?
        })
        .sum()
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        if let Some(pid) = Pid::from_raw(self.pid as i32) {
            let _ = rustix::process::kill_process(pid, Signal::TERM);
        }
        let begin = std::time::Instant::now();
        while begin.elapsed().as_secs() < STOP_S_MAX {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn beside_this_program() -> Result<PathBuf> {
    let own = std::env::current_exe().context("this program's path")?;
    let path = own.parent().unwrap_or(Path::new(".")).join("ringtalk");
    if !path.exists() {
        bail!("{} is not built: run `cargo build --release`, or give --node", path.display());
    }
    Ok(path)
}

fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0").context("a free port")?.local_addr()?)
}
