//! Clients on plain threads: bytes in, bytes out, cut at random places.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// No test waits longer for a byte.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the node accepts");
    stream.set_nodelay(true).expect("an option");
    stream.set_read_timeout(Some(PATIENCE)).expect("an option");
    stream.set_write_timeout(Some(PATIENCE)).expect("an option");
    stream
}

/// A connection with or without TLS.
pub struct Client {
    stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
    random: StdRng,
    /// Decrypted bytes that are not read yet.
    plain: Vec<u8>,
}

impl Client {
    pub fn plain(address: SocketAddr, seed: u64) -> Self {
        Self { stream: connect(address), tls: None, random: StdRng::seed_from_u64(seed), plain: Vec::new() }
    }

    pub fn secured(address: SocketAddr, certificate: &CertificateDer<'static>, seed: u64) -> Self {
        let mut client = Self::plain(address, seed);
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).expect("a certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").expect("a name");
        let mut tls = ClientConnection::new(Arc::new(config), name).expect("a session");
        while tls.is_handshaking() {
            tls.complete_io(&mut client.stream).expect("a handshake");
        }
        client.tls = Some(Box::new(tls));
        client
    }

    pub fn random(&mut self) -> &mut StdRng {
        &mut self.random
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends bytes in pieces cut at random places, half records among them.
    pub fn write(&mut self, bytes: &[u8]) {
        assert!(self.try_write(bytes), "the node reads");
    }

    /// The same; false when the node has closed.
    pub fn try_write(&mut self, bytes: &[u8]) -> bool {
        let raw = match &mut self.tls {
            None => bytes.to_vec(),
            Some(tls) => {
                let mut raw = Vec::new();
                let mut rest = bytes;
                while !rest.is_empty() {
                    if self.random.random_ratio(1, 16) {
                        tls.refresh_traffic_keys().expect("TLS 1.3");
                    }
                    let length = self.random.random_range(1..=rest.len().min(20_000));
                    tls.writer().write_all(&rest[..length]).expect("room");
                    while tls.wants_write() {
                        tls.write_tls(&mut raw).expect("a vector takes all");
                    }
                    rest = &rest[length..];
                }
                raw
            }
        };
        let mut rest = &raw[..];
        while !rest.is_empty() {
            let length = self.random.random_range(1..=rest.len().min(3_000));
            if self.stream.write_all(&rest[..length]).is_err() {
                return false;
            }
            rest = &rest[length..];
        }
        true
    }

    /// Reads exactly so many bytes; `None` when the node closes before.
    pub fn read(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.plain.len() < length {
            if self.fill() == 0 {
                return None;
            }
        }
        Some(self.plain.drain(..length).collect())
    }

    /// Reads what is there; 0 at the end.
    fn fill(&mut self) -> usize {
        let Some(tls) = &mut self.tls else {
            let mut buffer = [0; 16 * 1024];
            let length = self.stream.read(&mut buffer).unwrap_or(0);
            self.plain.extend_from_slice(&buffer[..length]);
            return length;
        };
        loop {
            if tls.read_tls(&mut self.stream).unwrap_or(0) == 0 {
                return 0;
            }
            let state = tls.process_new_packets().expect("the node's records are in order");
            let length = state.plaintext_bytes_to_read();
            if length > 0 {
                let start = self.plain.len();
                self.plain.resize(start + length, 0);
                tls.reader().read_exact(&mut self.plain[start..]).expect("it is there");
                return length;
            }
            if state.peer_has_closed() {
                return 0;
            }
        }
    }

    /// Sends a frame.
    pub fn send(&mut self, frame: &[u8]) {
        self.write(&super::driver::framed(frame));
    }

    /// The next frame; `None` at the end of the stream.
    pub fn frame(&mut self) -> Option<Vec<u8>> {
        let length = self.read(4)?;
        self.read(u32::from_le_bytes(length.try_into().expect("4 bytes")) as usize)
    }

    /// True when the node ends the stream without another frame.
    pub fn is_ended(&mut self) -> bool {
        self.frame().is_none()
    }

    /// Random bytes that start with `first`.
    pub fn random_frame(&mut self, first: u8, length_max: usize) -> Vec<u8> {
        let length = self.random.random_range(1..=length_max);
        let mut frame = vec![0; length];
        self.random.fill_bytes(&mut frame);
        frame[0] = first;
        frame
    }
}
