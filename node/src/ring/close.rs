//! Why connections end, and the counters of a core. Every drop has a counter and a reason.

/// Why a connection was closed. Closed list: each has a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CloseReason {
    /// The peer closed, in order or not.
    PeerClosed,
    /// The socket failed.
    PeerReset,
    /// The driver asked for it.
    Asked,
    /// The node stops.
    Stopping,
    /// A frame longer than the connection may send.
    FrameTooLong,
    /// More queued replies than allowed.
    ReplyOverflow,
    /// More input kept for a parked or moving connection than allowed.
    UnreadOverflow,
    /// A send made no progress for too long.
    WriteStalled,
    /// Broken TLS.
    TlsFailed,
    /// A TLS handshake that was not done in time.
    TlsTooSlow,
    /// A TLS record or handshake message that does not end.
    TlsLeftoverTooLong,
    /// More connections than this core may have.
    ConnectionsFull,
    /// More unfinished TLS handshakes than this core may have.
    HandshakesFull,
    /// More unfinished TLS handshakes than one address may have.
    AddressFull,
}

impl CloseReason {
    /// Every reason, in the order of the counters.
    pub const ALL: [CloseReason; 14] = [
        CloseReason::PeerClosed,
        CloseReason::PeerReset,
        CloseReason::Asked,
        CloseReason::Stopping,
        CloseReason::FrameTooLong,
        CloseReason::ReplyOverflow,
        CloseReason::UnreadOverflow,
        CloseReason::WriteStalled,
        CloseReason::TlsFailed,
        CloseReason::TlsTooSlow,
        CloseReason::TlsLeftoverTooLong,
        CloseReason::ConnectionsFull,
        CloseReason::HandshakesFull,
        CloseReason::AddressFull,
    ];

    /// Name for metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            CloseReason::PeerClosed => "peer_closed",
            CloseReason::PeerReset => "peer_reset",
            CloseReason::Asked => "asked",
            CloseReason::Stopping => "stopping",
            CloseReason::FrameTooLong => "frame_too_long",
            CloseReason::ReplyOverflow => "reply_overflow",
            CloseReason::UnreadOverflow => "unread_overflow",
            CloseReason::WriteStalled => "write_stalled",
            CloseReason::TlsFailed => "tls_failed",
            CloseReason::TlsTooSlow => "tls_too_slow",
            CloseReason::TlsLeftoverTooLong => "tls_leftover_too_long",
            CloseReason::ConnectionsFull => "connections_full",
            CloseReason::HandshakesFull => "handshakes_full",
            CloseReason::AddressFull => "address_full",
        }
    }
}

/// What a core has counted since its start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// Connections closed, by reason.
    pub closed: [u64; CloseReason::ALL.len()],
    pub accepted: u64,
    /// Accepts that failed for want of descriptors or memory.
    pub accept_failed: u64,
    pub adopted: u64,
    pub left: u64,
    pub bytes_received: u64,
    pub bytes_sent: u64,
    pub frames_received: u64,
    pub sends: u64,
    pub sends_short: u64,
    /// Receives that found no free buffer.
    pub starved: u64,
    /// Completions of a slot that had been given to someone else.
    pub stale: u64,
    /// Pushes that found their connection's queue full.
    pub pushes_dropped: u64,
    /// Connections whose pushes overflowed.
    pub overflowed: u64,
    /// Connections cut off with output unsent because they did not take it in time.
    pub cut_off: u64,
    pub turns: u64,
    pub sleeps: u64,
    /// Turns that left completions for the next one.
    pub completions_budget_used_up: u64,
    /// Turns that left kept input for the next one.
    pub ready_budget_used_up: u64,
    /// Turns that left mesh items for the next one.
    pub mesh_budget_used_up: u64,
}

impl Counters {
    /// Connections closed for this reason.
    pub fn closed_for(&self, reason: CloseReason) -> u64 {
        self.closed[reason as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_stand_at_their_counters() {
        for (position, reason) in CloseReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, position);
            assert!(CloseReason::ALL.iter().filter(|other| other.name() == reason.name()).count() == 1);
        }
    }
}
