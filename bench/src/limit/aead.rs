//! What encryption itself costs: the AEAD of TLS over the frames of one message, without a TLS session around it.
//!
//! A message is opened once (`Send`) and sealed twice (`Sent`, `Message`). Each frame is a record of its own here; a server
//! that gathers several frames into one record pays less for each.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, Algorithm, Nonce, TlsProtocolId, TlsRecordOpeningKey, TlsRecordSealingKey,
};
use clap::ValueEnum;
use rustls::CipherSuite;

use super::relay::FrameLengths;
use crate::report::model::{Round, Run, Subject};
use crate::scenario::Scenario;

/// Bytes of a record's header, which is authenticated too (RFC 8446 section 5.2).
const HEADER_LEN: usize = 5;
/// The record's true type, behind its text.
const TYPE_LEN: usize = 1;
/// Records between two looks at the clock.
const RECORDS_PER_LOOK: u64 = 512;
const NONCE_LEN: usize = 12;
const KEY: [u8; 32] = [7; 32];

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Cipher {
    Aes128Gcm,
    Aes256Gcm,
}

impl Cipher {
    pub fn name(self) -> &'static str {
        match self {
            Self::Aes128Gcm => "AES-128-GCM",
            Self::Aes256Gcm => "AES-256-GCM",
        }
    }

    /// The one that the node and its clients agree on: the first of TLS 1.3 that the provider offers.
    pub fn picked() -> Option<Self> {
        let suites = rustls::crypto::aws_lc_rs::default_provider().cipher_suites;
        match suites.iter().find_map(|suite| suite.tls13())?.common.suite {
            CipherSuite::TLS13_AES_128_GCM_SHA256 => Some(Self::Aes128Gcm),
            CipherSuite::TLS13_AES_256_GCM_SHA384 => Some(Self::Aes256Gcm),
            _ => None,
        }
    }

    fn algorithm(self) -> &'static Algorithm {
        match self {
            Self::Aes128Gcm => &AES_128_GCM,
            Self::Aes256Gcm => &AES_256_GCM,
        }
    }
}

/// Encrypting with one cipher.
#[derive(Debug)]
pub struct Aead {
    pub cipher: Cipher,
    pub frames: FrameLengths,
    /// Bytes of text in the frames.
    pub text_len: u32,
    pub length: Duration,
}

impl Scenario for Aead {
    fn describe(&self) -> Run {
        let picked = Cipher::picked() == Some(self.cipher);
        let parameters = [
            ("bytes", self.text_len.to_string()),
            ("cipher", self.cipher.name().to_owned()),
            ("picked_by_tls", if picked { "yes" } else { "no" }.to_owned()),
            ("send_frame_bytes", self.frames.send.to_string()),
            ("sent_frame_bytes", self.frames.sent.to_string()),
            ("message_frame_bytes", self.frames.message.to_string()),
        ];
        Run {
            name: format!("AEAD, {}, {} bytes of text", self.cipher.name(), self.text_len),
            scenario: "aead".into(),
            subject: Subject::Machine,
            parameters: parameters.into_iter().map(|(key, value)| (key.into(), value)).collect(),
            ..Run::default()
        }
    }

    fn round(&mut self) -> Result<Round> {
        round(self.cipher, &self.frames, self.length)
    }
}

/// Opens and seals the frames of messages, a third of `length` for each of the three.
pub fn round(cipher: Cipher, frames: &FrameLengths, length: Duration) -> Result<Round> {
    let begin = Instant::now();
    let part = length / 3;
    let send = open_ns(cipher, frames.send, part)?;
    let sent = seal_ns(cipher, frames.sent, part)?;
    let message = seal_ns(cipher, frames.message, part)?;
    let values = [
        ("open_send_ns", send),
        ("seal_sent_ns", sent),
        ("seal_message_ns", message),
        ("aead_ns_per_message", send + sent + message),
    ];
    Ok(Round {
        seconds: begin.elapsed().as_secs_f64(),
        values: values.into_iter().map(|(name, value)| (name.into(), value)).collect(),
        ..Round::default()
    })
}

/// Nanoseconds to seal a frame of so many bytes, over `length` of sealing.
fn seal_ns(cipher: Cipher, frame_len: usize, length: Duration) -> Result<f64> {
    let mut sealer = Sealer::new(cipher)?;
    let mut record = Vec::new();
    timed(length, || {
        record.clear();
        record.resize(frame_len + TYPE_LEN, b'x');
        sealer.seal(&mut record)?;
        black_box(&record);
        Ok(())
    })
}

/// The same for opening. Each record is copied before, as it would be received.
fn open_ns(cipher: Cipher, frame_len: usize, length: Duration) -> Result<f64> {
    let mut record = vec![b'x'; frame_len + TYPE_LEN];
    let mut sealer = Sealer::new(cipher)?;
    sealer.seal(&mut record)?;
    let key = TlsRecordOpeningKey::new(cipher.algorithm(), TlsProtocolId::TLS13, cipher.key())?;
    let mut received = Vec::new();
    timed(length, || {
        received.clear();
        received.extend_from_slice(&record);
        let header = header(received.len());
        let opened = key.open_in_place(nonce(0), Aad::from(header), &mut received)?;
        ensure!(opened.len() == frame_len + TYPE_LEN, "another length came out");
        black_box(opened);
        Ok(())
    })
}

/// Nanoseconds of one `work`, over `length`.
fn timed(length: Duration, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let (begin, mut count) = (Instant::now(), 0);
    loop {
        for _ in 0..RECORDS_PER_LOOK {
            work()?;
        }
        count += RECORDS_PER_LOOK;
        let elapsed = begin.elapsed();
        if elapsed >= length {
            return Ok(elapsed.as_nanos() as f64 / count as f64);
        }
    }
}

struct Sealer {
    key: TlsRecordSealingKey,
    records: u64,
}

impl Sealer {
    fn new(cipher: Cipher) -> Result<Self> {
        let key = TlsRecordSealingKey::new(cipher.algorithm(), TlsProtocolId::TLS13, cipher.key())?;
        Ok(Self { key, records: 0 })
    }

    fn seal(&mut self, record: &mut Vec<u8>) -> Result<()> {
        let header = header(record.len() + self.key.algorithm().tag_len());
        let nonce = nonce(self.records);
        self.records += 1;
        self.key.seal_in_place_append_tag(nonce, Aad::from(header), record).context("sealing")
    }
}

impl Cipher {
    fn key(self) -> &'static [u8] {
        &KEY[..self.algorithm().key_len()]
    }
}

fn header(record_len: usize) -> [u8; HEADER_LEN] {
    let [high, low] = (record_len as u16).to_be_bytes();
    [0x17, 3, 3, high, low]
}

/// Of a record's number, with an all-zero vector.
fn nonce(number: u64) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[NONCE_LEN - 8..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cipher_opens_what_it_sealed_and_nothing_else() {
        for cipher in Cipher::value_variants().iter().copied() {
            let mut record = b"a frame".to_vec();
            Sealer::new(cipher).unwrap().seal(&mut record).unwrap();
            assert_eq!(record.len(), 7 + 16);
            let key =
                TlsRecordOpeningKey::new(cipher.algorithm(), TlsProtocolId::TLS13, cipher.key()).unwrap();
            let open = |number, record: &mut Vec<u8>| {
                let header = header(record.len());
                key.open_in_place(nonce(number), Aad::from(header), record).map(|opened| opened.to_vec())
            };
            assert!(open(1, &mut record.clone()).is_err(), "another number");
            assert_eq!(open(0, &mut record).unwrap(), b"a frame");
        }
    }

    #[test]
    fn tls_picks_one_that_is_measured() {
        assert!(Cipher::picked().is_some());
    }

    #[test]
    fn a_round_says_what_a_message_costs() {
        let frames = FrameLengths::of_text(128).unwrap();
        let round = round(Cipher::Aes256Gcm, &frames, Duration::ZERO).unwrap();
        let of = |name: &str| round.values[name];
        let sum = of("open_send_ns") + of("seal_sent_ns") + of("seal_message_ns");
        assert!(sum > 0.0 && (of("aead_ns_per_message") - sum).abs() < 1e-6);
    }
}
