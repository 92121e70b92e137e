//! One connection of a client: socket, TLS, frames.

use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use mio::net::TcpStream;
use rustls::{ClientConfig, ClientConnection};
use sha2::{Digest, Sha256};
use wire::frame::LENGTH_LEN;

const READ_LEN: usize = 64 * 1024;

/// What all links read into, one after the other.
#[derive(Debug)]
pub(super) struct Buffers {
    socket: Vec<u8>,
    plain: Vec<u8>,
}

impl Default for Buffers {
    fn default() -> Self {
        Self { socket: vec![0; READ_LEN], plain: vec![0; READ_LEN] }
    }
}

#[derive(Debug)]
pub(super) struct Link {
    stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
    /// The beginning of a frame whose end has not come.
    input: Vec<u8>,
    output: Vec<u8>,
    written: usize,
}

impl Link {
    pub(super) fn new(stream: TcpStream, tls: Option<Arc<ClientConfig>>) -> Result<Self> {
        let server = rustls::pki_types::ServerName::try_from("localhost").expect("a valid name");
        let tls = match tls {
            Some(config) => Some(Box::new(ClientConnection::new(config, server)?)),
            None => None,
        };
        Ok(Self { stream, tls, input: Vec::new(), output: Vec::new(), written: 0 })
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// Queues a whole frame.
    pub(super) fn push(&mut self, frame: &[u8]) {
        match &mut self.tls {
            Some(tls) => tls.writer().write_all(frame).expect("a buffer in memory"),
            None => self.output.extend_from_slice(frame),
        }
    }

    pub(super) fn has_output(&self) -> bool {
        self.written < self.output.len() || self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Sends as much as the socket takes.
    pub(super) fn write(&mut self) -> Result<()> {
        loop {
            if let Some(tls) = &mut self.tls {
                while tls.wants_write() {
                    tls.write_tls(&mut self.output)?;
                }
            }
            let rest = &self.output[self.written..];
            if rest.is_empty() {
                self.output.clear();
                self.written = 0;
                return Ok(());
            }
            match self.stream.write(rest) {
                Ok(count) => self.written += count,
                // A connection that is not made yet is not ready either.
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Reads all there is and hands over whole frames without their length fields.
    pub(super) fn read(
        &mut self,
        buffers: &mut Buffers,
        mut handle: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let Buffers { socket, plain } = buffers;
        loop {
            let count = match self.stream.read(socket) {
                Ok(0) => bail!("the node closed the connection"),
                Ok(count) => count,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            match &mut self.tls {
                None => cut(&mut self.input, &socket[..count], &mut handle)?,
                Some(tls) => {
                    decrypt(tls, &socket[..count], plain, |bytes| cut(&mut self.input, bytes, &mut handle))?
                }
            }
            if count < READ_LEN {
                return Ok(());
            }
        }
    }

    /// Closes without a goodbye.
    pub(super) fn cut(self) {
        let socket = socket2::SockRef::from(&self.stream);
        // Where it fails the connection closes in the ordinary way.
        let _ = socket.set_linger(Some(std::time::Duration::ZERO));
    }

    /// `tls-server-end-point` of the node's self-made certificate, which is signed with SHA-256.
    pub(super) fn binding(&self) -> Result<Vec<u8>> {
        let Some(tls) = &self.tls else { return Ok(Vec::new()) };
        let certificate =
            tls.peer_certificates().and_then(|chain| chain.first()).context("no certificate")?;
        Ok(Sha256::digest(certificate).to_vec())
    }
}

fn decrypt(
    tls: &mut ClientConnection,
    mut bytes: &[u8],
    plain: &mut [u8],
    mut handle: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    while !bytes.is_empty() {
        tls.read_tls(&mut bytes)?;
        tls.process_new_packets()?;
        loop {
            match tls.reader().read(plain) {
                Ok(0) => break,
                Ok(count) => handle(&plain[..count])?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// Cuts `bytes`, which come behind `held`, into frames; what is left over is held.
fn cut(held: &mut Vec<u8>, bytes: &[u8], handle: &mut impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    if held.is_empty() {
        let rest = cut_whole(bytes, handle)?;
        held.extend_from_slice(rest);
        return Ok(());
    }
    held.extend_from_slice(bytes);
    let rest = cut_whole(held, handle)?.len();
    held.drain(..held.len() - rest);
    Ok(())
}

fn cut_whole<'a>(mut bytes: &'a [u8], handle: &mut impl FnMut(&[u8]) -> Result<()>) -> Result<&'a [u8]> {
    while let Some((field, rest)) = bytes.split_first_chunk::<LENGTH_LEN>() {
        let length = u32::from_le_bytes(*field) as usize;
        if length > wire::limits::FRAME_LEN_MAX {
            bail!("the node announced a frame of {length} bytes");
        }
        let Some((frame, rest)) = rest.split_at_checked(length) else { break };
        handle(frame)?;
        bytes = rest;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_whole_however_the_stream_is_cut() {
        let mut stream = Vec::new();
        for frame in [&b"first"[..], b"", b"the third"] {
            stream.extend_from_slice(&(frame.len() as u32).to_le_bytes());
            stream.extend_from_slice(frame);
        }
        for first in 0..=stream.len() {
            for second in first..=stream.len() {
                let (mut held, mut frames) = (Vec::new(), Vec::new());
                for part in [&stream[..first], &stream[first..second], &stream[second..]] {
                    cut(&mut held, part, &mut |frame| {
                        frames.push(frame.to_vec());
                        Ok(())
                    })
                    .unwrap();
                }
                assert_eq!(frames, [&b"first"[..], b"", b"the third"], "cut at {first} and {second}");
                assert!(held.is_empty());
            }
        }
    }

    #[test]
    fn an_endless_frame_is_refused() {
        let mut held = Vec::new();
        assert!(cut(&mut held, &u32::MAX.to_le_bytes(), &mut |_| Ok(())).is_err());
    }
}
