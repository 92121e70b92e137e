//! Every option of a node: what it means, its unit, its bounds and its default.
//!
//! An option comes from the command line or from the file that `--config` names, under the same name; the command line
//! wins. [`Config`] is the one typed result: what stands in it was checked against its bounds and against the rest.

mod bounds;
mod cores;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Deserialize;

pub use bounds::{BOUNDS, Bounds, default_of};
pub use cores::CoreList;

/// Where a node listens when nothing is said: TLS, for this machine only.
pub const LISTEN_DEFAULT: &str = "127.0.0.1:7470";
/// Where figures are told over HTTP when nothing is said: for this machine only.
pub const ADMIN_HTTP_DEFAULT: &str = "127.0.0.1:7472";
/// Addresses in one list.
pub const ADDRESSES_MAX: usize = 16;
/// Longest configuration file in bytes.
pub const FILE_BYTES_MAX: u64 = 64 * 1024;
/// Most executors of one node.
pub const SHARDS_MAX: u16 = 64;
/// Most store shards of a data folder.
const STORE_SHARDS_MAX: u16 = store::STORE_SHARDS_MAX;

/// Who may make an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Register {
    /// Anyone who can connect.
    Open,
    /// The operator only, by `ringtalk user add`.
    Closed,
}

/// Where a session lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// On its user's home shard, unless that is above the mean load by more than `placement-bound`.
    Home,
    /// On the shard with the least load.
    LeastLoaded,
}

/// How many sessions a user may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sessions {
    /// Any number (up to 32).
    Any,
    /// One of each class of device (desktop, mobile, web, bot): a new login takes over from the others of its class.
    OnePerClass,
}

/// Who may write to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contacts {
    /// Only contacts to each other.
    Required,
    /// Everybody to everybody, as in a closed organisation. Blocks hold.
    Open,
}

/// What happens to a message of somebody who may not write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strangers {
    /// It is dropped without an answer: its sender cannot tell a stranger's silence from being blocked.
    Silent,
    /// It is refused.
    Refuse,
}

/// Where figures, health and readiness are told over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminHttp {
    Off,
    /// Nobody has named it: a node that finds it taken goes on without.
    Default(SocketAddr),
    At(SocketAddr),
}

impl AdminHttp {
    pub fn address(self) -> Option<SocketAddr> {
        match self {
            AdminHttp::Off => None,
            AdminHttp::Default(address) | AdminHttp::At(address) => Some(address),
        }
    }

    fn parse(given: Option<&str>) -> Result<Self, ConfigError> {
        match given {
            None => Ok(AdminHttp::Default(ADMIN_HTTP_DEFAULT.parse().expect("a constant"))),
            Some("off") => Ok(AdminHttp::Off),
            Some(text) => text.parse().map(AdminHttp::At).map_err(|_| {
                let mend = "write an IP address and a port, such as 127.0.0.1:7472, or off";
                ConfigError::value("admin-http", text, mend)
            }),
        }
    }
}

/// Options as given, none of them checked. Each is documented here, for `--help` and for the file alike.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Options {
    /// Data folder; made at first start [default: ./data]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,

    /// Address for TLS connections, as IP:PORT; may be repeated (at most 16) [default: 127.0.0.1:7470, unless
    /// --listen-plain is given]
    #[arg(long, value_name = "ADDR")]
    pub listen: Vec<String>,
    /// Address for connections on which nothing is encrypted, as IP:PORT; may be repeated (at most 16) [default: none]
    #[arg(long, value_name = "ADDR")]
    pub listen_plain: Vec<String>,
    /// Address that clients are told to connect to, as HOST:PORT; may be repeated (at most 16) [default: where the
    /// node listens]
    #[arg(long, value_name = "ADDR")]
    pub advertise: Vec<String>,
    /// Certificate chain, PEM; together with --key [default: a self-made one in the data folder]
    #[arg(long, value_name = "FILE")]
    pub cert: Option<PathBuf>,
    /// Private key of --cert, PEM
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,

    /// Processors to use, such as 0,2 or 0-3: one executor on each [default: all this process may use]
    #[arg(long, value_name = "LIST")]
    pub cores: Option<String>,
    /// Executors, wherever the operating system runs them, instead of --cores; for tests (1 to 64)
    #[arg(long, value_name = "N")]
    pub shards: Option<u64>,
    /// Store shards of a new data folder: a power of two from 1 to 64; an existing folder keeps its own [default: at
    /// least twice the executors]
    #[arg(long, value_name = "N")]
    pub store_shards: Option<u64>,

    /// Who may make an account [default: open if all listeners are on loopback, else closed]
    #[arg(long, value_enum, value_name = "WHO")]
    pub register: Option<Register>,
    /// Who may write to whom [default: required]
    #[arg(long, value_enum, value_name = "WHO")]
    pub contacts: Option<Contacts>,
    /// What happens to a message of somebody who may not write [default: silent]
    #[arg(long, value_enum, value_name = "WHAT")]
    pub strangers: Option<Strangers>,
    /// Where a session lives [default: home]
    #[arg(long, value_enum, value_name = "POLICY")]
    pub placement: Option<Placement>,
    /// How far above the mean load a home may be and still take its own users (percent; 0 to 1000) [default: 25]
    #[arg(long, value_name = "PERCENT")]
    pub placement_bound: Option<u64>,

    /// How many sessions a user may have [default: any]
    #[arg(long, value_enum, value_name = "POLICY")]
    pub sessions: Option<Sessions>,
    /// A session of a desktop that says nothing for so long is closed (seconds; 10 to 86400) [default: 120]
    #[arg(long, value_name = "SECONDS")]
    pub idle_desktop: Option<u64>,
    /// The same of a mobile device (seconds; 10 to 86400) [default: 300]
    #[arg(long, value_name = "SECONDS")]
    pub idle_mobile: Option<u64>,
    /// The same of a client in a browser (seconds; 10 to 86400) [default: 120]
    #[arg(long, value_name = "SECONDS")]
    pub idle_web: Option<u64>,
    /// The same of a program (seconds; 10 to 86400) [default: 300]
    #[arg(long, value_name = "SECONDS")]
    pub idle_bot: Option<u64>,
    /// A connection that has not logged in by then is closed (seconds; 1 to 300) [default: 15]
    #[arg(long, value_name = "SECONDS")]
    pub login_timeout: Option<u64>,
    /// How long a ticket can resume a session (hours; 1 to 8760) [default: 168]
    #[arg(long, value_name = "HOURS")]
    pub ticket_lifetime: Option<u64>,
    /// How long the one-time code of `ringtalk user reset` can be used (hours; 1 to 8760) [default: 24]
    #[arg(long, value_name = "HOURS")]
    pub code_lifetime: Option<u64>,
    /// How long people can take back what they wrote (seconds; 0 to 31536000) [default: 120]
    #[arg(long, value_name = "SECONDS")]
    pub recall_time: Option<u64>,
    /// How long nobody can take the name of a deleted account (days; 0 to 36500) [default: 365]
    #[arg(long, value_name = "DAYS")]
    pub name_reserved: Option<u64>,
    /// Longest wait of a client before it connects again, told at login; clients spread over it (milliseconds; 100 to
    /// 600000) [default: 2000]
    #[arg(long, value_name = "MS")]
    pub reconnect_delay: Option<u64>,
    /// Rounds of PBKDF2 that new passwords are stretched with, on the client (4096 to 10000000) [default: 600000]
    #[arg(long, value_name = "N")]
    pub iterations: Option<u64>,

    /// Connections of the node (16 to 1000000) [default: 100000]
    #[arg(long, value_name = "N")]
    pub connections_max: Option<u64>,
    /// Connections from one address; with several executors each keeps its share and a little more (1 to 1000000)
    /// [default: 1024]
    #[arg(long, value_name = "N")]
    pub connections_per_address: Option<u64>,
    /// Connections of the node that have not logged in (16 to 1000000) [default: 10000]
    #[arg(long, value_name = "N")]
    pub unauthenticated_max: Option<u64>,
    /// Steps of login and registration from one address, 0 for no limit (per second; 0 to 1000000) [default: 50]
    #[arg(long, value_name = "N")]
    pub rate_logins: Option<u64>,
    /// Messages and marks of one session, 0 for no limit (per second; 0 to 1000000) [default: 2000]
    #[arg(long, value_name = "N")]
    pub rate_messages: Option<u64>,
    /// Reads of one session, 0 for no limit (per second; 0 to 1000000) [default: 500]
    #[arg(long, value_name = "N")]
    pub rate_queries: Option<u64>,
    /// Heartbeats and the like of one session, 0 for no limit (per second; 0 to 1000000)
    /// [default: 50]
    #[arg(long, value_name = "N")]
    pub rate_light: Option<u64>,

    /// Below so much free space writes are refused and reads go on (MiB; 1 to 1048576) [default: 512]
    #[arg(long, value_name = "MIB")]
    pub free_floor: Option<u64>,
    /// Cache of the store (MiB; 8 to 1048576) [default: 256]
    #[arg(long, value_name = "MIB")]
    pub cache: Option<u64>,
    /// Memory for what is written and not yet in tables; fixed when the data folder is made (MiB; 8 to 65536)
    /// [default: 256]
    #[arg(long, value_name = "MIB")]
    pub write_buffer: Option<u64>,
    /// Threads that read from the store (1 to 64) [default: 4]
    #[arg(long, value_name = "N")]
    pub read_threads: Option<u64>,

    /// Socket for `ringtalk user` and `ringtalk stats` [default: admin.sock in the data folder]
    #[arg(long, value_name = "PATH")]
    pub admin_socket: Option<PathBuf>,
    /// Address that tells figures, health and readiness over HTTP to everyone who reaches it, as IP:PORT, or off; nothing
    /// can be changed there [default: 127.0.0.1:7472, or none when that is taken]
    #[arg(long, value_name = "ADDR")]
    pub admin_http: Option<String>,
    /// How long a stop may take (seconds; 1 to 600) [default: 10]
    #[arg(long, value_name = "SECONDS")]
    pub stop_timeout: Option<u64>,
    /// What is logged, to standard error: error, warn, info, debug, trace, or a filter such as info,node::ring=debug
    /// [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub log: Option<String>,
}

/// Why the options cannot be used: one line that names the option, the value and the cure.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConfigError {
    #[error("option --{option}: {value} cannot be used: {mend}")]
    Value { option: &'static str, value: String, mend: String },
    #[error("configuration file {}: {what}", path.display())]
    File { path: PathBuf, what: String },
}

impl ConfigError {
    fn value(option: &'static str, value: impl ToString, mend: impl ToString) -> Self {
        Self::Value { option, value: value.to_string(), mend: mend.to_string() }
    }
}

/// Where one executor runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Executor {
    /// On this processor only, by the operating system's number.
    Pinned(usize),
    Anywhere,
}

/// A whole and checked configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub data: PathBuf,
    pub listen_tls: Vec<SocketAddr>,
    pub listen_plain: Vec<SocketAddr>,
    /// HOST:PORT; empty: where the node listens.
    pub advertise: Vec<String>,
    /// Certificate chain and key; `None`: self-made.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// At least one.
    pub executors: Vec<Executor>,
    /// Of a new data folder.
    pub store_shards_if_new: u16,
    pub register: Register,
    pub contacts: Contacts,
    pub strangers: Strangers,
    pub placement: Placement,
    pub placement_bound_percent: u32,
    pub sessions: Sessions,
    pub idle_desktop: Duration,
    pub idle_mobile: Duration,
    pub idle_web: Duration,
    pub idle_bot: Duration,
    pub login_timeout: Duration,
    pub ticket_lifetime: Duration,
    pub code_lifetime: Duration,
    pub recall_time: Duration,
    pub name_reserved: Duration,
    pub reconnect_delay_max: Duration,
    pub iterations: u32,
    pub connections_max: u32,
    pub connections_per_address_max: u32,
    pub unauthenticated_max: u32,
    /// Of one address; these four are 0 for no limit.
    pub logins_per_second: u32,
    pub messages_per_second: u32,
    pub queries_per_second: u32,
    pub light_per_second: u32,
    pub free_floor_bytes: u64,
    pub cache_bytes: u64,
    pub write_buffer_bytes: u64,
    pub read_threads: usize,
    pub admin_socket: PathBuf,
    pub admin_http: AdminHttp,
    pub stop_timeout: Duration,
    pub log: String,
}

impl Options {
    /// The options of a file: TOML, the same names as on the command line without the dashes in front.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let error = |what: String| ConfigError::File { path: path.to_owned(), what };
        let length = std::fs::metadata(path).map_err(|e| error(format!("{e}; check the path")))?.len();
        if length > FILE_BYTES_MAX {
            return Err(error(format!("it has {length} bytes and may have {FILE_BYTES_MAX}; shorten it")));
        }
        let text = std::fs::read_to_string(path).map_err(|e| error(format!("{e}; check the path")))?;
        toml::from_str(&text).map_err(|e| {
            let line = e.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            let what = e.message().lines().collect::<Vec<_>>().join(" ");
            let what = what.split(", expected one of").next().unwrap_or_default();
            error(format!("line {line}: {what}; `ringtalk --help` tells the options"))
        })
    }

    /// Where the node's admin socket is.
    pub fn admin_socket(&self) -> PathBuf {
        self.admin_socket.clone().unwrap_or_else(|| self.data().join("admin.sock"))
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(|| PathBuf::from("data"))
    }

    /// These options, and those of `below` where these say nothing.
    pub fn over(self, below: Self) -> Self {
        let list = |above: Vec<String>, below: Vec<String>| if above.is_empty() { below } else { above };
        Self {
            data: self.data.or(below.data),
            listen: list(self.listen, below.listen),
            listen_plain: list(self.listen_plain, below.listen_plain),
            advertise: list(self.advertise, below.advertise),
            cert: self.cert.or(below.cert),
            key: self.key.or(below.key),
            cores: self.cores.or(below.cores),
            shards: self.shards.or(below.shards),
            store_shards: self.store_shards.or(below.store_shards),
            register: self.register.or(below.register),
            contacts: self.contacts.or(below.contacts),
            strangers: self.strangers.or(below.strangers),
            placement: self.placement.or(below.placement),
            placement_bound: self.placement_bound.or(below.placement_bound),
            sessions: self.sessions.or(below.sessions),
            idle_desktop: self.idle_desktop.or(below.idle_desktop),
            idle_mobile: self.idle_mobile.or(below.idle_mobile),
            idle_web: self.idle_web.or(below.idle_web),
            idle_bot: self.idle_bot.or(below.idle_bot),
            login_timeout: self.login_timeout.or(below.login_timeout),
            ticket_lifetime: self.ticket_lifetime.or(below.ticket_lifetime),
            code_lifetime: self.code_lifetime.or(below.code_lifetime),
            recall_time: self.recall_time.or(below.recall_time),
            name_reserved: self.name_reserved.or(below.name_reserved),
            reconnect_delay: self.reconnect_delay.or(below.reconnect_delay),
            iterations: self.iterations.or(below.iterations),
            connections_max: self.connections_max.or(below.connections_max),
            connections_per_address: self.connections_per_address.or(below.connections_per_address),
            unauthenticated_max: self.unauthenticated_max.or(below.unauthenticated_max),
            rate_logins: self.rate_logins.or(below.rate_logins),
            rate_messages: self.rate_messages.or(below.rate_messages),
            rate_queries: self.rate_queries.or(below.rate_queries),
            rate_light: self.rate_light.or(below.rate_light),
            free_floor: self.free_floor.or(below.free_floor),
            cache: self.cache.or(below.cache),
            write_buffer: self.write_buffer.or(below.write_buffer),
            read_threads: self.read_threads.or(below.read_threads),
            admin_socket: self.admin_socket.or(below.admin_socket),
            admin_http: self.admin_http.or(below.admin_http),
            stop_timeout: self.stop_timeout.or(below.stop_timeout),
            log: self.log.or(below.log),
        }
    }
}

impl Config {
    /// Checks the options. `allowed` are the processors this process may use, ascending.
    pub fn new(options: Options, allowed: &[usize]) -> Result<Self, ConfigError> {
        let (data, admin_socket) = (options.data(), options.admin_socket());
        let listen_plain = addresses("listen-plain", &options.listen_plain)?;
        let listen_tls = if options.listen.is_empty() && listen_plain.is_empty() {
            vec![LISTEN_DEFAULT.parse().expect("a constant")]
        } else {
            addresses("listen", &options.listen)?
        };
        no_repeats(&listen_tls, &listen_plain)?;
        let loopback = listen_tls.iter().chain(&listen_plain).all(|address| address.ip().is_loopback());
        let register = options.register.unwrap_or(if loopback { Register::Open } else { Register::Closed });
        let executors = executors(options.cores, options.shards, allowed)?;
        let store_shards_if_new = store_shards(options.store_shards, executors.len())?;
        let seconds = |option, value| Ok(Duration::from_secs(bounds::of(option).check(value)?));
        let small = |option, value| Ok(bounds::of(option).check(value)? as u32);
        let mib = |option, value| Ok(bounds::of(option).check(value)? << 20);
        Ok(Self {
            admin_socket,
            admin_http: AdminHttp::parse(options.admin_http.as_deref())?,
            data,
            listen_tls,
            listen_plain,
            advertise: advertised(options.advertise)?,
            certificate: certificate(options.cert, options.key)?,
            executors,
            store_shards_if_new,
            register,
            contacts: options.contacts.unwrap_or(Contacts::Required),
            strangers: options.strangers.unwrap_or(Strangers::Silent),
            placement: options.placement.unwrap_or(Placement::Home),
            placement_bound_percent: small("placement-bound", options.placement_bound)?,
            sessions: options.sessions.unwrap_or(Sessions::Any),
            idle_desktop: seconds("idle-desktop", options.idle_desktop)?,
            idle_mobile: seconds("idle-mobile", options.idle_mobile)?,
            idle_web: seconds("idle-web", options.idle_web)?,
            idle_bot: seconds("idle-bot", options.idle_bot)?,
            login_timeout: seconds("login-timeout", options.login_timeout)?,
            ticket_lifetime: seconds("ticket-lifetime", options.ticket_lifetime)? * 3600,
            code_lifetime: seconds("code-lifetime", options.code_lifetime)? * 3600,
            recall_time: seconds("recall-time", options.recall_time)?,
            name_reserved: seconds("name-reserved", options.name_reserved)? * 86_400,
            reconnect_delay_max: Duration::from_millis(
                bounds::of("reconnect-delay").check(options.reconnect_delay)?,
            ),
            iterations: small("iterations", options.iterations)?,
            connections_max: small("connections-max", options.connections_max)?,
            connections_per_address_max: small("connections-per-address", options.connections_per_address)?,
            unauthenticated_max: small("unauthenticated-max", options.unauthenticated_max)?,
            logins_per_second: small("rate-logins", options.rate_logins)?,
            messages_per_second: small("rate-messages", options.rate_messages)?,
            queries_per_second: small("rate-queries", options.rate_queries)?,
            light_per_second: small("rate-light", options.rate_light)?,
            free_floor_bytes: mib("free-floor", options.free_floor)?,
            cache_bytes: mib("cache", options.cache)?,
            write_buffer_bytes: mib("write-buffer", options.write_buffer)?,
            read_threads: bounds::of("read-threads").check(options.read_threads)? as usize,
            stop_timeout: seconds("stop-timeout", options.stop_timeout)?,
            log: log_filter(options.log)?,
        })
    }

    pub fn shards(&self) -> u16 {
        u16::try_from(self.executors.len()).expect("bounded by `shards`")
    }
}

fn addresses(option: &'static str, given: &[String]) -> Result<Vec<SocketAddr>, ConfigError> {
    if given.len() > ADDRESSES_MAX {
        return Err(ConfigError::value(
            option,
            given.len(),
            format!("give at most {ADDRESSES_MAX} addresses"),
        ));
    }
    let parse = |text: &String| {
        text.parse().map_err(|_| {
            ConfigError::value(
                option,
                text,
                "write an IP address and a port, such as 127.0.0.1:7470 or [::]:7470",
            )
        })
    };
    given.iter().map(parse).collect()
}

fn no_repeats(tls: &[SocketAddr], plain: &[SocketAddr]) -> Result<(), ConfigError> {
    let named = tls.iter().map(|address| ("listen", address));
    let all: Vec<_> = named.chain(plain.iter().map(|address| ("listen-plain", address))).collect();
    for (index, (option, address)) in all.iter().enumerate() {
        if address.port() != 0 && all[..index].iter().any(|(_, earlier)| earlier == address) {
            return Err(ConfigError::value(option, address, "it is given twice; leave one"));
        }
    }
    Ok(())
}

fn advertised(given: Vec<String>) -> Result<Vec<String>, ConfigError> {
    if given.len() > ADDRESSES_MAX {
        let mend = format!("give at most {ADDRESSES_MAX} addresses");
        return Err(ConfigError::value("advertise", given.len(), mend));
    }
    for text in &given {
        let parts = text.rsplit_once(':');
        let good = parts.is_some_and(|(host, port)| {
            !host.is_empty() && host.len() <= 253 && port.parse::<u16>().is_ok_and(|port| port != 0)
        });
        if !good {
            let mend = "write a host and a port, such as chat.example.org:7470";
            return Err(ConfigError::value("advertise", text, mend));
        }
    }
    Ok(given)
}

fn certificate(
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
) -> Result<Option<(PathBuf, PathBuf)>, ConfigError> {
    match (cert, key) {
        (Some(cert), Some(key)) => Ok(Some((cert, key))),
        (None, None) => Ok(None),
        (Some(cert), None) => {
            Err(ConfigError::value("cert", cert.display(), "it needs its private key; add --key FILE"))
        }
        (None, Some(key)) => {
            Err(ConfigError::value("key", key.display(), "it needs its certificate; add --cert FILE"))
        }
    }
}

fn executors(
    cores: Option<String>,
    shards: Option<u64>,
    allowed: &[usize],
) -> Result<Vec<Executor>, ConfigError> {
    if let (Some(_), Some(shards)) = (&cores, shards) {
        return Err(ConfigError::value("shards", shards, "it replaces --cores; give one of the two"));
    }
    let most = usize::from(SHARDS_MAX);
    if let Some(shards) = shards {
        let shards = bounds::of("shards").check(Some(shards))?;
        return Ok(vec![Executor::Anywhere; shards as usize]);
    }
    let wanted = match cores {
        None => allowed[..allowed.len().min(most)].to_vec(),
        Some(text) => {
            let list: CoreList = text.parse().map_err(|mend| ConfigError::value("cores", &text, mend))?;
            if let Some(core) = list.0.iter().find(|core| !allowed.contains(core)) {
                let mend =
                    format!("this process may not use processor {core}, only {}", CoreList(allowed.to_vec()));
                return Err(ConfigError::value("cores", &text, mend));
            }
            if list.0.len() > most {
                return Err(ConfigError::value("cores", &text, format!("give at most {most} processors")));
            }
            list.0
        }
    };
    assert!(!wanted.is_empty(), "a process always has a processor");
    Ok(wanted.into_iter().map(Executor::Pinned).collect())
}

fn store_shards(given: Option<u64>, executors: usize) -> Result<u16, ConfigError> {
    match given {
        None => {
            let most = STORE_SHARDS_MAX as usize;
            Ok((executors * 2).next_power_of_two().min(most) as u16)
        }
        Some(count) if count.is_power_of_two() && count <= u64::from(STORE_SHARDS_MAX) => Ok(count as u16),
        Some(count) => {
            let mend = format!("give a power of two from 1 to {STORE_SHARDS_MAX}");
            Err(ConfigError::value("store-shards", count, mend))
        }
    }
}

fn log_filter(given: Option<String>) -> Result<String, ConfigError> {
    let text = given.unwrap_or_else(|| "info".to_owned());
    match tracing_subscriber::EnvFilter::try_new(&text) {
        Ok(_) => Ok(text),
        Err(e) => {
            Err(ConfigError::value("log", text, format!("{e}; give error, warn, info, debug or trace")))
        }
    }
}

#[cfg(test)]
mod tests;
