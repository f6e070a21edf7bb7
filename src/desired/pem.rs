//! PEM in a config: CA bundles and public keys. What is unfit is refused before Vault sees it, because Vault's answer to
//! it does not say what is wrong. A private key is refused whatever else is true of it.

use rustls::RootCertStore;
use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};

const PRIVATE: &str = "must not contain a private key: everybody who may read Vault's config could sign with it; take it \
                       out, consider it known, and use its public half or certificate";

/// A bundle of CA certificates, all of which can be read.
pub(super) fn check_bundle(text: &str) -> Result<(), &'static str> {
    refuse_private(text)?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    if certificates.is_empty() {
        return Err("must hold at least one certificate in PEM ('-----BEGIN CERTIFICATE-----')");
    }
    let readable = |certificate: CertificateDer<'_>| RootCertStore::empty().add(certificate).is_ok();
    if certificates.into_iter().all(|certificate| certificate.is_ok_and(readable)) {
        Ok(())
    } else {
        Err("must hold only certificates that can be read: a PEM block is cut or damaged")
    }
}

/// One public key or certificate and nothing else, as Vault's `ParsePublicKeyPEM` wants it.
pub(super) fn check_public_key(text: &str) -> Result<(), &'static str> {
    refuse_private(text)?;
    if text.matches("-----BEGIN ").count() > 1 {
        return Err("must hold one PEM block only: put each key into an entry of its own");
    }
    let readable = match <(SectionKind, Vec<u8>)>::from_pem_slice(text.as_bytes()) {
        Ok((SectionKind::PublicKey, der)) => is_one_sequence(SubjectPublicKeyInfoDer::from(der).as_ref()),
        Ok((SectionKind::Certificate, der)) => RootCertStore::empty().add(CertificateDer::from(der)).is_ok(),
        _ => {
            return Err(
                "must be a public key or certificate in PEM ('-----BEGIN PUBLIC KEY-----'); 'openssl pkey -pubin' or \
                        'openssl rsa -RSAPublicKey_in -pubout' converts others",
            );
        }
    };
    if !readable {
        return Err("must be a whole public key: its PEM block is cut or damaged");
    }
    // Vault refuses whatever follows the block; the block itself may only be surrounded by blanks.
    let trimmed = text.trim();
    if trimmed.starts_with("-----BEGIN ") && trimmed.ends_with("-----") {
        Ok(())
    } else {
        Err("must hold nothing before or after its PEM block")
    }
}

fn refuse_private(text: &str) -> Result<(), &'static str> {
    if text.contains("PRIVATE KEY") { Err(PRIVATE) } else { Ok(()) }
}

/// Whether it is one DER SEQUENCE of exactly its stated length: a cut or concatenated key is not.
fn is_one_sequence(der: &[u8]) -> bool {
    let Some((&0x30, rest)) = der.split_first() else { return false };
    let Some((&first, rest)) = rest.split_first() else { return false };
    if first < 0x80 {
        return rest.len() == usize::from(first);
    }
    let octets = usize::from(first & 0x7f);
    let Some((length, body)) = rest.split_at_checked(octets).filter(|_| (1..=4).contains(&octets)) else {
        return false;
    };
    body.len() == length.iter().fold(0, |sum, octet| sum << 8 | usize::from(*octet))
}
