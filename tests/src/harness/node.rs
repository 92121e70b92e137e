//! The real binary as a child process.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long a node may take to start or to stop before the test fails.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// The program under test: what `RINGTALK_BINARY` names, or the one built beside the tests.
pub fn binary() -> PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY
        .get_or_init(|| {
            if let Some(path) = std::env::var_os("RINGTALK_BINARY") {
                return path.into();
            }
            let path = target_folder().join("release/ringtalk");
            // `cargo test --workspace` has built it. Building it alone chooses other features of shared dependencies and
            // takes minutes, so it is only done when it is missing or older than its sources.
            if !is_current(&path) {
                let status = Command::new(env!("CARGO"))
                    .args(["build", "--quiet", "--release", "-p", "node"])
                    .current_dir(crate::tidy::root())
                    .status()
                    .expect("cargo runs");
                assert!(status.success(), "the node does not build");
            }
            path
        })
        .clone()
}

/// Whether the program is newer than everything it is built from.
fn is_current(program: &Path) -> bool {
    let changed = |path: &Path| std::fs::metadata(path).and_then(|data| data.modified());
    let Ok(built) = changed(program) else { return false };
    let root = crate::tidy::root();
    crate::tidy::files()
        .iter()
        .filter(|path| {
            ["wire/", "store/", "node/", "client/", "Cargo."].iter().any(|part| path.starts_with(part))
        })
        .all(|path| changed(&root.join(path)).is_ok_and(|source| source <= built))
}

fn target_folder() -> PathBuf {
    // .../target/release/deps/test-abc
    let own = std::env::current_exe().expect("the test's path");
    own.ancestors().find(|path| path.ends_with("target")).expect("a target folder").to_owned()
}

/// Options of a node to start.
#[derive(Debug, Clone)]
pub struct NodeBuilder {
    pub data: PathBuf,
    pub tls: Option<SocketAddr>,
    pub plain: Option<SocketAddr>,
    pub more: Vec<String>,
    pub environment: Vec<(String, String)>,
}

impl NodeBuilder {
    /// A node with both listeners on free ports, fast to log in to.
    pub fn new(data: &Path) -> Self {
        let any = Some("127.0.0.1:0".parse().expect("an address"));
        Self { data: data.to_owned(), tls: any, plain: any, more: Vec::new(), environment: Vec::new() }
            .with(&["--iterations", "4096", "--rate-logins", "0", "--rate-messages", "0"])
            .with(&["--admin-http", "127.0.0.1:0"])
    }

    /// Nobody may register himself.
    pub fn closed(self) -> Self {
        self.with(&["--register", "closed"])
    }

    pub fn with(mut self, more: &[&str]) -> Self {
        self.more.extend(more.iter().map(|text| text.to_string()));
        self
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(binary());
        command.arg("--data").arg(&self.data);
        for (option, address) in [("--listen", self.tls), ("--listen-plain", self.plain)] {
            if let Some(address) = address {
                command.arg(option).arg(address.to_string());
            }
        }
        if !self.more.iter().any(|argument| argument == "--contacts") {
            command.args(["--contacts", "open"]); // most tests are about something else
        }
        command.args(&self.more).envs(self.environment.iter().cloned());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Starts it and waits until it accepts.
    pub fn start(&self) -> Node {
        self.try_start().unwrap_or_else(|text| panic!("the node did not start: {text}"))
    }

    /// The error holds what it printed.
    pub fn try_start(&self) -> Result<Node, String> {
        let mut child = self.command().spawn().map_err(|error| error.to_string())?;
        let stderr = child.stderr.take().expect("piped");
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = BufReader::new(stderr).take(1 << 20).read_to_string(&mut text);
            text
        });
        let stdout = child.stdout.take().expect("piped");
        let mut lines = BufReader::new(stdout).lines();
        let mut node = Node {
            builder: self.clone(),
            child,
            tls: None,
            plain: None,
            http: None,
            fingerprint: String::new(),
            errors: Some(errors),
        };
        loop {
            let Some(Ok(line)) = lines.next() else {
                let status = node.wait();
                return Err(format!("{status}: {}", node.errors()));
            };
            match line.split_once(' ') {
                _ if line == "ready" => break,
                Some(("listening", rest)) => match rest.split_once(' ') {
                    Some(("tls", address)) => node.tls = address.parse().ok(),
                    Some(("plain", address)) => node.plain = address.parse().ok(),
                    _ => {}
                },
                Some(("metrics", url)) => {
                    let address = url.strip_prefix("http://").and_then(|rest| rest.strip_suffix("/metrics"));
                    node.http = address.and_then(|address| address.parse().ok());
                }
                Some(("fingerprint", text)) => node.fingerprint = text.to_owned(),
                _ => {}
            }
        }
        std::thread::spawn(move || lines.for_each(drop));
        Ok(node)
    }
}

/// A running node. Killed when dropped.
#[derive(Debug)]
pub struct Node {
    builder: NodeBuilder,
    child: Child,
    pub tls: Option<SocketAddr>,
    pub plain: Option<SocketAddr>,
    /// Where it tells figures.
    pub http: Option<SocketAddr>,
    pub fingerprint: String,
    errors: Option<std::thread::JoinHandle<String>>,
}

impl Node {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// SIGKILL, at once.
    pub fn kill(&mut self) {
        self.child.kill().expect("a child of ours");
        self.child.wait().expect("its end");
    }

    /// SIGTERM, and what it ended with.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }

    pub fn signal(&self, name: &str) {
        let status =
            Command::new("kill").args(["-s", name, &self.pid().to_string()]).status().expect("kill runs");
        assert!(status.success());
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                return status;
            }
            assert!(begin.elapsed() < WAIT_MAX, "the node does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// All it wrote to its error output; after its end.
    pub fn errors(&mut self) -> String {
        self.errors.take().map(|thread| thread.join().expect("a reader")).unwrap_or_default()
    }

    /// Starts it anew on the same data and the same ports, after its end.
    pub fn restart(&mut self) {
        let mut builder = self.builder.clone();
        builder.tls = self.tls.or(builder.tls);
        builder.plain = self.plain.or(builder.plain);
        *self = builder.start();
    }

    /// Anonymous memory in bytes.
    pub fn anonymous_bytes(&self) -> u64 {
        let text =
            std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid())).expect("its memory map");
        let line = text.lines().find(|line| line.starts_with("Anonymous:")).expect("a line");
        line.split_whitespace().nth(1).and_then(|field| field.parse::<u64>().ok()).expect("a number") * 1024
    }

    /// Connections that a shard closed for this reason.
    pub fn closes(&self, reason: &str) -> u64 {
        self.counter(&format!("ringtalk_closes_by_shard_total{{reason={reason:?}}}"))
    }

    /// A figure of `ringtalk stats`, summed over the shards; 0 when there is none of this name.
    pub fn counter(&self, name: &str) -> u64 {
        let output = self.tool(&["stats"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines()
            .filter_map(|line| line.trim().split_once(char::is_whitespace))
            .filter(|(key, _)| key.trim_end_matches(':') == name)
            .filter_map(|(_, value)| value.trim().parse::<u64>().ok())
            .sum()
    }

    /// Runs `ringtalk ARGS --data DIR` beside it.
    pub fn tool(&self, arguments: &[&str]) -> std::process::Output {
        tool(&self.builder.data, arguments)
    }

    pub fn data(&self) -> &Path {
        &self.builder.data
    }
}

/// Runs `ringtalk ARGS --data DIR`.
pub fn tool(data: &Path, arguments: &[&str]) -> std::process::Output {
    Command::new(binary())
        .args(arguments)
        .arg("--data")
        .arg(data)
        .stdin(Stdio::null())
        .output()
        .expect("it runs")
}

/// `ringtalk check` on a closed folder: what it printed, when it is clean.
pub fn check(data: &Path) -> Result<String, String> {
    let output = tool(data, &["check"]);
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(text) } else { Err(text) }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
