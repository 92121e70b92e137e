//! Which certificates are trusted.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::{ConnectError, Fingerprint};

/// How the node's certificate is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// One of these fingerprints, nothing else. The fingerprint is the identity: names and dates are not looked at. The
    /// one that was met is remembered instead of an earlier one.
    Pinned(Vec<Fingerprint>),
    /// A chain to one of the roots in this PEM file, with the right name and dates.
    Roots(PathBuf),
    /// The fingerprint remembered for this address.
    Remembered { first_use: FirstUse },
}

/// What happens at an address whose fingerprint is not yet known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstUse {
    /// Refused, except on loopback, where the connection cannot be somebody else's.
    LoopbackOnly,
    /// The certificate that is met first is remembered: the person said so.
    Anywhere,
}

/// What a connection's verifier decides by.
#[derive(Debug)]
pub(super) enum Rule {
    Pinned(Vec<Fingerprint>),
    /// Any certificate; the caller decides before it sends anything.
    AnySeen,
    Roots(Arc<WebPkiServerVerifier>),
}

/// Checks a node's certificate by a [`Rule`] and keeps the fingerprint it saw.
#[derive(Debug)]
pub(super) struct Verifier {
    rule: Rule,
    provider: Arc<CryptoProvider>,
    seen: Mutex<Option<Fingerprint>>,
}

impl Verifier {
    pub(super) fn new(rule: Rule) -> Arc<Self> {
        Arc::new(Self { rule, provider: Arc::new(aws_lc_rs::default_provider()), seen: Mutex::new(None) })
    }

    /// The fingerprint of the certificate the node showed.
    pub(super) fn seen(&self) -> Option<Fingerprint> {
        *self.seen.lock().expect("nothing panics under it")
    }

    /// TLS 1.3 only. No resumption: the channel binding is that of the certificate of this very connection.
    pub(super) fn config(self: &Arc<Self>) -> Result<ClientConfig, ConnectError> {
        let mut config = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(ConnectError::Tls)?
            .dangerous()
            .with_custom_certificate_verifier(self.clone())
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(config)
    }
}

/// The verifier for roots in a PEM file.
pub(super) fn roots(path: &PathBuf) -> Result<Rule, ConnectError> {
    let unreadable = |reason: String| ConnectError::Roots { path: path.clone(), reason };
    let mut store = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| unreadable(error.to_string()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
        store.add(certificate).map_err(|error| unreadable(error.to_string()))?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider)
        .build()
        .map_err(|error| unreadable(error.to_string()))?;
    Ok(Rule::Roots(verifier))
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let seen = Fingerprint::of(end_entity);
        *self.seen.lock().expect("nothing panics under it") = Some(seen);
        match &self.rule {
            Rule::AnySeen => Ok(ServerCertVerified::assertion()),
            Rule::Pinned(pins) if pins.contains(&seen) => Ok(ServerCertVerified::assertion()),
            Rule::Pinned(_) => Err(CertificateError::ApplicationVerificationFailure.into()),
            Rule::Roots(verifier) => {
                verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
