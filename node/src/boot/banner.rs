//! What a node prints when it is ready, on standard output: for people, and line by line for programs.
//!
//! Programs may rely on the lines `listening tls ADDRESS`, `listening plain ADDRESS`, `fingerprint TEXT`, `metrics URL` and on the last
//! line, `ready`, after which the node accepts.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::Path;

use crate::config::{Config, CoreList, Executor, Register};

/// What the banner tells beside the configuration.
pub(super) struct Started<'a> {
    pub config: &'a Config,
    pub store_shards: u16,
    /// With the ports that were taken.
    pub listen_tls: &'a [SocketAddr],
    pub listen_plain: &'a [SocketAddr],
    pub admin_http: Option<SocketAddr>,
    pub fingerprint: Option<&'a str>,
}

pub(super) fn print(started: &Started) {
    let mut output = io::stdout().lock();
    // A node that was started without a standard output serves all the same.
    let _ = output.write_all(text(started, &program()).as_bytes()).and_then(|()| output.flush());
}

fn text(started: &Started, program: &str) -> String {
    let Started { config, store_shards, listen_tls, listen_plain, admin_http, fingerprint } = started;
    let mut text = format!("ringtalk {}\n", env!("CARGO_PKG_VERSION"));
    let executors = executors(&config.executors);
    let _ = writeln!(text, "executors {executors}; store shards {store_shards}");
    let data = std::path::absolute(&config.data).unwrap_or_else(|_| config.data.clone());
    let _ = writeln!(text, "data {}", data.display());
    for address in *listen_tls {
        let _ = writeln!(text, "listening tls {address}");
    }
    for address in *listen_plain {
        let _ = writeln!(text, "listening plain {address}");
    }
    if let Some(fingerprint) = fingerprint {
        let _ = writeln!(text, "fingerprint {fingerprint}");
    }
    if let Some(address) = admin_http {
        let _ = writeln!(text, "metrics http://{address}/metrics");
    }
    let open = config.register == Register::Open;
    let _ = writeln!(text, "registration {}", if open { "open" } else { "closed" });
    let _ = writeln!(text);
    let data = data_option(&config.data);
    if !open {
        let _ = writeln!(text, "To add a user:\n  {program} user add NAME{data}");
    }
    let _ = writeln!(text, "To chat:\n  {program} chat{}", chat_options(started, open));
    let _ = writeln!(text, "\nready");
    text
}

/// The command that works from here, without options whose defaults do.
fn chat_options(started: &Started, open: bool) -> String {
    let mut text = String::new();
    match (started.listen_tls, started.listen_plain) {
        ([first, ..], _) => {
            if first.to_string() != crate::config::LISTEN_DEFAULT {
                let _ = write!(text, " {}", reachable(*first));
            }
            if let Some(fingerprint) = started.fingerprint.filter(|_| !first.ip().is_loopback()) {
                let _ = write!(text, " --pin {fingerprint}");
            }
        }
        ([], [first, ..]) => {
            let _ = write!(text, " {} --plain", reachable(*first));
        }
        ([], []) => {}
    }
    text += " --user NAME";
    if open {
        text += " --register";
    }
    text
}

/// An address to connect to from this machine: a node that listens everywhere is also on loopback.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        let loopback: std::net::IpAddr = match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        };
        address.set_ip(loopback);
    }
    address
}

fn executors(executors: &[Executor]) -> String {
    let pinned: Vec<_> = executors
        .iter()
        .filter_map(|executor| match executor {
            Executor::Pinned(processor) => Some(*processor),
            Executor::Anywhere => None,
        })
        .collect();
    if pinned.is_empty() {
        format!("{}, on any processor", executors.len())
    } else {
        format!("{}, on processors {}", executors.len(), CoreList(pinned))
    }
}

fn data_option(data: &Path) -> String {
    if data == Path::new("data") {
        String::new()
    } else {
        format!(" --data {}", quoted(&data.display().to_string()))
    }
}

/// How this program was started, for commands that can be pasted.
fn program() -> String {
    let name = std::env::args_os().next().map(|name| name.to_string_lossy().into_owned());
    quoted(&name.unwrap_or_else(|| "ringtalk".to_owned()))
}

/// As one word of a shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Options;

    fn banner(options: Options, fingerprint: Option<&str>) -> String {
        let config = Config::new(options, &[0, 1, 3]).unwrap();
        let started = Started {
            config: &config,
            store_shards: 8,
            listen_tls: &config.listen_tls,
            listen_plain: &config.listen_plain,
            admin_http: config.admin_http.address(),
            fingerprint,
        };
        text(&started, "ringtalk")
    }

    #[test]
    fn programs_find_their_lines() {
        let listen_plain = vec!["127.0.0.1:7471".to_owned()];
        let listen = vec!["127.0.0.1:7470".to_owned()];
        let text = banner(Options { listen, listen_plain, ..Options::default() }, Some("AB:CD"));
        let lines: Vec<_> = text.lines().collect();
        for line in [
            "listening tls 127.0.0.1:7470",
            "listening plain 127.0.0.1:7471",
            "fingerprint AB:CD",
            "metrics http://127.0.0.1:7472/metrics",
        ] {
            assert!(lines.contains(&line), "{text}");
        }
        assert_eq!(lines.last(), Some(&"ready"));
        assert!(lines.contains(&"executors 3, on processors 0-1,3; store shards 8"), "{text}");
    }

    #[test]
    fn the_commands_fit_the_node() {
        let text = banner(Options::default(), Some("AB:CD"));
        assert!(text.contains("\n  ringtalk chat --user NAME --register\n"), "{text}");
        let everywhere =
            Options { listen: vec!["0.0.0.0:1".into()], data: Some("my data".into()), ..Options::default() };
        let text = banner(everywhere, Some("AB:CD"));
        assert!(text.contains("\n  ringtalk user add NAME --data 'my data'\n"), "{text}");
        assert!(text.contains("\n  ringtalk chat 127.0.0.1:1 --pin AB:CD --user NAME\n"), "{text}");
        let plain = Options { listen_plain: vec!["[::]:1".into()], ..Options::default() };
        assert!(banner(plain, None).contains("\n  ringtalk chat [::1]:1 --plain --user NAME\n"));
    }
}
