//! Which certificates of a Postgres server we accept, in the terms of libpq's `sslmode`.
//!
//! Signatures of the handshake are always checked, in every mode: channel binding rests on the
//! server having the key of the certificate that it shows.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::auth::certificate;

/// How much of a server's certificate is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// Nothing: encryption only.
    Nothing,
    /// It was issued by one of our roots.
    Chain,
    /// And for the host that we dialled.
    ChainAndName,
}

/// rustls' verifier in the words of `sslmode`.
#[derive(Debug)]
pub(super) struct ServerCertificates {
    pub(super) check: Check,
    pub(super) roots: Arc<RootCertStore>,
    /// The roots as they stand in the file: a self-signed server certificate may be among them.
    pub(super) trusted: Vec<CertificateDer<'static>>,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertificates {
    fn verify_chain(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        // A certificate that was made with `openssl req -x509`, as the Postgres manual does, is
        // its own root and marked as a CA. OpenSSL takes it from a server when it is in
        // sslrootcert; webpki would not (CaUsedAsEndEntity).
        if self.trusted.iter().any(|root| root == end_entity) {
            return verify_dates(end_entity, now);
        }
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(end_entity)?,
            &self.roots,
            intermediates,
            now,
            self.algorithms.all,
        )
    }
}

impl ServerCertVerifier for ServerCertificates {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.check {
            Check::Nothing => {}
            Check::Chain => self.verify_chain(end_entity, intermediates, now)?,
            Check::ChainAndName => {
                self.verify_chain(end_entity, intermediates, now)?;
                verify_name(end_entity, server_name)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn verify_dates(end_entity: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let Some((not_before, not_after)) = certificate::validity(end_entity) else {
        return Err(CertificateError::BadEncoding.into());
    };
    match i64::try_from(now.as_secs()) {
        Ok(now) if now < not_before => Err(CertificateError::NotValidYet.into()),
        Ok(now) if now <= not_after => Ok(()),
        Ok(_) | Err(_) => Err(CertificateError::Expired.into()),
    }
}

/// The host name must be one of the certificate's alternative names; only a certificate without
/// such names is known by its common name, as in libpq.
fn verify_name(end_entity: &CertificateDer<'_>, host: &ServerName<'_>) -> Result<(), Error> {
    let by_alternative_name = verify_server_name(&ParsedCertificate::try_from(end_entity)?, host);
    if by_alternative_name.is_err()
        && certificate::names_hosts(end_entity) == Some(false)
        && certificate::common_name_fits(end_entity, &host.to_str())
    {
        return Ok(());
    }
    by_alternative_name
}
