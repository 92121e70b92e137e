//! A connection to a node: TCP, on it TLS 1.3, and the judgement whether it is the right node.

mod address;
mod binding;
mod fingerprint;
mod trust;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

pub use address::{Address, AddressError};
pub use fingerprint::{Fingerprint, FingerprintError};
pub use trust::{FirstUse, Trust};

#[cfg(test)]
pub(crate) use binding::server_end_point;
use trust::{Rule, Verifier};

/// Longest wait for one address to answer.
const TCP_CONNECT_MAX: Duration = Duration::from_secs(5);
/// Longest wait for the TLS handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("cannot find {address}: {source}")]
    Resolve { address: Address, source: io::Error },
    #[error("cannot connect to {address}: {source}")]
    Tcp { address: Address, source: io::Error },
    #[error("{address} does not speak TLS, or not with us: {source}")]
    Handshake { address: Address, source: io::Error },
    #[error("TLS cannot be set up: {0}")]
    Tls(rustls::Error),
    #[error("the roots in {path} cannot be used: {reason}")]
    Roots { path: PathBuf, reason: String },
    /// Somebody else answers at this address, or the node has a new certificate.
    #[error(
        "the certificate of {address} is not the trusted one: it has the fingerprint {found}; \
         if the node really has a new certificate, pin that one"
    )]
    WrongCertificate { address: Address, found: Fingerprint },
    #[error(
        "the certificate of {address} is not known yet: compare its fingerprint {found} with the one the node \
         printed, then pin it"
    )]
    UnknownCertificate { address: Address, found: Fingerprint },
}

impl ConnectError {
    /// True when trying again cannot help: a person has to decide.
    pub fn is_final(&self) -> bool {
        match self {
            ConnectError::Resolve { .. } | ConnectError::Tcp { .. } | ConnectError::Handshake { .. } => false,
            ConnectError::Tls(_)
            | ConnectError::Roots { .. }
            | ConnectError::WrongCertificate { .. }
            | ConnectError::UnknownCertificate { .. } => true,
        }
    }
}

/// How to connect: with TLS and this trust, or without encryption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Security {
    Tls(Trust),
    /// Nothing is encrypted: anyone on the way reads everything.
    Plain,
}

/// Bytes both ways.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// An open connection on which nothing was sent yet.
pub(crate) struct Connected {
    pub(crate) stream: Box<dyn Stream>,
    /// `tls-server-end-point` of the node's certificate, where it has one.
    pub(crate) binding: Option<Vec<u8>>,
    /// A certificate trusted by its fingerprint alone, which is to be remembered before anything is sent.
    pub(crate) to_remember: Option<Fingerprint>,
}

/// Connects to the first address behind `address` that answers. `remembered` are the fingerprints known for it.
pub(crate) async fn connect(
    address: &Address,
    security: &Security,
    remembered: &[Fingerprint],
) -> Result<Connected, ConnectError> {
    let tcp = connect_tcp(address).await?;
    let trust = match security {
        Security::Plain => {
            return Ok(Connected { stream: Box::new(tcp), binding: None, to_remember: None });
        }
        Security::Tls(trust) => trust,
    };
    let is_loopback = tcp.peer_addr().is_ok_and(|peer| peer.ip().to_canonical().is_loopback());
    let rule = match trust {
        Trust::Pinned(pins) => Rule::Pinned(pins.clone()),
        Trust::Roots(path) => trust::roots(path)?,
        Trust::Remembered { .. } if !remembered.is_empty() => Rule::Pinned(remembered.to_vec()),
        Trust::Remembered { .. } => Rule::AnySeen,
    };
    let is_first = matches!(rule, Rule::AnySeen);
    let verifier = Verifier::new(rule);
    let connector = TlsConnector::from(Arc::new(verifier.config()?));
    let handshake = connector.connect(server_name(address), tcp);
    let stream = match tokio::time::timeout(HANDSHAKE_MAX, handshake).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(source)) => return Err(handshake_error(address, source, &verifier)),
        Err(_) => {
            let source = io::Error::new(io::ErrorKind::TimedOut, "no answer to the handshake");
            return Err(ConnectError::Handshake { address: address.clone(), source });
        }
    };
    let (_, session) = stream.get_ref();
    let leaf = session.peer_certificates().and_then(|chain| chain.first());
    let binding = leaf.and_then(|leaf| binding::server_end_point(leaf));
    let to_remember = verifier.seen().filter(|_| is_first || matches!(trust, Trust::Pinned(_)));
    match (to_remember, trust) {
        (Some(found), Trust::Remembered { first_use: FirstUse::LoopbackOnly }) if !is_loopback => {
            Err(ConnectError::UnknownCertificate { address: address.clone(), found })
        }
        _ => Ok(Connected { stream: Box::new(stream), binding, to_remember }),
    }
}

async fn connect_tcp(address: &Address) -> Result<TcpStream, ConnectError> {
    let candidates: Vec<SocketAddr> = tokio::net::lookup_host((address.host.as_str(), address.port))
        .await
        .map_err(|source| ConnectError::Resolve { address: address.clone(), source })?
        .collect();
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for candidate in candidates {
        match tokio::time::timeout(TCP_CONNECT_MAX, TcpStream::connect(candidate)).await {
            Ok(Ok(stream)) => {
                stream
                    .set_nodelay(true)
                    .map_err(|source| ConnectError::Tcp { address: address.clone(), source })?;
                return Ok(stream);
            }
            Ok(Err(error)) => failure = error,
            Err(_) => failure = io::Error::new(io::ErrorKind::TimedOut, "no answer"),
        }
    }
    Err(ConnectError::Tcp { address: address.clone(), source: failure })
}

fn handshake_error(address: &Address, source: io::Error, verifier: &Verifier) -> ConnectError {
    let refused_by_us = source
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        .is_some_and(|error| matches!(error, rustls::Error::InvalidCertificate(_)));
    match verifier.seen() {
        Some(found) if refused_by_us => ConnectError::WrongCertificate { address: address.clone(), found },
        _ => ConnectError::Handshake { address: address.clone(), source },
    }
}

/// The name the certificate is checked for (by roots) and the node is asked for.
fn server_name(address: &Address) -> ServerName<'static> {
    ServerName::try_from(address.host.clone()).unwrap_or_else(|_| {
        // Not a DNS name (an underscore, say): pins do not need one, and roots will refuse this one.
        ServerName::try_from("invalid.invalid").expect("a DNS name")
    })
}
