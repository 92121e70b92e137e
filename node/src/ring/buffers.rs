//! Receive buffers that the kernel picks from: one group per core.
//!
//! A buffer belongs to the kernel from [`Buffers::publish`] until a completion names it, then to us until
//! [`Buffers::put`]. It is given back within the turn that got it, so a slow peer keeps none. When all are taken a
//! receive ends with ENOBUFS; the connection is put on the list of the starved and armed again when there is room.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

/// The id of the one buffer group of a ring.
pub(super) const GROUP: u16 = 1;

/// Anonymous pages of our own; page-aligned, zeroed, in memory from the start.
struct Pages {
    start: NonNull<u8>,
    bytes: usize,
}

impl Pages {
    fn new(bytes: usize) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE;
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches no memory of ours.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mapped at address 0"))?;
        Ok(Self { start, bytes })
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        if self.bytes > 0 {
            // SAFETY: the mapping was made in `new` with this start and length and is unmapped once.
            unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
        }
    }
}

/// The buffer group.
pub(super) struct Buffers {
    ring: Pages,
    memory: Pages,
    entries: u16,
    buffer_bytes: u32,
    tail: u16,
    /// Given back, but not yet published.
    returned: u16,
    /// Not in our hands; the kernel may have put some into completions that are not reaped yet.
    free: u16,
}

impl Buffers {
    /// `entries` (a power of two) buffers of `buffer_bytes` each.
    pub fn new(entries: u16, buffer_bytes: u32) -> io::Result<Self> {
        assert!(entries.is_power_of_two(), "{entries} buffers: not a power of two");
        assert!(buffer_bytes > 0);
        let ring = Pages::new(entries as usize * size_of::<BufRingEntry>())?;
        // The kernel takes the buffers in turn, so all of them are soon in use however few connections there are.
        let memory = Pages::new(entries as usize * buffer_bytes as usize)?;
        let mut buffers = Self { ring, memory, entries, buffer_bytes, tail: 0, returned: 0, free: 0 };
        for buffer in 0..entries {
            buffers.place(buffer);
        }
        buffers.publish();
        Ok(buffers)
    }

    pub fn ring_address(&self) -> u64 {
        self.ring.start.as_ptr() as u64
    }

    pub fn buffer_bytes(&self) -> u32 {
        self.buffer_bytes
    }

    /// Buffers that are not in our hands.
    pub fn free(&self) -> usize {
        self.free as usize
    }

    /// No buffer is in our hands.
    pub fn all_free(&self) -> bool {
        self.free == self.entries
    }

    /// The first `length` bytes of a buffer that a completion named.
    pub fn filled(&mut self, buffer: u16, length: usize) -> &mut [u8] {
        assert!(
            buffer < self.entries && length <= self.buffer_bytes as usize,
            "buffer {buffer}, {length} bytes"
        );
        let offset = buffer as usize * self.buffer_bytes as usize;
        // SAFETY: in bounds by the assert; the kernel gave this buffer to us with its completion and writes to it
        // again only after `put` and `publish`, which need the same exclusive borrow.
        unsafe { std::slice::from_raw_parts_mut(self.memory.start.as_ptr().add(offset), length) }
    }

    /// Notes that a completion brought a buffer.
    pub fn taken(&mut self) {
        self.free = self.free.checked_sub(1).expect("more buffers taken than there are");
    }

    /// Gives a buffer back; the kernel sees it after [`Buffers::publish`].
    pub fn put(&mut self, buffer: u16) {
        assert!(buffer < self.entries);
        self.place(buffer);
    }

    fn place(&mut self, buffer: u16) {
        let position = (self.tail.wrapping_add(self.returned) & (self.entries - 1)) as usize;
        let address = self.memory.start.as_ptr() as u64 + buffer as u64 * self.buffer_bytes as u64;
        // SAFETY: `position` is below `entries`, the ring has that many; the kernel reads only entries below the
        // published tail, and this one is at or above it.
        let entry = unsafe { &mut *self.ring.start.as_ptr().cast::<BufRingEntry>().add(position) };
        entry.set_addr(address);
        entry.set_len(self.buffer_bytes);
        entry.set_bid(buffer);
        self.returned += 1;
    }

    /// Shows the returned buffers to the kernel.
    pub fn publish(&mut self) {
        if self.returned == 0 {
            return;
        }
        self.tail = self.tail.wrapping_add(self.returned);
        self.free += self.returned;
        self.returned = 0;
        assert!(self.free <= self.entries, "more buffers free than there are");
        // SAFETY: the tail lives in the reserved field of the first entry, is 2-aligned, and is written only here.
        let tail = unsafe { &*BufRingEntry::tail(self.ring.start.as_ptr().cast()).cast::<AtomicU16>() };
        tail.store(self.tail, Ordering::Release);
    }

    /// Gives the memory up for good, because the kernel may still write to it.
    pub fn leak(&mut self) {
        self.ring.bytes = 0;
        self.memory.bytes = 0;
    }
}
