//! What a connection still has to say: a queue of frames and the one send that is in the kernel.
//!
//! An [`Output`] exists only while there is something to send; an idle connection owns none. Small frames are copied
//! into one run of bytes per turn, long ones are shared; while a send is stuck in the kernel small frames that can be
//! shared are shared too, so that a slow reader costs references and not copies.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;

use super::limits::Limits;

/// Bytes of one run of copied frames.
const RUN_BYTES_MAX: usize = 16 * 1024;
/// Runs of bytes in one gathered send.
const PIECES_PER_FLIGHT_MAX: usize = 64;
/// Emptied outputs kept for reuse by one core.
const SPARE_OUTPUTS_MAX: usize = 64;
/// Emptied runs kept for reuse by one core, each of at most [`RUN_BYTES_MAX`].
const SPARE_RUNS_MAX: usize = 128;

/// Which bound a frame counts against, and what happens when it is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// An answer or a word of the node: never dropped; too many close the connection.
    Reply,
    /// A hint that can be fetched again: dropped when the peer reads too slowly, and the peer is told.
    Push,
}

/// One frame to send.
#[derive(Clone, Copy, Debug)]
pub enum Frame<'a> {
    Copied(&'a [u8]),
    Shared(&'a Bytes),
}

impl Frame<'_> {
    fn as_slice(&self) -> &[u8] {
        match self {
            Frame::Copied(bytes) => bytes,
            Frame::Shared(bytes) => bytes,
        }
    }
}

impl<'a> From<&'a [u8]> for Frame<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Frame::Copied(bytes)
    }
}

impl<'a> From<&'a Bytes> for Frame<'a> {
    fn from(bytes: &'a Bytes) -> Self {
        Frame::Shared(bytes)
    }
}

#[derive(Debug)]
enum Bulk {
    Run(Vec<u8>),
    Shared(Bytes),
}

impl Bulk {
    fn as_slice(&self) -> &[u8] {
        match self {
            Bulk::Run(bytes) => bytes,
            Bulk::Shared(bytes) => bytes,
        }
    }
}

#[derive(Debug)]
struct Piece {
    bulk: Bulk,
    push_bytes: usize,
    reply_bytes: usize,
}

/// Whether a frame found room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    Taken,
    /// The bound of its priority would be exceeded; it was not queued.
    Full,
}

/// What is to be handed to the kernel.
pub(super) enum Submission {
    One(*const [u8]),
    Gathered(*const libc::msghdr),
}

/// The output of one connection. Boxed, so that the kernel's pointers into it stay valid while slots move.
pub(super) struct Output {
    queue: VecDeque<Piece>,
    push_bytes: usize,
    reply_bytes: usize,
    /// Bytes queued by all outputs of this core.
    queued: Rc<Cell<usize>>,
    /// TLS records that go out next, in the order they were made.
    pub records: Vec<u8>,
    flight: Vec<Bulk>,
    flight_bytes: usize,
    flight_sent: usize,
    vector: Vec<libc::iovec>,
    header: libc::msghdr,
}

impl Output {
    fn new(queued: Rc<Cell<usize>>) -> Self {
        // SAFETY: a header of zeros (null pointers with zero lengths) is a valid value of this C struct.
        let header = unsafe { std::mem::zeroed() };
        Self {
            queue: VecDeque::new(),
            push_bytes: 0,
            reply_bytes: 0,
            queued,
            records: Vec::new(),
            flight: Vec::new(),
            flight_bytes: 0,
            flight_sent: 0,
            vector: Vec::new(),
            header,
        }
    }

    /// Nothing queued and nothing in the kernel.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.records.is_empty() && self.flight.is_empty()
    }

    pub fn has_queued(&self) -> bool {
        !self.queue.is_empty()
    }

    pub fn in_flight(&self) -> bool {
        !self.flight.is_empty()
    }

    /// Queues a frame if its priority has room.
    pub fn queue(
        &mut self,
        frame: Frame<'_>,
        priority: Priority,
        limits: &Limits,
        pool: &mut OutputPool,
    ) -> Room {
        let length = frame.as_slice().len();
        let (push, reply) = match priority {
            Priority::Push => (length, 0),
            Priority::Reply => (0, length),
        };
        if self.push_bytes + push > limits.push_bytes_max && push > 0
            || self.reply_bytes + reply > limits.reply_bytes_max && reply > 0
        {
            return Room::Full;
        }
        self.push_bytes += push;
        self.reply_bytes += reply;
        self.queued.update(|bytes| bytes + length);
        let stuck = self.in_flight();
        let bulk = match frame {
            Frame::Shared(bytes) if stuck || length > limits.copy_bytes_max => Bulk::Shared(bytes.clone()),
            Frame::Shared(_) | Frame::Copied(_) => {
                if let Some(last) = self.queue.back_mut()
                    && let Bulk::Run(run) = &mut last.bulk
                    && run.len() + length <= RUN_BYTES_MAX
                {
                    run.extend_from_slice(frame.as_slice());
                    last.push_bytes += push;
                    last.reply_bytes += reply;
                    return Room::Taken;
                }
                let mut run = pool.run();
                run.extend_from_slice(frame.as_slice());
                Bulk::Run(run)
            }
        };
        self.queue.push_back(Piece { bulk, push_bytes: push, reply_bytes: reply });
        Room::Taken
    }

    /// Drops the queued pieces that hold nothing but pushes.
    pub fn drop_pushes(&mut self) {
        let before = self.push_bytes;
        self.queue.retain(|piece| piece.reply_bytes > 0);
        self.push_bytes = self.queue.iter().map(|piece| piece.push_bytes).sum();
        self.queued.update(|bytes| bytes - (before - self.push_bytes));
    }

    /// Drops everything that the kernel does not have.
    pub fn drop_queued(&mut self) {
        self.drop_unsealed();
        self.records.clear();
    }

    /// Drops plaintext that can no longer be sealed; records already made still go out.
    pub fn drop_unsealed(&mut self) {
        self.queue.clear();
        self.queued.update(|bytes| bytes - (self.push_bytes + self.reply_bytes));
        (self.push_bytes, self.reply_bytes) = (0, 0);
    }

    /// Forgets the flight after the kernel failed to send it.
    pub fn abandon_flight(&mut self) {
        self.flight.clear();
    }

    fn pop(&mut self) -> Option<Bulk> {
        let piece = self.queue.pop_front()?;
        self.push_bytes -= piece.push_bytes;
        self.reply_bytes -= piece.reply_bytes;
        self.queued.update(|bytes| bytes - (piece.push_bytes + piece.reply_bytes));
        Some(piece.bulk)
    }

    /// Moves queued frames into the flight, for a plain connection.
    pub fn load_plain(&mut self, limits: &Limits) {
        assert!(self.flight.is_empty());
        let mut bytes = 0;
        while self.flight.len() < PIECES_PER_FLIGHT_MAX && bytes < limits.flight_bytes_max {
            let Some(bulk) = self.pop() else { break };
            bytes += bulk.as_slice().len();
            self.flight.push(bulk);
        }
        self.flight_bytes = bytes;
        self.flight_sent = 0;
    }

    /// Moves the finished TLS records into the flight.
    pub fn load_records(&mut self) {
        assert!(self.flight.is_empty());
        if self.records.is_empty() {
            return;
        }
        self.flight_bytes = self.records.len();
        self.flight_sent = 0;
        self.flight.push(Bulk::Run(std::mem::take(&mut self.records)));
    }

    /// Takes queued plaintext for one or a few TLS records: long frames as they are, small ones gathered in `scratch`.
    /// `seal` gets runs of at most `limits.flight_bytes_max` bytes altogether, plus one frame.
    pub fn seal_queued(
        &mut self,
        limits: &Limits,
        pool: &mut OutputPool,
        mut seal: impl FnMut(&[u8], &mut Vec<u8>),
    ) {
        let mut scratch = pool.run();
        let mut bytes = 0;
        while bytes < limits.flight_bytes_max {
            let Some(bulk) = self.pop() else { break };
            let plain = bulk.as_slice();
            bytes += plain.len();
            if !scratch.is_empty() && scratch.len() + plain.len() > RUN_BYTES_MAX {
                seal(&scratch, &mut self.records);
                scratch.clear();
            }
            if plain.len() > RUN_BYTES_MAX / 4 && scratch.is_empty() {
                seal(plain, &mut self.records);
            } else {
                scratch.extend_from_slice(plain);
            }
            pool.take_back(bulk);
        }
        if !scratch.is_empty() {
            seal(&scratch, &mut self.records);
        }
        pool.take_back(Bulk::Run(scratch));
    }

    /// What of the flight is not sent yet. The pointers stay valid until [`Output::on_sent`].
    pub fn submission(&mut self) -> Submission {
        assert!(self.flight_sent < self.flight_bytes);
        if let [bulk] = self.flight.as_slice() {
            return Submission::One(&raw const bulk.as_slice()[self.flight_sent..]);
        }
        let mut skip = self.flight_sent;
        self.vector.clear();
        for bulk in &self.flight {
            let bytes = bulk.as_slice();
            if skip >= bytes.len() {
                skip -= bytes.len();
                continue;
            }
            let rest = &bytes[skip..];
            skip = 0;
            self.vector.push(libc::iovec { iov_base: rest.as_ptr().cast_mut().cast(), iov_len: rest.len() });
        }
        self.header.msg_iov = self.vector.as_mut_ptr();
        self.header.msg_iovlen = self.vector.len() as _;
        Submission::Gathered(&raw const self.header)
    }

    /// Notes that the kernel took `bytes`; true when the flight is done.
    pub fn on_sent(&mut self, bytes: usize, pool: &mut OutputPool) -> bool {
        self.flight_sent += bytes;
        assert!(self.flight_sent <= self.flight_bytes, "more sent than there was");
        if self.flight_sent < self.flight_bytes {
            return false;
        }
        for bulk in self.flight.drain(..) {
            pool.take_back(bulk);
        }
        true
    }
}

/// Emptied outputs and runs of one core, for reuse.
#[derive(Default)]
pub(super) struct OutputPool {
    #[allow(clippy::vec_box)] // they come from and go to connections, which hold them boxed
    outputs: Vec<Box<Output>>,
    runs: Vec<Vec<u8>>,
    /// Bytes queued by all outputs that came from here.
    queued: Rc<Cell<usize>>,
}

impl OutputPool {
    pub fn output(&mut self) -> Box<Output> {
        self.outputs.pop().unwrap_or_else(|| Box::new(Output::new(self.queued.clone())))
    }

    pub fn queued_bytes(&self) -> usize {
        self.queued.get()
    }

    /// Takes back an output of which the kernel has nothing.
    pub fn put(&mut self, mut output: Box<Output>) {
        output.drop_queued();
        output.abandon_flight();
        if self.outputs.len() < SPARE_OUTPUTS_MAX && output.records.capacity() <= RUN_BYTES_MAX {
            self.outputs.push(output);
        }
    }

    fn run(&mut self) -> Vec<u8> {
        self.runs.pop().unwrap_or_default()
    }

    fn take_back(&mut self, bulk: Bulk) {
        if let Bulk::Run(mut run) = bulk
            && self.runs.len() < SPARE_RUNS_MAX
            && run.capacity() <= RUN_BYTES_MAX
        {
            run.clear();
            self.runs.push(run);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flight_bytes(output: &mut Output) -> Vec<u8> {
        output.flight.iter().flat_map(|bulk| bulk.as_slice().to_vec()).skip(output.flight_sent).collect()
    }

    #[test]
    fn frames_leave_in_order_over_short_sends() {
        let (limits, mut pool) = (Limits { copy_bytes_max: 4, ..Limits::default() }, OutputPool::default());
        let mut output = pool.output();
        let mut expected = Vec::new();
        for n in 0..100u8 {
            let frame = Bytes::from(vec![n; n as usize % 9 + 1]);
            expected.extend_from_slice(&frame);
            assert_eq!(output.queue(Frame::Shared(&frame), Priority::Push, &limits, &mut pool), Room::Taken);
        }
        let mut seen = Vec::new();
        while !output.is_empty() {
            if !output.in_flight() {
                output.load_plain(&limits);
            }
            let rest = flight_bytes(&mut output);
            let take = rest.len().min(7);
            seen.extend_from_slice(&rest[..take]);
            assert_eq!(output.on_sent(take, &mut pool), take == rest.len());
        }
        assert_eq!(seen, expected);
        assert_eq!((output.push_bytes, output.reply_bytes, pool.queued_bytes()), (0, 0, 0));
    }

    #[test]
    fn pushes_and_replies_have_bounds_of_their_own() {
        let limits =
            Limits { push_bytes_max: 10, reply_bytes_max: 20, copy_bytes_max: 0, ..Limits::default() };
        let mut pool = OutputPool::default();
        let mut output = pool.output();
        let frame = Bytes::from_static(b"12345");
        let queue = |output: &mut Output, pool: &mut OutputPool, priority| {
            output.queue(Frame::Shared(&frame), priority, &limits, pool)
        };
        assert_eq!(queue(&mut output, &mut pool, Priority::Push), Room::Taken);
        assert_eq!(queue(&mut output, &mut pool, Priority::Reply), Room::Taken);
        assert_eq!(queue(&mut output, &mut pool, Priority::Push), Room::Taken);
        assert_eq!(queue(&mut output, &mut pool, Priority::Push), Room::Full);
        assert_eq!(queue(&mut output, &mut pool, Priority::Reply), Room::Taken);
        output.drop_pushes();
        assert_eq!((output.push_bytes, output.reply_bytes, output.queue.len()), (0, 10, 2));
        assert_eq!(pool.queued_bytes(), 10);
        for _ in 0..2 {
            assert_eq!(queue(&mut output, &mut pool, Priority::Reply), Room::Taken);
        }
        assert_eq!(queue(&mut output, &mut pool, Priority::Reply), Room::Full);
        assert_eq!(pool.queued_bytes(), 20);
        pool.put(output);
        assert_eq!(pool.queued_bytes(), 0);
    }
}
