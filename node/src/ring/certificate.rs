//! The node's certificate: given, or made at first start; and what clients bind their login to.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs as provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Name of the self-made certificate in the data folder.
pub const CERTIFICATE_FILE: &str = "certificate.pem";
/// Name of its key, readable by the owner only.
pub const KEY_FILE: &str = "certificate-key.pem";
/// Tickets after a handshake. With none, a client without TCP_NODELAY waits 40 ms at each login.
const TICKETS: usize = 2;

/// Why there is no certificate to serve with.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: rustls::pki_types::pem::Error },
    #[error("{path} holds no certificate")]
    Empty { path: PathBuf },
    #[error("the certificate and its key cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    #[error("cannot write {path}: {source}")]
    Write { path: PathBuf, source: io::Error },
}

/// A certificate in use. Each has ticket keys of its own, so that no session outlives a change of certificate.
pub struct Identity {
    pub config: Arc<ServerConfig>,
    /// SHA-256 of the certificate: what clients pin.
    pub fingerprint: [u8; 32],
    /// `tls-server-end-point` of RFC 5929; `None` for signatures for which it is undefined.
    pub endpoint: Option<Box<[u8]>>,
}

impl Identity {
    /// Serves with a given chain and key, both PEM.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, CertificateError> {
        let chain = CertificateDer::pem_file_iter(certificate)
            .and_then(|chain| chain.collect::<Result<Vec<_>, _>>())
            .map_err(|source| CertificateError::Read { path: certificate.into(), source })?;
        if chain.is_empty() {
            return Err(CertificateError::Empty { path: certificate.into() });
        }
        let key = PrivateKeyDer::from_pem_file(key)
            .map_err(|source| CertificateError::Read { path: key.into(), source })?;
        Self::new(chain, key)
    }

    /// Serves with the certificate in `folder`, made there if there is none. `names` are host names and addresses.
    pub fn self_made(folder: &Path, names: Vec<String>) -> Result<Self, CertificateError> {
        let (certificate, key) = (folder.join(CERTIFICATE_FILE), folder.join(KEY_FILE));
        if !certificate.exists() {
            let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
            let mut params = rcgen::CertificateParams::new(names)?;
            params.distinguished_name.push(rcgen::DnType::CommonName, "Ringtalk node");
            let made = params.self_signed(&pair)?;
            // The certificate comes last: its being there says that the key is.
            write_whole(folder, &key, pair.serialize_pem().as_bytes(), 0o600)?;
            write_whole(folder, &certificate, made.pem().as_bytes(), 0o644)?;
        }
        Self::load(&certificate, &key)
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, CertificateError> {
        let leaf = chain[0].to_vec();
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.send_tls13_tickets = TICKETS;
        config.ticketer = provider::Ticketer::new()?;
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        let fingerprint = digest::digest(&digest::SHA256, &leaf).as_ref().try_into().expect("32 bytes");
        Ok(Self { config: Arc::new(config), fingerprint, endpoint: endpoint(&leaf) })
    }

    /// The fingerprint as people compare it: `AB:CD:...`.
    pub fn fingerprint_text(&self) -> String {
        let pairs: Vec<String> = self.fingerprint.iter().map(|byte| format!("{byte:02X}")).collect();
        pairs.join(":")
    }
}

/// Writes a file so that it is there whole or not at all.
fn write_whole(folder: &Path, path: &Path, bytes: &[u8], mode: u32) -> Result<(), CertificateError> {
    let part = path.with_extension("part");
    let write = || {
        match fs::remove_file(&part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&part, path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|source| CertificateError::Write { path: path.into(), source })
}

const OID_ECDSA_SHA2: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03];
const OID_ECDSA_SHA1: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x01];
const OID_RSA: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01];

/// The hash of the whole certificate with the hash of its signature algorithm; MD5 and SHA-1 become SHA-256
/// (RFC 5929 section 4.1). `None` where the algorithm has no single hash (Ed25519, ML-DSA, RSASSA-PSS).
fn endpoint(certificate: &[u8]) -> Option<Box<[u8]>> {
    let algorithm = match signature_algorithm(certificate)? {
        oid if oid == OID_ECDSA_SHA1 => &digest::SHA256,
        oid => match oid.split_last()? {
            (2, OID_ECDSA_SHA2) | (4 | 5 | 11, OID_RSA) => &digest::SHA256,
            (3, OID_ECDSA_SHA2) | (12, OID_RSA) => &digest::SHA384,
            (4, OID_ECDSA_SHA2) | (13, OID_RSA) => &digest::SHA512,
            _ => return None,
        },
    };
    Some(digest::digest(algorithm, certificate).as_ref().into())
}

/// The object id in the second element of the certificate's outer sequence.
fn signature_algorithm(certificate: &[u8]) -> Option<&[u8]> {
    let (outer, _) = element(certificate, 0x30)?;
    let (_, after_body) = element(outer, 0x30)?;
    let (algorithm, _) = element(after_body, 0x30)?;
    Some(element(algorithm, 0x06)?.0)
}

/// Contents of the DER element with this tag at the start, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[first, short], rest) = der.split_first_chunk::<2>()?;
    if first != tag {
        return None;
    }
    let (length, rest) = if short < 0x80 {
        (short as usize, rest)
    } else {
        let (digits, rest) = rest.split_at_checked((short & 0x7F) as usize)?;
        if digits.is_empty() || digits.len() > 4 {
            return None;
        }
        (digits.iter().fold(0usize, |length, &digit| length << 8 | digit as usize), rest)
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_self_made_certificate_stays_the_same_and_its_key_is_private() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = Identity::self_made(folder.path(), vec!["localhost".into()]).expect("made");
        let second = Identity::self_made(folder.path(), vec!["localhost".into()]).expect("loaded");
        assert_eq!(first.fingerprint, second.fingerprint);
        assert_eq!(first.endpoint.as_deref(), Some(&first.fingerprint[..]), "ECDSA with SHA-256");
        let mode = fs::metadata(folder.path().join(KEY_FILE)).expect("the key").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(first.fingerprint_text().len(), 32 * 3 - 1);
    }

    #[test]
    fn the_hash_follows_the_signature_algorithm() {
        let made = |algorithm| {
            let pair = rcgen::KeyPair::generate_for(algorithm).expect("a key");
            let params = rcgen::CertificateParams::new(vec!["localhost".into()]).expect("parameters");
            let der = params.self_signed(&pair).expect("signed").der().to_vec();
            endpoint(&der).map(|hash| hash.len())
        };
        assert_eq!(made(&rcgen::PKCS_ECDSA_P256_SHA256), Some(32));
        assert_eq!(made(&rcgen::PKCS_ECDSA_P384_SHA384), Some(48));
        assert_eq!(made(&rcgen::PKCS_ED25519), None);
    }

    #[test]
    fn broken_certificates_have_no_hash_and_do_not_panic() {
        for bytes in
            [&[][..], &[0x30], &[0x30, 0x80], &[0x30, 0x85, 1, 1, 1, 1, 1], &[0x30, 0x02, 0x30, 0x7F]]
        {
            assert_eq!(endpoint(bytes), None);
        }
    }

    #[test]
    fn errors_name_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let missing = folder.path().join("none.pem");
        let error = Identity::load(&missing, &missing).err().expect("no certificate").to_string();
        assert!(error.contains("none.pem"), "{error}");
    }
}
