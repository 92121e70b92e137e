//! How a core sleeps and is woken.
//!
//! Other threads ring its [`Doorbell`], which its socket ring reads: to the core that is one more completion. A core
//! that runs no tasks beside its main loop sleeps in the socket ring itself. With such tasks ([`Tasks`]) the executor
//! must be the one to sleep, so that it can run them: then the main loop awaits its [`Bell`], which the socket ring
//! writes to at a completion, or a knock of a task, or a deadline.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use glommio::Task;
use glommio::io::BufferedFile;
use glommio::timer::Timer;

/// How long a core may lie parked with a task ready to run.
const GUARD: Duration = Duration::from_millis(50);

/// Wakes the main loop of a core from a task of the same executor.
#[derive(Default)]
pub(super) struct Knock {
    knocked: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Knock {
    /// The main loop runs another turn.
    pub fn knock(&self) {
        self.knocked.set(true);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    fn take(&self) -> bool {
        self.knocked.replace(false)
    }
}

/// Tasks that run beside the main loop of a core, on its executor.
#[derive(Clone, Default)]
pub struct Tasks {
    running: Rc<Cell<usize>>,
    knock: Rc<Knock>,
}

impl Tasks {
    /// Runs a future on this core's executor; the main loop runs a turn when it is done. Tasks started in any other
    /// way may wait for ever.
    pub fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        self.running.set(self.running.get() + 1);
        let tasks = self.clone();
        let task = async move {
            future.await;
            tasks.running.set(tasks.running.get() - 1);
            tasks.knock.knock();
        };
        glommio::spawn_local(task).detach();
    }

    pub(super) fn are_running(&self) -> bool {
        self.running.get() > 0
    }

    pub(super) fn knock(&self) -> &Rc<Knock> {
        &self.knock
    }
}

/// Wakes a core from other threads, if it sleeps.
pub struct Doorbell {
    asleep: AtomicBool,
    counter: OwnedFd,
}

impl Doorbell {
    pub fn new() -> io::Result<Self> {
        Ok(Self { asleep: AtomicBool::new(false), counter: event_counter()? })
    }

    /// Call after storing what the core is to find.
    pub fn ring_if_asleep(&self) {
        fence(Ordering::SeqCst); // the core stores `asleep`, then looks for what is stored
        if self.asleep.swap(false, Ordering::AcqRel) {
            ring_counter(self.counter.as_raw_fd());
        }
    }

    /// From now on others ring. The core looks for work once more afterwards, and then sleeps.
    pub(super) fn fall_asleep(&self) {
        self.asleep.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
    }

    pub(super) fn wake_up(&self) {
        self.asleep.store(false, Ordering::Release);
    }

    /// What the core's ring reads.
    pub(super) fn counter(&self) -> RawFd {
        self.counter.as_raw_fd()
    }
}

/// A new counter of events for waking; reads of it block, so that the executor's ring waits for it.
fn event_counter() -> io::Result<OwnedFd> {
    // SAFETY: takes two integers and touches no memory.
    let counter = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    if counter < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(counter) })
}

/// Adds 1 to the counter; whoever reads it wakes.
fn ring_counter(counter: RawFd) {
    let one = 1u64.to_ne_bytes();
    // SAFETY: reads 8 bytes of a local array. It can only fail when the counter is full, and then it rings anyway.
    unsafe { libc::write(counter, one.as_ptr().cast(), one.len()) };
}

/// The sleep of a core.
///
/// A task of its own reads the counter and knocks. The main loop must not poll that read itself: the executor adds a
/// waker to the read at every poll, without bound, and a task whose wakers overflow kills the executor.
///
/// A second task only keeps a timer going. When an event hits the executor's latency ring at the wrong moment (its
/// preemption timer, or a late wake-up from another thread), it parks although tasks are ready to run, and lies there
/// until something else comes: then this timer. See also the preemption time in `cores.rs`.
pub(super) struct Bell {
    file: Rc<BufferedFile>,
    reading: Task<()>,
    guard: Task<()>,
    put_away: Rc<Cell<bool>>,
    timer: Option<(Instant, Timer)>,
}

impl Bell {
    /// Must run inside the executor.
    pub fn new(knock: Rc<Knock>) -> io::Result<Self> {
        let counter = event_counter()?;
        // SAFETY: the descriptor is owned and is given away.
        let file = Rc::new(unsafe { BufferedFile::from_raw_fd(counter.into_raw_fd()) });
        let put_away = Rc::new(Cell::new(false));
        let reading = glommio::spawn_local(read(file.clone(), knock, put_away.clone()));
        let guard = glommio::spawn_local(async {
            loop {
                Timer::new(GUARD).await;
            }
        });
        Ok(Self { file, reading, guard, put_away, timer: None })
    }

    /// What the socket ring writes to.
    pub fn counter(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Makes the next [`Bell::wait`] end after one pass of the executor's reactor.
    pub fn ring(&self) {
        ring_counter(self.file.as_raw_fd());
    }

    /// Sleeps until a knock or `until`.
    pub async fn wait(&mut self, knock: &Knock, until: Option<Instant>) {
        if let Some(until) = until {
            self.set_timer(until);
        }
        poll_fn(|context| {
            if knock.take() {
                return Poll::Ready(());
            }
            *knock.waker.borrow_mut() = Some(context.waker().clone());
            if until.is_some() { self.poll_timer(context) } else { Poll::Pending }
        })
        .await;
    }

    /// An earlier timer may stay: waking too early costs a turn, making a timer costs more.
    fn set_timer(&mut self, until: Instant) {
        if self.timer.as_ref().is_none_or(|(at, _)| *at > until) {
            self.timer = Some((until, Timer::new(until.saturating_duration_since(Instant::now()))));
        }
    }

    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some((_, timer)) = &mut self.timer else { return Poll::Pending };
        if Pin::new(timer).poll(context).is_pending() {
            return Poll::Pending;
        }
        self.timer = None;
        Poll::Ready(())
    }

    /// Ends the read in the kernel and closes the counter.
    pub async fn put_away(self) {
        self.put_away.set(true);
        self.ring();
        self.reading.await;
        self.guard.cancel().await;
        if let Ok(file) = Rc::try_unwrap(self.file) {
            let _ = file.close().await; // nothing depends on it any more
        }
    }
}

async fn read(file: Rc<BufferedFile>, knock: Rc<Knock>, put_away: Rc<Cell<bool>>) {
    while !put_away.get() {
        if let Err(error) = file.read_at(0, size_of::<u64>()).await {
            panic!("the bell of a core cannot be read: {error}");
        }
        knock.knock();
    }
}
