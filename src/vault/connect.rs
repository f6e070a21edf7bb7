//! Why there is no connection: the source chain of a client error, read down to the cause that a person can act on.

use std::error::Error;
use std::fmt;
use std::io;

use rustls::{AlertDescription, CertificateError};

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConnectFailure {
    /// Nobody listens there.
    #[error("the connection was refused")]
    Refused,
    /// The host's name has no address.
    #[error("the host's name could not be resolved")]
    Dns,
    /// No answer to the attempt to connect.
    #[error("the host did not answer in time")]
    NoAnswer,
    /// No way to the host.
    #[error("there is no route to the host")]
    NoRoute,
    /// The connection ended before the answer.
    #[error("the connection was closed before the answer")]
    Closed,
    /// TLS could not be agreed.
    #[error("TLS failed: {0}")]
    Tls(TlsFailure),
    /// Anything else.
    #[error("the connection failed")]
    Other,
}

/// Why TLS could not be agreed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TlsFailure {
    /// The certificate chains to no CA that is trusted.
    #[error("the certificate is signed by an unknown CA")]
    UnknownCa,
    /// The certificate is out of date.
    #[error("the certificate has expired")]
    Expired,
    /// The certificate is not valid yet.
    #[error("the certificate is not valid yet")]
    NotYetValid,
    /// The certificate is for another name.
    #[error("the certificate is for another name than the address or serverName")]
    WrongName,
    /// Something else about the certificate.
    #[error("the certificate is not acceptable")]
    BadCertificate,
    /// The server wants a client certificate, or another one.
    #[error("the server did not accept the client certificate, or wants one")]
    ClientCertificate,
    /// The other side does not speak TLS.
    #[error("the server does not speak TLS: should the address begin with http:?")]
    NotTls,
    /// Anything else, e.g. no common version.
    #[error("no agreement on a protocol version or cipher")]
    Other,
}

/// A host whose name could not be resolved; found again in the source chain of the client's error.
#[derive(Debug)]
pub(super) struct Unresolved;

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no such host")
    }
}

impl Error for Unresolved {}

/// Reads the chain of sources down to the first that says more than "failed".
pub(super) fn classify(error: &reqwest::Error) -> ConnectFailure {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    let mut found = if error.is_connect() && error.is_timeout() {
        ConnectFailure::NoAnswer
    } else if error.is_connect() {
        ConnectFailure::Other
    } else {
        ConnectFailure::Closed
    };
    while let Some(error) = cause {
        if error.is::<Unresolved>() {
            return ConnectFailure::Dns;
        }
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return ConnectFailure::Tls(of_tls(tls));
        }
        if let Some(io) = error.downcast_ref::<io::Error>() {
            found = of_io(io.kind()).unwrap_or(found);
            // An `io::Error` that wraps another error hides it from `source`.
            if let Some(inner) = io.get_ref() {
                cause = Some(inner);
                continue;
            }
        }
        cause = error.source();
    }
    found
}

fn of_io(kind: io::ErrorKind) -> Option<ConnectFailure> {
    Some(match kind {
        io::ErrorKind::ConnectionRefused => ConnectFailure::Refused,
        io::ErrorKind::TimedOut => ConnectFailure::NoAnswer,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => ConnectFailure::NoRoute,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => ConnectFailure::Closed,
        _ => return None,
    })
}

fn of_tls(error: &rustls::Error) -> TlsFailure {
    match error {
        rustls::Error::InvalidCertificate(problem) => match problem {
            // A signature that is bad, or is not of the kind of the CA's key, is that of another CA with the same name,
            // e.g. before a rotation.
            CertificateError::UnknownIssuer
            | CertificateError::BadSignature
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => TlsFailure::UnknownCa,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => TlsFailure::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => TlsFailure::NotYetValid,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                TlsFailure::WrongName
            }
            _ => TlsFailure::BadCertificate,
        },
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::AccessDenied,
        ) => TlsFailure::ClientCertificate,
        rustls::Error::InvalidMessage(_) => TlsFailure::NotTls,
        _ => TlsFailure::Other,
    }
}
