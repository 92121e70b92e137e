//! TLS without I/O: ciphertext in, plaintext and records out.
//!
//! The session moves between cores with the ciphertext of a half record. Plaintext goes to a sink; records that the
//! session makes by itself (handshake, tickets, alerts, answers to key updates) are appended to `records` in order.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError, UnbufferedStatus,
    WriteTraffic,
};

/// Longest ciphertext kept between receives: one record of the largest size and its header.
pub(super) const LEFTOVER_BYTES_MAX: usize = 16 * 1024 + 256 + 5;
/// Plaintext of one record.
const RECORD_PLAIN_BYTES_MAX: usize = 16 * 1024;
/// What a record adds to its plaintext, at least; the session says when it needs more.
const RECORD_EXTRA_BYTES: usize = 22;

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TlsEnd {
    /// The peer said goodbye.
    PeerClosed,
    /// A protocol error; the alert is among the records.
    Failed,
    /// The peer keeps a record or handshake message unfinished beyond the bound.
    LeftoverTooLong,
}

/// Whether plaintext can be sealed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sealing {
    Ready,
    /// The handshake is not done, or the session has ended.
    NotNow,
}

/// One TLS session of the node's side.
pub struct Tls {
    session: UnbufferedServerConnection,
    leftover: Vec<u8>,
    ended: Option<TlsEnd>,
    goodbye_sent: bool,
}

/// What to do with the one state in which data can be sealed.
#[derive(Clone, Copy)]
enum Traffic<'a> {
    Nothing,
    Seal(&'a [u8]),
    Goodbye,
}

enum Pass {
    Again,
    Stop(Sealing),
}

impl Tls {
    pub(super) fn new(config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        let session = UnbufferedServerConnection::new(config)?;
        Ok(Self { session, leftover: Vec::new(), ended: None, goodbye_sent: false })
    }

    /// True once application data can flow.
    pub fn is_established(&self) -> bool {
        !self.session.is_handshaking()
    }

    /// Ciphertext of a record that is not complete, in bytes.
    pub fn leftover_bytes(&self) -> usize {
        self.leftover.len()
    }

    /// Takes ciphertext (decrypting in its place), hands plaintext to `sink`, appends records to `records`.
    pub(super) fn receive(
        &mut self,
        ciphertext: &mut [u8],
        records: &mut Vec<u8>,
        mut sink: impl FnMut(&[u8]),
    ) -> Option<TlsEnd> {
        if self.ended.is_some() {
            return self.ended;
        }
        if self.leftover.is_empty() {
            let used = self.pump(ciphertext, records, &mut sink);
            self.leftover.extend_from_slice(&ciphertext[used..]);
        } else {
            let mut joined = std::mem::take(&mut self.leftover);
            joined.extend_from_slice(ciphertext);
            let used = self.pump(&mut joined, records, &mut sink);
            joined.drain(..used);
            self.keep(joined);
        }
        if self.leftover.len() > LEFTOVER_BYTES_MAX && self.ended.is_none() {
            self.ended = Some(TlsEnd::LeftoverTooLong);
        }
        if self.ended.is_some() {
            self.leftover = Vec::new();
        }
        self.ended
    }

    fn keep(&mut self, rest: Vec<u8>) {
        self.leftover = if rest.is_empty() { Vec::new() } else { rest };
    }

    fn pump(&mut self, ciphertext: &mut [u8], records: &mut Vec<u8>, sink: &mut impl FnMut(&[u8])) -> usize {
        let mut used = 0;
        loop {
            let (discard, pass) = self.step(&mut ciphertext[used..], records, sink, Traffic::Nothing);
            used += discard;
            if let Pass::Stop(_) = pass {
                return used;
            }
        }
    }

    /// One state of the session.
    fn step(
        &mut self,
        ciphertext: &mut [u8],
        records: &mut Vec<u8>,
        sink: &mut impl FnMut(&[u8]),
        traffic: Traffic<'_>,
    ) -> (usize, Pass) {
        let UnbufferedStatus { mut discard, state } = self.session.process_tls_records(ciphertext);
        let pass = match state {
            Err(error) => {
                tracing::debug!(%error, "a TLS session failed");
                self.ended = Some(TlsEnd::Failed);
                self.append_alert(records);
                Pass::Stop(Sealing::NotNow)
            }
            Ok(ConnectionState::ReadTraffic(mut read)) => {
                while let Some(Ok(record)) = read.next_record() {
                    discard += record.discard;
                    sink(record.payload);
                }
                Pass::Again
            }
            Ok(ConnectionState::EncodeTlsData(mut encode)) => {
                append_encoded(&mut encode, records);
                Pass::Again
            }
            Ok(ConnectionState::TransmitTlsData(transmit)) => {
                transmit.done(); // queued in order in `records`, which is as good as sent
                Pass::Again
            }
            Ok(ConnectionState::PeerClosed) => {
                self.ended = self.ended.or(Some(TlsEnd::PeerClosed));
                Pass::Again
            }
            Ok(ConnectionState::WriteTraffic(write)) => {
                on_traffic(write, traffic, records);
                Pass::Stop(Sealing::Ready)
            }
            Ok(_) => Pass::Stop(Sealing::NotNow),
        };
        (discard, pass)
    }

    /// After an error: what is still to be said, the alert last. Nothing may be processed any more.
    fn append_alert(&mut self, records: &mut Vec<u8>) {
        while self.session.wants_write() {
            match self.session.process_tls_records(&mut []).state {
                Ok(ConnectionState::EncodeTlsData(mut encode)) => append_encoded(&mut encode, records),
                Ok(ConnectionState::ReadTraffic(mut read)) => while read.next_record().is_some() {},
                _ => return,
            }
        }
    }

    /// Does `traffic` if data can be sealed. Records that still lie in the leftover are handled on the way.
    fn with_traffic(
        &mut self,
        records: &mut Vec<u8>,
        sink: &mut impl FnMut(&[u8]),
        traffic: Traffic<'_>,
    ) -> Sealing {
        let mut leftover = std::mem::take(&mut self.leftover);
        let mut used = 0;
        let sealing = loop {
            let (discard, pass) = self.step(&mut leftover[used..], records, sink, traffic);
            used += discard;
            if let Pass::Stop(sealing) = pass {
                break sealing;
            }
        };
        leftover.drain(..used);
        self.keep(leftover);
        sealing
    }

    /// Whether plaintext can be sealed now; `sink` gets what comes to light on the way.
    pub(super) fn sealing(&mut self, records: &mut Vec<u8>, mut sink: impl FnMut(&[u8])) -> Sealing {
        if self.ended == Some(TlsEnd::Failed) || self.goodbye_sent {
            return Sealing::NotNow;
        }
        self.with_traffic(records, &mut sink, Traffic::Nothing)
    }

    /// Appends `plain` as records. Only after [`Tls::sealing`] said `Ready`.
    pub(super) fn seal(&mut self, plain: &[u8], records: &mut Vec<u8>) {
        let sealing = self.with_traffic(records, &mut |_| {}, Traffic::Seal(plain));
        assert_eq!(sealing, Sealing::Ready, "sealed without asking");
    }

    /// Appends the goodbye, once.
    pub(super) fn say_goodbye(&mut self, records: &mut Vec<u8>) {
        if self.goodbye_sent || self.ended == Some(TlsEnd::Failed) {
            return;
        }
        self.goodbye_sent = true;
        self.with_traffic(records, &mut |_| {}, Traffic::Goodbye);
    }
}

fn on_traffic<Data>(mut write: WriteTraffic<'_, Data>, traffic: Traffic<'_>, records: &mut Vec<u8>) {
    match traffic {
        Traffic::Nothing => {}
        Traffic::Seal(plain) => {
            for part in plain.chunks(RECORD_PLAIN_BYTES_MAX) {
                let hint = part.len() + RECORD_EXTRA_BYTES;
                if !append_sized(records, hint, |space| insufficient(write.encrypt(part, space))) {
                    tracing::debug!("a TLS session is used up");
                    return;
                }
            }
        }
        Traffic::Goodbye => {
            append_sized(records, RECORD_EXTRA_BYTES + 2, |space| {
                insufficient(write.queue_close_notify(space))
            });
        }
    }
}

fn insufficient(result: Result<usize, EncryptError>) -> Result<usize, Option<usize>> {
    result.map_err(|error| match error {
        EncryptError::InsufficientSize(InsufficientSizeError { required_size }) => Some(required_size),
        EncryptError::EncryptExhausted => None,
    })
}

/// Lets `write` fill space at the end of `records`, first `hint` bytes, then what it asks for. False: it cannot.
fn append_sized(
    records: &mut Vec<u8>,
    hint: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>,
) -> bool {
    let (start, mut space) = (records.len(), hint);
    loop {
        records.resize(start + space, 0);
        match write(&mut records[start..]) {
            Ok(written) => {
                records.truncate(start + written);
                return true;
            }
            Err(Some(required)) => {
                assert!(required > space, "the session asks for no more space than it had");
                space = required;
            }
            Err(None) => {
                records.truncate(start);
                return false;
            }
        }
    }
}

fn append_encoded<Data>(encode: &mut EncodeTlsData<'_, Data>, records: &mut Vec<u8>) {
    append_sized(records, 0, |space| {
        encode.encode(space).map_err(|error| match error {
            EncodeError::InsufficientSize(InsufficientSizeError { required_size }) => Some(required_size),
            EncodeError::AlreadyEncoded => None,
        })
    });
}
