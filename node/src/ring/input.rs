//! Bytes to frames, in place where they are whole.
//!
//! A frame that lies whole in a receive buffer is handed to the driver from there. Only the part of a frame at the end
//! of a buffer is copied, to the connection's `unread`, which is freed when it is empty.

use wire::ConnectionId;
use wire::frame::LENGTH_LEN;

use super::close::CloseReason;
use super::connections::Connections;
use super::driver::{Driver, Io};
use super::slot::Life;
use super::tls::TlsEnd;

/// What stands at the start of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    /// A frame with so many bytes behind its length field.
    Whole(usize),
    /// So many bytes more make it whole, or tell its length.
    Lacks(usize),
    TooLong(usize),
}

fn head(bytes: &[u8], frame_bytes_max: u32) -> Head {
    let Some(field) = bytes.first_chunk::<LENGTH_LEN>() else { return Head::Lacks(LENGTH_LEN - bytes.len()) };
    let length = u32::from_le_bytes(*field);
    if length > frame_bytes_max {
        return Head::TooLong(length as usize);
    }
    let whole = LENGTH_LEN + length as usize;
    if bytes.len() < whole { Head::Lacks(whole - bytes.len()) } else { Head::Whole(length as usize) }
}

/// Takes what a receive brought.
pub(super) fn receive<D: Driver>(io: &mut Io<D::Item>, driver: &mut D, id: ConnectionId, bytes: &mut [u8]) {
    let connections = &mut io.connections;
    connections.counters.bytes_received += bytes.len() as u64;
    let Some(connection) = connections.at(id.index) else { return };
    connection.bytes_received += bytes.len() as u64;
    if connection.life != Life::Open {
        return;
    }
    let Some(mut tls) = connection.tls.take() else {
        feed(io, driver, id, bytes);
        return;
    };
    let mut records = std::mem::take(&mut connections.records);
    let end = tls.receive(bytes, &mut records, |plain| {
        tell_opened(io, driver, id);
        feed(io, driver, id, plain);
    });
    if tls.is_established() && end.is_none() {
        tell_opened(io, driver, id);
    }
    let connections = &mut io.connections;
    if let Some(connection) = connections.at(id.index) {
        connection.tls = Some(tls);
    }
    connections.queue_records(id.index, &mut records);
    connections.records = records;
    match end {
        None => {}
        Some(TlsEnd::PeerClosed) => connections.begin_close(id.index, CloseReason::PeerClosed),
        Some(TlsEnd::Failed) => connections.begin_close(id.index, CloseReason::TlsFailed),
        Some(TlsEnd::LeftoverTooLong) => connections.begin_close(id.index, CloseReason::TlsLeftoverTooLong),
    }
}

/// Tells the driver of a new connection, once.
pub(super) fn tell_opened<D: Driver>(io: &mut Io<D::Item>, driver: &mut D, id: ConnectionId) {
    let Some(connection) = io.connections.at(id.index) else { return };
    if connection.told || connection.life != Life::Open {
        return;
    }
    connection.told = true;
    io.connections.end_handshake(id.index);
    io.connections.set_deadline(id.index, 0);
    if let Some(info) = io.connections.info(id) {
        driver.on_opened(io, id, &info);
    }
}

/// Processes input that was kept while the connection was parked or moving.
pub(super) fn resume<D: Driver>(io: &mut Io<D::Item>, driver: &mut D, index: u32) {
    let Some(connection) = io.connections.at(index) else { return };
    connection.ready = false;
    if connection.takes_frames() {
        let id = io.connections.id(index);
        feed(io, driver, id, &[]);
    }
}

/// Hands out the frames in what was kept and in `bytes`; keeps the rest.
fn feed<D: Driver>(io: &mut Io<D::Item>, driver: &mut D, id: ConnectionId, bytes: &[u8]) {
    let Some(connection) = io.connections.at(id.index) else { return };
    let mut kept = std::mem::take(&mut connection.unread);
    let mut fresh = bytes;
    while !kept.is_empty() {
        if io.connections.takes_frames(id.index) {
            top_up(&io.connections, id.index, &mut kept, &mut fresh);
        }
        let used = run(io, driver, id, &kept);
        if used == 0 {
            break; // a part of a frame and nothing more, or the driver wants no more
        }
        kept.drain(..used);
    }
    if kept.is_empty() {
        let used = run(io, driver, id, fresh);
        fresh = &fresh[used..];
    }
    if !kept.is_empty() || !fresh.is_empty() {
        keep(&mut io.connections, id.index, kept, fresh);
    }
}

/// Moves bytes from `fresh` to the end of `kept` until the first frame in it is whole.
fn top_up(connections: &Connections, index: u32, kept: &mut Vec<u8>, fresh: &mut &[u8]) {
    let frame_bytes_max = connections.frame_bytes_max(index);
    while let Head::Lacks(lacking) = head(kept, frame_bytes_max) {
        if fresh.is_empty() {
            return;
        }
        let (now, later) = fresh.split_at(lacking.min(fresh.len()));
        kept.extend_from_slice(now);
        *fresh = later;
    }
}

/// Hands out whole frames from the start of `bytes` as long as the driver takes them; how many bytes that were.
fn run<D: Driver>(io: &mut Io<D::Item>, driver: &mut D, id: ConnectionId, bytes: &[u8]) -> usize {
    let mut used = 0;
    while io.connections.takes_frames(id.index) {
        match head(&bytes[used..], io.connections.frame_bytes_max(id.index)) {
            Head::Whole(length) => {
                let start = used + LENGTH_LEN;
                used = start + length;
                io.connections.counters.frames_received += 1;
                driver.on_frame(io, id, &bytes[start..used]);
            }
            Head::Lacks(_) => break,
            Head::TooLong(length) => {
                driver.on_frame_too_long(io, id, length);
                io.connections.begin_close(id.index, CloseReason::FrameTooLong);
                break;
            }
        }
    }
    used
}

/// Keeps input, behind a frame that `leave` may have put there.
fn keep(connections: &mut Connections, index: u32, kept: Vec<u8>, fresh: &[u8]) {
    let unread_bytes_max = connections.limits.unread_bytes_max;
    let Some(connection) = connections.at(index) else { return };
    if connection.life != Life::Open {
        return;
    }
    if connection.unread.is_empty() {
        connection.unread = kept;
    } else {
        connection.unread.extend_from_slice(&kept);
    }
    connection.unread.extend_from_slice(fresh);
    // A frame in the making has its own bound; this one is for what is put off.
    if !connection.takes_frames()
        && connection.unread.len() > unread_bytes_max.max(connection.frame_bytes_max as usize)
    {
        connections.begin_close(index, CloseReason::UnreadOverflow);
    }
}

impl Connections {
    fn takes_frames(&self, index: u32) -> bool {
        self.slots[index as usize].connection.as_ref().is_some_and(|connection| connection.takes_frames())
    }

    fn frame_bytes_max(&self, index: u32) -> u32 {
        self.slots[index as usize].connection.as_ref().map_or(0, |connection| connection.frame_bytes_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_a_stream() {
        assert_eq!(head(&[], 10), Head::Lacks(4));
        assert_eq!(head(&[3, 0], 10), Head::Lacks(2));
        assert_eq!(head(&[3, 0, 0, 0], 10), Head::Lacks(3));
        assert_eq!(head(&[3, 0, 0, 0, 1, 2, 3, 4], 10), Head::Whole(3));
        assert_eq!(head(&[0, 0, 0, 0], 10), Head::Whole(0));
        assert_eq!(head(&[10, 0, 0, 0], 10), Head::Lacks(10));
        assert_eq!(head(&[11, 0, 0, 0], 10), Head::TooLong(11));
        assert_eq!(head(&[0xFF; 4], 1 << 20), Head::TooLong(u32::MAX as usize));
    }
}
