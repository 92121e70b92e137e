//! The one place where a node is put together: configuration, data folder, keys, certificate, listeners, cores, admin
//! socket and HTTP. And where it waits for its end.

mod banner;
mod halt;
mod parts;

use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use shard::Ownership;
use store::Store;

pub use halt::Halt;
use halt::Wake;

use crate::admin::http::{HttpListener, HttpServer, Monitor};
use crate::admin::{AdminListener, AdminServer, Desk, Replies, Status};
use crate::cli::{EXIT_BROKEN, EXIT_STOP_UNFINISHED, Failure};
use crate::config::{AdminHttp, Config, Register};
use crate::keys::NodeKeys;
use crate::machine;
use crate::metrics::{Metrics, Scraper};
use crate::ring::{self, Cores, Identity, ListenAddress};
use crate::serve::ShardRemote;

/// How often the main thread looks after the store.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Of the time for a stop, what closing the store gets at least.
const CLOSE_MIN: Duration = Duration::from_secs(1);

/// Starts a node and serves until it is told to stop or cannot go on.
pub fn run(config: Config) -> Result<ExitCode, Failure> {
    log_to_standard_error(&config.log);
    halt::end_on_panic();
    let (halt, wakes) = Halt::new();
    halt::watch_signals(&halt).map_err(|e| Failure::new(format!("no signals can be waited for: {e}")))?;
    let http = admin_http(config.admin_http)?;
    let node = Node::start(&config, &halt, http)?;
    node.serve(&config, &wakes)
}

fn log_to_standard_error(filter: &str) {
    // A level alone is meant for the node; what its storage engine tells is for those who ask for it by name. A merge of
    // tables that fails is told by the store, and one that is given up at a stop is no failure.
    let quiet = if filter.contains(['=', ',']) {
        ""
    } else {
        ",fjall=warn,lsm_tree=warn,lsm_tree::compaction::worker=off"
    };
    let filter = tracing_subscriber::EnvFilter::try_new(format!("{filter}{quiet}"));
    let filter = filter.expect("checked with the configuration");
    let output = std::io::stderr;
    // Where the lines cannot be written, nobody reads that they cannot: it would end the thread that has something to say.
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(output().is_terminal())
        .log_internal_errors(false);
    // Already set only where a test runs several nodes in one process.
    let _ = log.with_writer(output).try_init();
}

/// A running node.
struct Node {
    store: Arc<Store>,
    remotes: Vec<Arc<ShardRemote>>,
    admin: AdminServer,
    http: Option<Http>,
    /// Batches refused for want of space so far, as last seen.
    full_seen: u64,
}

impl Node {
    fn start(config: &Config, halt: &Halt, http: Option<Http>) -> Result<Self, Failure> {
        let descriptors = machine::raise_descriptors_max();
        let shards = config.shards();
        let remotes = parts::remotes(shards).map_err(|e| {
            Failure::new(format!(
                "no event counters can be made: {e}; raise the limit of open files (ulimit -n)"
            ))
        })?;
        let store = parts::open_store(config, &remotes, halt).map_err(Failure::new)?;
        let started = Self::start_on(config, halt, descriptors, &remotes, &store, http.as_ref());
        if started.is_err() {
            // Nothing was served; the folder is left as it was found.
            let _ = store.close(config.stop_timeout);
        }
        started.map(|admin| Self { store, remotes, admin, http, full_seen: 0 })
    }

    /// Everything that needs the data folder.
    fn start_on(
        config: &Config,
        halt: &Halt,
        descriptors: u64,
        remotes: &[Arc<ShardRemote>],
        store: &Arc<Store>,
        http: Option<&Http>,
    ) -> Result<AdminServer, Failure> {
        let keys =
            NodeKeys::load(&config.data, parts::unix_ms(), config.ticket_lifetime).map_err(Failure::new)?;
        let identity = identity(config)?;
        let addresses = listen_addresses(config, identity.as_ref());
        let listeners = ring::bind(&addresses, config.executors.len()).map_err(|e| not_bound(&e))?;
        let bound = |tls: bool| -> Vec<SocketAddr> {
            listeners[0].iter().filter(|l| l.identity.is_some() == tls).map(|l| l.address).collect()
        };
        let (listen_tls, listen_plain) = (bound(true), bound(false));
        let admin = AdminListener::bind(&config.admin_socket).map_err(Failure::new)?;
        let ownership = Arc::new(Ownership::new(config.shards(), store.store_shards()));
        let replies = Arc::new(Replies::default());
        let fingerprint = identity.as_ref().map(|identity| identity.fingerprint_text());
        let address = http.map(|http| http.address);
        let status = status(config, store, &listen_tls, &listen_plain, address, fingerprint.clone());
        let reached = Arc::new(parts::Reached(remotes.to_vec()));
        let scraper = Scraper::new(reached.clone(), replies.clone(), config.shards());
        let cores = parts::cores(parts::CoreParts {
            config,
            keys: &keys,
            descriptors,
            ownership: ownership.clone(),
            store,
            remotes,
            replies: replies.clone(),
            halt,
            listeners,
        });
        let cores = Cores::start(cores).map_err(|e| {
            Failure::new(format!(
                "{e}; a node needs Linux 6.1 or later with io_uring allowed and enough locked memory"
            ))
        })?;
        wait_for_cores(cores, halt);
        let metrics = Arc::new(Metrics::new(scraper, store.clone()));
        let desk = Desk::new(reached, replies, ownership, status, metrics.clone());
        let admin = AdminServer::start(admin, desk).map_err(Failure::new)?;
        if let Some(http) = http {
            http.monitor.serving(metrics);
        }
        warn_of_risks(config);
        banner::print(&banner::Started {
            config,
            store_shards: store.store_shards(),
            listen_tls: &listen_tls,
            listen_plain: &listen_plain,
            admin_http: address,
            fingerprint: fingerprint.as_deref(),
        });
        Ok(admin)
    }

    /// Waits until somebody tells the node to stop, or it cannot go on.
    fn serve(mut self, config: &Config, wakes: &Receiver<Wake>) -> Result<ExitCode, Failure> {
        loop {
            match wakes.recv_timeout(LOOK_EVERY) {
                Ok(Wake::Asked) => return self.stop(config, wakes),
                Ok(Wake::Fatal(reason)) => return Err(broken(&reason)),
                Ok(Wake::CoresEnded(_)) => return Err(broken("its cores ended by themselves")),
                Err(RecvTimeoutError::Timeout) => self.look_after_store()?,
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(broken("nothing is left that could wake it"));
                }
            }
        }
    }

    /// A store can fail while nothing is being written, and it can run out of space.
    fn look_after_store(&mut self) -> Result<(), Failure> {
        if let Some(reason) = self.store.poisoned() {
            return Err(broken(&reason));
        }
        let full: u64 = self.store.stats().shards.iter().map(|shard| shard.full).sum();
        if full > self.full_seen {
            tracing::warn!(
                batches = full - self.full_seen,
                "free space is below the floor: writes are refused and reads go on; make room or lower --free-floor"
            );
        }
        self.full_seen = full;
        Ok(())
    }

    /// Clients are told to move, what is in flight is committed, everything is closed.
    fn stop(self, config: &Config, wakes: &Receiver<Wake>) -> Result<ExitCode, Failure> {
        let until = Instant::now() + config.stop_timeout;
        tracing::info!(seconds_max = config.stop_timeout.as_secs(), "stopping");
        if let Some(http) = &self.http {
            http.monitor.stopping();
        }
        self.remotes.iter().for_each(|remote| remote.stop());
        let unfinished = |what: &str| Failure {
            code: EXIT_STOP_UNFINISHED,
            what: format!(
                "stopped before {what}; nothing acknowledged is lost: give it more time with --stop-timeout"
            ),
        };
        let counters = loop {
            match wakes.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Wake::CoresEnded(counters)) => break counters,
                Ok(Wake::Fatal(reason)) => return Err(broken(&reason)),
                Ok(Wake::Asked) => {}
                Err(_) => return Err(unfinished("all cores had ended")),
            }
        };
        self.admin.stop();
        let left = until.saturating_duration_since(Instant::now()).max(CLOSE_MIN);
        self.store.close(left).map_err(|e| unfinished(&format!("the store was closed ({e})")))?;
        if let Some(reason) = self.store.poisoned() {
            return Err(broken(&reason));
        }
        if let Some(http) = self.http {
            http.server.stop();
        }
        let accepted: u64 = counters.iter().map(|core| core.accepted).sum();
        tracing::info!(connections = accepted, "stopped");
        Ok(ExitCode::SUCCESS)
    }
}

fn broken(reason: &str) -> Failure {
    Failure {
        code: EXIT_BROKEN,
        what: format!(
            "the node cannot go on: {}; nothing acknowledged is lost: mend the cause, then start it again",
            reason.lines().collect::<Vec<_>>().join(" ")
        ),
    }
}

/// Figures over HTTP, from before the store is open.
struct Http {
    address: SocketAddr,
    monitor: Arc<Monitor>,
    server: HttpServer,
}

/// `None`: it is switched off, or its default address is taken.
fn admin_http(wanted: AdminHttp) -> Result<Option<Http>, Failure> {
    let address = match wanted {
        AdminHttp::Off => return Ok(None),
        AdminHttp::Default(address) | AdminHttp::At(address) => address,
    };
    let listener = match HttpListener::bind(address) {
        Ok(listener) => listener,
        Err(error) if matches!(wanted, AdminHttp::Default(_)) => {
            tracing::warn!(%address, %error, "no figures over HTTP: give another address with --admin-http, or off");
            return Ok(None);
        }
        Err(error) => {
            let what =
                format!("cannot listen on {address} for HTTP: {error}; give another --admin-http, or off");
            return Err(Failure::new(what));
        }
    };
    let (address, monitor) = (listener.address, Arc::new(Monitor::default()));
    let server = HttpServer::start(listener, monitor.clone()).map_err(|error| {
        Failure::new(format!("no HTTP can be served on {address}: {error}; give --admin-http off"))
    })?;
    Ok(Some(Http { address, monitor, server }))
}

fn wait_for_cores(cores: Cores, halt: &Halt) {
    let sender = halt.0.clone();
    let waiter = move || {
        let _ = sender.send(Wake::CoresEnded(cores.join()));
    };
    thread::Builder::new().name("cores".into()).spawn(waiter).expect("a thread can be made at start");
}

/// `None` if nothing needs a certificate.
fn identity(config: &Config) -> Result<Option<Arc<Identity>>, Failure> {
    if config.listen_tls.is_empty() {
        return Ok(None);
    }
    let identity = match &config.certificate {
        Some((certificate, key)) => Identity::load(certificate, key)
            .map_err(|e| Failure::new(format!("{e}; check --cert and --key")))?,
        None => Identity::self_made(&config.data, certificate_names(config)).map_err(|e| {
            Failure::new(format!(
                "{e}; move the certificate files out of the data folder to have new ones made"
            ))
        })?,
    };
    Ok(Some(Arc::new(identity)))
}

fn not_bound(error: &ring::ListenError) -> Failure {
    let mend = match error.source.kind() {
        io::ErrorKind::AddrInUse => "stop what uses it",
        io::ErrorKind::AddrNotAvailable => "this machine does not have this address",
        io::ErrorKind::PermissionDenied => "ports below 1024 need more rights",
        _ => "check the address",
    };
    Failure::new(format!("{error}; {mend}, or give another --listen or --listen-plain"))
}

/// For which a self-made certificate is valid. Clients pin it, so the names matter only to other tools.
fn certificate_names(config: &Config) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let listened = config.listen_tls.iter().map(SocketAddr::ip).filter(|ip| !ip.is_unspecified());
    names.extend(listened.map(|ip| ip.to_string()));
    let hosts = config.advertise.iter().filter_map(|address| address.rsplit_once(':'));
    names.extend(hosts.map(|(host, _)| host.trim_matches(['[', ']']).to_owned()));
    names.sort();
    names.dedup();
    names
}

fn listen_addresses(config: &Config, identity: Option<&Arc<Identity>>) -> Vec<ListenAddress> {
    let tls = config.listen_tls.iter().map(|address| (address, identity.cloned()));
    let plain = config.listen_plain.iter().map(|address| (address, None));
    tls.chain(plain).map(|(address, identity)| ListenAddress { address: *address, identity }).collect()
}

fn status(
    config: &Config,
    store: &Store,
    listen_tls: &[SocketAddr],
    listen_plain: &[SocketAddr],
    admin_http: Option<SocketAddr>,
    fingerprint: Option<String>,
) -> Status {
    let text = |addresses: &[SocketAddr]| addresses.iter().map(SocketAddr::to_string).collect();
    Status {
        version: env!("CARGO_PKG_VERSION").into(),
        process: std::process::id(),
        shards: config.shards(),
        store_shards: store.store_shards(),
        listen: text(listen_tls),
        listen_plain: text(listen_plain),
        admin_http: admin_http.map(|address| address.to_string()),
        fingerprint,
        iterations: config.iterations,
        registration_open: config.register == Register::Open,
    }
}

/// What an operator may not have meant.
fn warn_of_risks(config: &Config) {
    for address in config.listen_plain.iter().filter(|address| !address.ip().is_loopback()) {
        tracing::warn!(%address, "nothing on this address is encrypted");
    }
    if let AdminHttp::At(address) = config.admin_http
        && !address.ip().is_loopback()
    {
        tracing::warn!(%address, "everyone who reaches this address can read the figures of the node");
    }
    let processors = machine::allowed_processors().len();
    if config.executors.len() > processors {
        tracing::warn!(
            executors = config.executors.len(),
            processors,
            "more executors than processors: slower"
        );
    }
    if config.executors.len() < processors && config.executors.len() == usize::from(crate::config::SHARDS_MAX)
    {
        tracing::warn!(executors = config.executors.len(), processors, "some processors are left unused");
    }
}
