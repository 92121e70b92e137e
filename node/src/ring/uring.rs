//! The socket ring: the only file that touches submission and completion entries.
//!
//! One ring per core, made inside its executor (SINGLE_ISSUER: a call from another thread fails). Deferred task work:
//! completions appear only after [`Uring::enter`]. User data is a [`Token`], whose generation makes a completion that
//! comes after its slot was given to someone else harmless.

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use io_uring::squeue::{Entry, Flags};
use io_uring::{IoUring, cqueue, opcode, types};

use super::buffers::{Buffers, GROUP};
use super::limits::Limits;

/// Generations wrap here: 28 bits of the user data.
pub(super) const GENERATION_MASK: u32 = (1 << 28) - 1;

/// What a completion answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Accept,
    Receive,
    Send,
    Cancel,
    Doorbell,
}

impl Operation {
    const ALL: [Operation; 5] =
        [Operation::Accept, Operation::Receive, Operation::Send, Operation::Cancel, Operation::Doorbell];
}

/// User data: operation in 4 bits, generation in 28, index of a slot or listener in 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub operation: Operation,
    pub generation: u32,
    pub index: u32,
}

impl Token {
    fn pack(self) -> u64 {
        debug_assert!(self.generation <= GENERATION_MASK);
        (self.operation as u64) << 60 | (self.generation as u64) << 32 | self.index as u64
    }

    fn unpack(data: u64) -> Self {
        let operation = Operation::ALL[(data >> 60) as usize];
        Self { operation, generation: (data >> 32) as u32 & GENERATION_MASK, index: data as u32 }
    }
}

const DOORBELL: Token = Token { operation: Operation::Doorbell, generation: 0, index: 0 };

/// One completion, copied out of the queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Completion {
    pub token: Token,
    /// A count or descriptor, or a negated errno.
    pub result: i32,
    /// The provided buffer that came with it. It must be given back whatever the result is.
    pub buffer: Option<u16>,
    /// False: the request has left the kernel.
    pub more: bool,
}

/// The ring and the buffers it receives into.
pub(super) struct Uring {
    ring: IoUring,
    pub buffers: Buffers,
    /// Requests in the kernel. While it is not 0 no memory they use may be freed.
    outstanding: u32,
    /// Read from the core's doorbell; boxed, because the kernel writes to it.
    doorbell_value: Option<Box<u64>>,
    doorbell_armed: bool,
    /// Times a full submission queue forced a submit in between.
    pub submissions_full: u64,
}

impl Uring {
    /// Makes the ring. Must run on the thread that will use it.
    pub fn new(limits: &Limits) -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_coop_taskrun()
            .setup_taskrun_flag()
            .setup_defer_taskrun()
            .setup_cqsize(limits.completion_entries)
            .build(limits.submission_entries)?;
        let buffers = Buffers::new(limits.buffers, limits.buffer_bytes)?;
        // SAFETY: the buffer ring is page-aligned, has `limits.buffers` entries, and lives until after the ring:
        // `Drop` below leaks it while requests are outstanding, and otherwise the ring field is dropped first.
        unsafe {
            ring.submitter().register_buf_ring_with_flags(
                buffers.ring_address(),
                limits.buffers,
                GROUP,
                0,
            )?;
        }
        let doorbell_value = Some(Box::default());
        Ok(Self { ring, buffers, outstanding: 0, doorbell_value, doorbell_armed: false, submissions_full: 0 })
    }

    /// A ring of this doorbell becomes a completion. Does nothing while one is already waited for.
    pub fn arm_doorbell(&mut self, doorbell: RawFd) {
        let Some(value) = self.doorbell_value.as_mut().filter(|_| !self.doorbell_armed) else { return };
        let length = size_of::<u64>() as u32;
        let entry = opcode::Read::new(types::Fd(doorbell), (&raw mut **value).cast(), length).build();
        self.doorbell_armed = true;
        self.push(entry, DOORBELL);
    }

    /// Waits until nothing is in the kernel but a doorbell, and then takes that out. Only for the end.
    pub fn disarm_doorbell(&mut self) {
        if self.doorbell_armed {
            self.cancel(DOORBELL);
        }
        let mut last = Vec::new();
        while self.outstanding > 0 {
            self.wait(None);
            self.reap(&mut last, usize::MAX);
        }
    }

    /// Only the doorbell may be left in the kernel.
    pub fn is_quiet(&self) -> bool {
        self.outstanding == u32::from(self.doorbell_armed)
    }

    /// From now on new completions write to this eventfd while [`Uring::enable_bell`] is in force.
    pub fn register_bell(&mut self, bell: RawFd) -> io::Result<()> {
        self.ring.submitter().register_eventfd(bell)?;
        self.disable_bell();
        Ok(())
    }

    pub fn enable_bell(&mut self) {
        self.ring.completion().enable_eventfd();
    }

    pub fn disable_bell(&mut self) {
        self.ring.completion().disable_eventfd();
    }

    /// Accepts until cancelled or failed; each completion is a descriptor.
    pub fn accept(&mut self, listener: RawFd, token: Token) {
        let entry = opcode::AcceptMulti::new(types::Fd(listener)).flags(libc::SOCK_CLOEXEC).build();
        self.push(entry, token);
    }

    /// Receives once into a provided buffer.
    pub fn receive_once(&mut self, socket: RawFd, token: Token) {
        let length = self.buffers.buffer_bytes();
        let entry =
            opcode::Recv::new(types::Fd(socket), std::ptr::null_mut(), length).buf_group(GROUP).build();
        self.push(entry.flags(Flags::BUFFER_SELECT), token);
    }

    /// Receives into provided buffers until cancelled, failed, or the completion queue was full.
    pub fn receive_always(&mut self, socket: RawFd, token: Token) {
        self.push(opcode::RecvMulti::new(types::Fd(socket), GROUP).build(), token);
    }

    /// Sends one run of bytes; a short count is possible.
    ///
    /// # Safety
    /// `bytes` must stay where it is, unchanged, until the completion of `token` has been reaped.
    pub unsafe fn send(&mut self, socket: RawFd, token: Token, bytes: *const [u8]) {
        let length = u32::try_from(bytes.len()).expect("a flight is far below 4 GiB");
        let entry =
            opcode::Send::new(types::Fd(socket), bytes.cast(), length).flags(libc::MSG_NOSIGNAL).build();
        self.push(entry, token);
    }

    /// Sends several runs of bytes in one call; a short count is possible.
    ///
    /// # Safety
    /// The header, its vector and all bytes it points to must stay where they are, unchanged, until the completion
    /// of `token` has been reaped.
    pub unsafe fn send_gathered(&mut self, socket: RawFd, token: Token, header: *const libc::msghdr) {
        let entry = opcode::SendMsg::new(types::Fd(socket), header).flags(libc::MSG_NOSIGNAL as u32).build();
        self.push(entry, token);
    }

    /// Asks for the end of the request `of`; that request completes by itself, as does the cancel.
    pub fn cancel(&mut self, of: Token) {
        let entry = opcode::AsyncCancel::new(of.pack()).build();
        self.push(entry, Token { operation: Operation::Cancel, ..of });
    }

    fn push(&mut self, entry: Entry, token: Token) {
        let entry = entry.user_data(token.pack());
        self.outstanding += 1;
        loop {
            // SAFETY: entries are built in this file only; those with pointers come through the `unsafe` methods,
            // whose callers keep the memory until the completion. Receives use the registered buffers.
            if unsafe { self.ring.submission().push(&entry) }.is_ok() {
                return;
            }
            self.submissions_full += 1;
            self.enter();
        }
    }

    /// Submits what is queued and lets the kernel post what is finished. Does not wait.
    pub fn enter(&mut self) {
        let queued = self.ring.submission().len() as u32;
        let flags = io_uring::EnterFlags::GETEVENTS.bits();
        // SAFETY: no argument is passed; the flags ask for completions without waiting (minimum 0).
        let entered = unsafe { self.ring.submitter().enter::<libc::sigset_t>(queued, 0, flags, None) };
        tolerate(entered);
    }

    /// Submits what is queued and sleeps until something is finished, at most for `timeout`.
    pub fn wait(&mut self, timeout: Option<Duration>) {
        let time = timeout.map(types::Timespec::from);
        let arguments = types::SubmitArgs::new();
        let arguments = match &time {
            Some(time) => arguments.timespec(time),
            None => arguments,
        };
        tolerate(self.ring.submitter().submit_with_args(1, &arguments));
    }

    /// True when [`Uring::enter`] would do something.
    pub fn wants_enter(&mut self) -> bool {
        let submission = self.ring.submission();
        !submission.is_empty() || submission.taskrun() || submission.cq_overflow()
    }

    /// True when there is something to submit or to reap.
    ///
    /// The flag for work to run does not count: the kernel sets it after it has queued the work, and when
    /// [`Uring::enter`] comes in between, the flag stays with nothing behind it. What is really there ends
    /// [`Uring::wait`], and writes to the bell if that was enabled before the last [`Uring::enter`].
    pub fn has_work(&mut self) -> bool {
        let submission = self.ring.submission();
        let queued = !submission.is_empty() || submission.cq_overflow();
        drop(submission);
        queued || !self.ring.completion().is_empty()
    }

    /// Moves at most `budget` completions to `into`.
    pub fn reap(&mut self, into: &mut Vec<Completion>, budget: usize) {
        for entry in self.ring.completion().take(budget) {
            let (flags, token) = (entry.flags(), Token::unpack(entry.user_data()));
            let more = cqueue::more(flags);
            if !more {
                self.outstanding -= 1;
                self.doorbell_armed &= token != DOORBELL;
            }
            into.push(Completion {
                token,
                result: entry.result(),
                buffer: cqueue::buffer_select(flags),
                more,
            });
        }
    }
}

/// What may go wrong without harm: completions must be reaped first, a signal came, or the time is over.
fn tolerate(entered: io::Result<usize>) {
    match entered {
        Ok(_) => {}
        Err(error)
            if matches!(
                error.raw_os_error(),
                Some(libc::EBUSY | libc::EINTR | libc::EAGAIN | libc::ETIME)
            ) => {}
        Err(error) => panic!("the socket ring cannot be entered: {error}"),
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        if self.outstanding > 0 {
            // Only after a panic or a missed stop: the kernel may still write, so the memory is given up.
            self.buffers.leak();
            std::mem::forget(self.doorbell_value.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::bell::Doorbell;
    use super::*;

    #[test]
    fn a_flag_for_work_to_run_does_not_keep_awake_and_the_work_ends_a_wait() {
        let mut uring = Uring::new(&Limits::default()).expect("a ring");
        let doorbell = Doorbell::new().expect("an event counter");
        uring.arm_doorbell(doorbell.counter());
        uring.enter();
        assert!(!uring.wants_enter() && !uring.has_work());
        doorbell.fall_asleep();
        doorbell.ring_if_asleep();
        assert!(uring.wants_enter(), "the kernel says that there is work to run");
        assert!(!uring.has_work(), "the flag alone may be stale");
        uring.wait(None);
        let mut completions = Vec::new();
        uring.reap(&mut completions, 2);
        assert!(matches!(completions[..], [Completion { token: DOORBELL, more: false, .. }]));
        assert!(uring.is_quiet());
    }

    #[test]
    fn tokens_survive_the_round_trip() {
        for operation in Operation::ALL {
            for (generation, index) in [(0, 0), (GENERATION_MASK, u32::MAX), (5, 9)] {
                let token = Token { operation, generation, index };
                assert_eq!(Token::unpack(token.pack()), token);
            }
        }
    }
}
