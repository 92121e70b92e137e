//! `tls-server-end-point` (RFC 5929 section 4): what binds a login to the certificate the client saw.

use sha2::{Digest, Sha256, Sha384, Sha512};

const TAG_SEQUENCE: u8 = 0x30;
const TAG_OID: u8 = 0x06;
const OID_ECDSA_SHA2: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03];
const OID_ECDSA_SHA1: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x01];
const OID_RSA: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01];

/// The hash of the whole certificate with the hash of its signature algorithm; MD5 and SHA-1 become SHA-256.
/// `None` where the algorithm has no single hash (Ed25519, ML-DSA, RSASSA-PSS): no channel binding then.
pub fn server_end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let algorithm = signature_algorithm(certificate)?;
    if algorithm == OID_ECDSA_SHA1 {
        return Some(Sha256::digest(certificate).to_vec());
    }
    let (last, family) = algorithm.split_last()?;
    match (family, last) {
        (OID_ECDSA_SHA2, 2) | (OID_RSA, 4 | 5 | 11) => Some(Sha256::digest(certificate).to_vec()),
        (OID_ECDSA_SHA2, 3) | (OID_RSA, 12) => Some(Sha384::digest(certificate).to_vec()),
        (OID_ECDSA_SHA2, 4) | (OID_RSA, 13) => Some(Sha512::digest(certificate).to_vec()),
        _ => None,
    }
}

/// The object id in the second element of the certificate's outer sequence.
fn signature_algorithm(certificate: &[u8]) -> Option<&[u8]> {
    let (outer, _) = element(certificate, TAG_SEQUENCE)?;
    let (_, behind_body) = element(outer, TAG_SEQUENCE)?;
    let (algorithm, _) = element(behind_body, TAG_SEQUENCE)?;
    Some(element(algorithm, TAG_OID)?.0)
}

/// Contents of the DER element with this tag at the start, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[first, short], rest) = der.split_first_chunk::<2>()?;
    if first != tag {
        return None;
    }
    if short < 0x80 {
        return rest.split_at_checked(short as usize);
    }
    let (digits, rest) = rest.split_at_checked((short & 0x7F) as usize)?;
    if digits.is_empty() || digits.len() > 4 {
        return None;
    }
    let length = digits.iter().fold(0, |length, digit| length << 8 | *digit as usize);
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(algorithm: &'static rcgen::SignatureAlgorithm) -> Vec<u8> {
        let key = rcgen::KeyPair::generate_for(algorithm).expect("a key");
        let params = rcgen::CertificateParams::new(vec!["node.example".to_owned()]).expect("a name");
        params.self_signed(&key).expect("a certificate").der().to_vec()
    }

    #[test]
    fn the_hash_is_that_of_the_signature_algorithm() {
        let p256 = certificate(&rcgen::PKCS_ECDSA_P256_SHA256);
        assert_eq!(server_end_point(&p256), Some(Sha256::digest(&p256).to_vec()));
        let p384 = certificate(&rcgen::PKCS_ECDSA_P384_SHA384);
        assert_eq!(server_end_point(&p384), Some(Sha384::digest(&p384).to_vec()));
        assert_eq!(server_end_point(&certificate(&rcgen::PKCS_ED25519)), None);
    }

    #[test]
    fn cut_certificates_give_nothing() {
        let whole = certificate(&rcgen::PKCS_ECDSA_P256_SHA256);
        for len in 0..whole.len() {
            assert_eq!(server_end_point(&whole[..len]), None, "the first {len} bytes");
        }
    }
}
