//! Starts one executor per core, with its ring, its end of the mesh and its driver.

use std::io;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement};

use super::bell::{Bell, Tasks};
use super::close::Counters;
use super::connections::Connections;
use super::driver::{Driver, Io};
use super::limits::Limits;
use super::listen::Listener;
use super::remote::Remote;
use super::turn::Turn;
use super::uring::Uring;
use crate::mesh::Ends;

/// Far away on purpose. The main loop yields by itself in every turn, and a preemption timer that fires in the wrong
/// moment makes the executor park with tasks ready to run (the shorter it is, the likelier on a busy machine).
const PREEMPT: Duration = Duration::from_secs(10);
/// Memory that an executor registers for files; the default of 10 MiB is paid three times.
const FILE_MEMORY_BYTES: usize = 64 * 1024;

/// Where an executor runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pin {
    /// On this CPU, for itself.
    Cpu(usize),
    /// Anywhere: more executors than CPUs, for tests.
    Anywhere,
}

/// What one core is made of.
pub struct Core<D: Driver> {
    pub pin: Pin,
    pub limits: Limits,
    pub listeners: Vec<Listener>,
    pub ends: Ends<D::Item>,
    pub remote: Arc<Remote<D::Foreign>>,
    /// Makes the driver, on the core's own thread.
    pub driver: Box<dyn FnOnce() -> D + Send>,
}

/// A core could not start. Nothing runs then.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("core {shard} cannot start its executor: {reason}")]
    Executor { shard: usize, reason: String },
    #[error("core {shard} cannot make its socket ring: {source}")]
    Ring { shard: usize, source: io::Error },
}

/// The running cores.
pub struct Cores {
    handles: Vec<ExecutorJoinHandle<Option<Counters>>>,
}

impl Cores {
    /// Starts all cores; returns when each can accept, or none runs.
    pub fn start<D: Driver>(cores: Vec<Core<D>>) -> Result<Cores, StartError> {
        let count = cores.len();
        let (ready, readiness) = mpsc::channel();
        let (mut handles, mut gates, mut failed) = (Vec::new(), Vec::new(), None);
        for (shard, core) in cores.into_iter().enumerate() {
            let (gate, opens) = mpsc::channel::<()>();
            match spawn(shard, core, ready.clone(), opens) {
                Ok(handle) => {
                    handles.push(handle);
                    gates.push(gate);
                }
                Err(error) => {
                    failed = Some(StartError::Executor { shard, reason: error.to_string() });
                    break;
                }
            }
        }
        drop(ready);
        let mut started = 0;
        while failed.is_none() && started < count {
            match readiness.recv() {
                Ok(Ok(())) => started += 1,
                Ok(Err(error)) => failed = Some(error),
                // An executor ended before its first line: its handle says why.
                Err(mpsc::RecvError) => failed = Some(died(&mut handles)),
            }
        }
        if let Some(error) = failed {
            drop(gates); // the others see it and end
            for handle in handles {
                let _ = handle.join(); // the first failure is the one to tell
            }
            return Err(error);
        }
        for gate in gates {
            let _ = gate.send(()); // a core that died meanwhile shows at the join
        }
        Ok(Cores { handles })
    }

    /// Waits for all cores to end, after each [`Remote::stop`]. Panics of a core are passed on.
    pub fn join(self) -> Vec<Counters> {
        let join = |handle: ExecutorJoinHandle<Option<Counters>>| match handle.join() {
            Ok(counters) => counters.expect("a core that was let in has run"),
            Err(error) => panic!("a core failed: {error}"),
        };
        self.handles.into_iter().map(join).collect()
    }
}

fn died(handles: &mut Vec<ExecutorJoinHandle<Option<Counters>>>) -> StartError {
    for (shard, handle) in handles.drain(..).enumerate() {
        if let Err(error) = handle.join() {
            return StartError::Executor { shard, reason: error.to_string() };
        }
    }
    StartError::Executor { shard: 0, reason: "an executor ended at its start".into() }
}

type Ready = mpsc::Sender<Result<(), StartError>>;

fn spawn<D: Driver>(
    shard: usize,
    core: Core<D>,
    ready: Ready,
    opens: mpsc::Receiver<()>,
) -> glommio::Result<ExecutorJoinHandle<Option<Counters>>, ()> {
    let placement = match core.pin {
        Pin::Cpu(cpu) => Placement::Fixed(cpu),
        Pin::Anywhere => Placement::Unbound,
    };
    LocalExecutorBuilder::new(placement)
        .name(&format!("core-{shard}"))
        .preempt_timer(PREEMPT)
        .io_memory(FILE_MEMORY_BYTES)
        .spawn(move || run(shard, core, ready, opens))
}

async fn run<D: Driver>(
    shard: usize,
    core: Core<D>,
    ready: Ready,
    opens: mpsc::Receiver<()>,
) -> Option<Counters> {
    let tasks = Tasks::default();
    let (uring, bell) = match make_ring(&core, &tasks) {
        Ok(made) => made,
        Err(source) => {
            let _ = ready.send(Err(StartError::Ring { shard, source })); // the starter may have given up
            return None;
        }
    };
    let _ = ready.send(Ok(())); // as above
    drop(ready);
    if opens.recv().is_err() {
        bell.put_away().await;
        return None;
    }
    let mesh = core.ends.open();
    let connections = Connections::new(mesh.index(), core.limits);
    let io = Io { connections, mesh, tasks, now: Instant::now() };
    let turn = Turn::new((core.driver)(), io, uring, core.listeners, core.remote);
    Some(turn.run(bell).await)
}

fn make_ring<D: Driver>(core: &Core<D>, tasks: &Tasks) -> io::Result<(Uring, Bell)> {
    let mut uring = Uring::new(&core.limits)?;
    let bell = Bell::new(tasks.knock().clone())?;
    uring.register_bell(bell.counter())?;
    Ok((uring, bell))
}
