//! The parts of a node, made from its configuration.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU16;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use shard::admin::AdminRequest;
use shard::config::{ContactPolicy, IdleTimes, PlacementPolicy, SessionPolicy, StrangerPolicy};
use shard::limits::{DELIVERY_CREDITS, LOADS_IN_FLIGHT_MAX};
use shard::{Ownership, limits};
use store::{OpenError, STORE_SHARDS_MAX, Store, StoreAnswer, StoreOptions};

use super::Halt;
use crate::admin::{self, Replies, Shards};
use crate::config::{self, Config, Contacts, Executor, Placement, Register, Sessions, Strangers};
use crate::entropy::entropy;
use crate::keys::NodeKeys;
use crate::mesh;
use crate::ring::{Core, Limits, Listener, Pin};
use crate::serve::{self, ShardDriver, ShardForeign, ShardParts, ShardRemote};

/// Items from other threads that one core has not taken. It is never full, since each of these is awaited:
const FOREIGN_MAX: usize = LOADS_IN_FLIGHT_MAX // answers to loads
    + STORE_SHARDS_MAX as usize // answers to commits: one batch in flight per store shard, one item per answer at most
    + admin::CONNECTIONS_MAX * 2 // requests of the operator; one that was given up may still be here
    + 1; // a request for figures

/// Descriptors that are not connections: table files and journals of the store, rings, logs.
const DESCRIPTORS_KEPT: u64 = 4_500;

pub(super) fn remotes(shards: u16) -> io::Result<Vec<Arc<ShardRemote>>> {
    (0..shards).map(|_| ShardRemote::new(FOREIGN_MAX).map(Arc::new)).collect()
}

pub(super) fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn open_store(
    config: &Config,
    remotes: &[Arc<ShardRemote>],
    halt: &Halt,
) -> Result<Arc<Store>, OpenError> {
    let mut options = StoreOptions::new(&config.data);
    options.store_shards_if_new = config.store_shards_if_new;
    options.free_floor_bytes = config.free_floor_bytes;
    options.cache_bytes = config.cache_bytes;
    options.write_buffer_bytes = config.write_buffer_bytes;
    options.read_threads = config.read_threads;
    options.placement = store_placement(&config.executors);
    let (remotes, halt) = (remotes.to_vec(), halt.clone());
    let answers = move |shard: u16, answers: Vec<StoreAnswer>| {
        if remotes[usize::from(shard)].push(ShardForeign::Store(answers)).is_err() {
            halt.fatal(format!("shard {shard} has more than {FOREIGN_MAX} answers waiting, which cannot be"));
        }
    };
    Store::open(options, Arc::new(answers)).map(Arc::new)
}

/// The store's threads run on the processors of the cores: their time is the node's.
fn store_placement(executors: &[Executor]) -> store::Placement {
    let pinned = executors.iter().map(|executor| match executor {
        Executor::Pinned(processor) => Some(*processor),
        Executor::Anywhere => None,
    });
    pinned.collect::<Option<_>>().map_or(store::Placement::Anywhere, store::Placement::Within)
}

/// Requests of the admin socket on their way to the cores.
pub(super) struct Reached(pub Vec<Arc<ShardRemote>>);

impl Shards for Reached {
    fn submit(&self, shard: u16, token: u64, request: AdminRequest) -> bool {
        self.0[usize::from(shard)].push(ShardForeign::Admin { token, request }).is_ok()
    }
}

/// What the cores are made from.
pub(super) struct CoreParts<'a> {
    pub config: &'a Config,
    pub keys: &'a NodeKeys,
    /// Open files this process may have.
    pub descriptors: u64,
    pub ownership: Arc<Ownership>,
    pub store: &'a Arc<Store>,
    pub remotes: &'a [Arc<ShardRemote>],
    pub replies: Arc<Replies>,
    pub halt: &'a Halt,
    /// By core.
    pub listeners: Vec<Vec<Listener>>,
}

pub(super) fn cores(parts: CoreParts) -> Vec<Core<ShardDriver>> {
    let config = Arc::new(shard_config(parts.config, parts.keys, parts.store.term()));
    let limits = ring_limits(parts.config, parts.descriptors);
    let doorbells: Vec<_> = parts.remotes.iter().map(|remote| remote.doorbell().clone()).collect();
    let ends = mesh::ends(&doorbells, serve::LANE_CAPACITIES);
    let stopped = Arc::new(AtomicU16::new(0));
    let made = parts.config.executors.iter().zip(parts.listeners).zip(ends).zip(parts.remotes).enumerate();
    made.map(|(index, (((executor, listeners), ends), remote))| {
        let shard_parts = ShardParts {
            index: u16::try_from(index).expect("bounded by the configuration"),
            config: config.clone(),
            ownership: parts.ownership.clone(),
            seed: entropy(),
            store: parts.store.clone(),
            replies: parts.replies.clone(),
            halt: parts.halt.clone(),
            stopped: stopped.clone(),
        };
        Core {
            pin: match executor {
                Executor::Pinned(processor) => Pin::Cpu(*processor),
                Executor::Anywhere => Pin::Anywhere,
            },
            limits: limits.clone(),
            listeners,
            ends,
            remote: remote.clone(),
            driver: Box::new(move || ShardDriver::new(shard_parts)),
        }
    })
    .collect()
}

fn shard_config(config: &Config, keys: &NodeKeys, term: u64) -> shard::Config {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).expect("bounded by the configuration");
    shard::Config {
        term,
        software: concat!("ringtalk ", env!("CARGO_PKG_VERSION")).into(),
        addresses: config.advertise.clone(),
        registration_open: config.register == Register::Open,
        scram_iterations: config.iterations,
        fake_salt_secret: keys.fake_salt_secret(),
        ticket_keys: keys.ticket_keys(),
        ticket_ms: ms(config.ticket_lifetime),
        code_ms: ms(config.code_lifetime),
        recall_ms: ms(config.recall_time),
        name_reserved_ms: ms(config.name_reserved),
        placement: match config.placement {
            Placement::Home => PlacementPolicy::Home,
            Placement::LeastLoaded => PlacementPolicy::LeastLoaded,
        },
        placement_excess_percent: config.placement_bound_percent,
        login_ms_max: ms(config.login_timeout),
        idle: IdleTimes {
            desktop_ms: ms(config.idle_desktop),
            mobile_ms: ms(config.idle_mobile),
            web_ms: ms(config.idle_web),
            bot_ms: ms(config.idle_bot),
        },
        sessions: match config.sessions {
            Sessions::Any => SessionPolicy::Any,
            Sessions::OnePerClass => SessionPolicy::OnePerClass,
        },
        reconnect_ms_max: ms(config.reconnect_delay_max) as u32,
        connections_per_address_max: spread(config.connections_per_address_max, config.shards()),
        unauthenticated_max: spread(config.unauthenticated_max, config.shards()),
        messages_per_s_max: config.messages_per_second,
        queries_per_s_max: config.queries_per_second,
        light_per_s_max: config.light_per_second,
        logins_per_s_max: config.logins_per_second,
        contacts: match config.contacts {
            Contacts::Required => ContactPolicy::Required,
            Contacts::Open => ContactPolicy::Open,
        },
        strangers: match config.strangers {
            Strangers::Silent => StrangerPolicy::Silent,
            Strangers::Refuse => StrangerPolicy::Refuse,
        },
        delivery_credits: DELIVERY_CREDITS,
        ephemeral: shard::config::EphemeralBounds::default(),
    }
}

/// Each shard keeps to its share of a limit. The kernel spreads connections over the cores by chance, so the shares add
/// up to more than the limit: as much more as keeps chance from refusing what is below it.
fn spread(limit: u32, shards: u16) -> u32 {
    if shards == 1 {
        return limit;
    }
    let share = limit.div_ceil(u32::from(shards));
    (share + 4 * share.isqrt() + 2) * u32::from(shards)
}

/// A core gets its part of the connections and a quarter more: sessions are not spread exactly evenly.
fn ring_limits(config: &Config, descriptors: u64) -> Limits {
    let kept = DESCRIPTORS_KEPT.min(descriptors / 2);
    let possible = (descriptors - kept).min(limits::CONNECTIONS_MAX as u64);
    let wanted = u64::from(config.connections_max);
    if wanted > possible && wanted != config::default_of("connections-max") {
        let hint = "raise the limit of open files (ulimit -n) or lower --connections-max";
        tracing::warn!(wanted, possible, hint, "fewer connections than configured are possible");
    }
    let shards = u64::from(config.shards());
    let each = wanted.min(possible).div_ceil(shards);
    let each = if shards > 1 { each + each.div_ceil(4) } else { each };
    Limits {
        connections_max: each as usize,
        frame_bytes_max: wire::limits::FRAME_LEN_MAX_BEFORE_LOGIN as u32,
        handshakes_max: (spread(config.unauthenticated_max, config.shards()) / config.shards() as u32)
            as usize,
        handshakes_per_address_max: spread(config.connections_per_address_max, config.shards())
            / config.shards() as u32,
        handshake_max: config.login_timeout,
        stop_max: config.stop_timeout,
        ..Limits::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Options;

    #[test]
    fn connections_fit_the_descriptors() {
        let config = |shards, max| {
            let options = Options { shards: Some(shards), connections_max: Some(max), ..Options::default() };
            Config::new(options, &[0]).unwrap()
        };
        assert_eq!(ring_limits(&config(1, 1_000), 1 << 20).connections_max, 1_000);
        assert_eq!(ring_limits(&config(1, 100_000), 20_000).connections_max, 15_500);
        assert_eq!(ring_limits(&config(2, 1_000), 1 << 20).connections_max, 625);
        assert_eq!(ring_limits(&config(1, 1_000), 256).connections_max, 128);
    }

    #[test]
    fn a_spread_limit_is_a_little_more() {
        assert_eq!(spread(1_024, 1), 1_024);
        assert_eq!(spread(1_024, 2), 2 * (512 + 88 + 2));
        assert_eq!(spread(1, 64), 64 * 7);
        assert!(spread(1_000_000, 64) < 1_040_000);
    }

    #[test]
    fn the_store_stays_on_the_processors_of_the_cores() {
        let pinned = store_placement(&[Executor::Pinned(0), Executor::Pinned(4)]);
        assert_eq!(pinned, store::Placement::Within(vec![0, 4]));
        assert_eq!(store_placement(&[Executor::Anywhere; 2]), store::Placement::Anywhere);
    }
}
