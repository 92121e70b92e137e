//! Every bound of the ring, with what happens when it is reached.

use std::time::Duration;

/// Bounds of one core. `Default` is what a node runs with; tests make them tiny.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Receive buffers, a power of two. All taken: receives wait (`starved`), nothing is lost.
    pub buffers: u16,
    /// Bytes of one receive buffer.
    pub buffer_bytes: u32,
    /// Entries of the submission queue. Full: it is submitted at once.
    pub submission_entries: u32,
    /// Entries of the completion queue. Full: the kernel keeps the rest and multishot receives end and are re-armed.
    pub completion_entries: u32,
    /// Completions taken in one turn; the rest waits for the next.
    pub completions_per_turn: usize,
    /// Connections whose kept input is processed in one turn; the rest waits for the next.
    pub ready_per_turn: usize,
    /// Items of the delivery lane taken in one turn; the rest waits for the next.
    pub delivery_per_turn: usize,
    /// Items of the ephemeral lane taken in one turn; the rest waits for the next.
    pub ephemeral_per_turn: usize,
    /// Connections of one core. Full: accepted sockets are closed at once, adopted ones too, both counted.
    pub connections_max: usize,
    /// Longest frame of a new connection, in bytes behind the length field; the driver may set another one per
    /// connection. Longer: closed as `FrameTooLong`.
    pub frame_bytes_max: u32,
    /// Queued bytes of pushes of one connection. Full: the queued pushes that are frames of their own are dropped and
    /// no more are taken until the connection is drained; the driver hears of both.
    pub push_bytes_max: usize,
    /// Queued bytes of replies of one connection. Full: closed as `ReplyOverflow`.
    pub reply_bytes_max: usize,
    /// Bytes of one send. The rest waits until it is done.
    pub flight_bytes_max: usize,
    /// Input kept for a connection that is parked or moving: no more than what the receive buffers held when its
    /// receive was cancelled, and a frame in the making. Full: closed as `UnreadOverflow`.
    pub unread_bytes_max: usize,
    /// Frames up to this length are copied into the connection's output, longer ones are shared.
    pub copy_bytes_max: usize,
    /// A send without progress for so long: closed as `WriteStalled`.
    pub write_stall_max: Duration,
    /// TLS handshakes under way on one core. Full: an accepted socket is closed at once as `HandshakesFull`.
    pub handshakes_max: usize,
    /// The same from one address: `AddressFull`.
    pub handshakes_per_address_max: u32,
    /// A TLS handshake that takes longer: closed as `TlsTooSlow`.
    pub handshake_max: Duration,
    /// A closing connection has so long to take what is queued, and again so long to say goodbye.
    pub linger_max: Duration,
    /// Pause of a listener after accept failed for want of descriptors or memory.
    pub accept_pause: Duration,
    /// While busy, the executor's own reactor (timers and files of its tasks) gets a pass so often.
    pub reactor_pass: Duration,
    /// Turns without work before sleeping, while tasks run beside the main loop.
    pub empty_turns_max: u32,
    /// A stop ends after so long even if connections are still there.
    pub stop_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            buffers: 512,
            buffer_bytes: 4096, // a window of short messages comes in one piece
            submission_entries: 512,
            completion_entries: 4096,
            completions_per_turn: 1024,
            ready_per_turn: 256,
            delivery_per_turn: 4096,
            ephemeral_per_turn: 2048,
            connections_max: 1 << 20,
            frame_bytes_max: 64 * 1024,
            push_bytes_max: 256 * 1024,
            reply_bytes_max: 4 * 1024 * 1024,
            flight_bytes_max: 64 * 1024,
            unread_bytes_max: 512 * 4096 + 1024 * 1024,
            copy_bytes_max: 1024,
            write_stall_max: Duration::from_secs(30),
            handshakes_max: 10_000,
            handshakes_per_address_max: 10_000,
            handshake_max: Duration::from_secs(15),
            linger_max: Duration::from_secs(2),
            accept_pause: Duration::from_millis(100),
            reactor_pass: Duration::from_millis(1),
            empty_turns_max: 4,
            stop_max: Duration::from_secs(10),
        }
    }
}
