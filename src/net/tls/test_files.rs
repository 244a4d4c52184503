//! Certificates and keys as files, for the tests of this room and of those that build on it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
};

use super::*;

/// A certificate authority with a directory for its files, removed on drop.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: PathBuf,
}

impl Authority {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory =
            std::env::temp_dir().join(format!("pgweir-tls-{}-{number}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = named(&format!("authority {number}"));
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(directory.join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, directory }
    }

    /// Its own certificate.
    pub(crate) fn file(&self) -> PathBuf {
        self.directory.join("ca.pem")
    }

    /// A certificate with this common name and these host names, valid today.
    pub(crate) fn issue(&self, name: &str, hosts: &[&str]) -> CertificateAndKey {
        self.issue_with(name, hosts, |_| {})
    }

    pub(crate) fn issue_with(
        &self,
        name: &str,
        hosts: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> CertificateAndKey {
        let hosts: Vec<_> = hosts.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.distinguished_name = named(name);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        self.write(&certificate.pem(), &key.serialize_pem())
    }

    /// A certificate that is its own authority, as `openssl req -x509` makes it.
    pub(crate) fn self_signed(&self, name: &str, hosts: &[&str]) -> CertificateAndKey {
        let hosts: Vec<_> = hosts.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = named(name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        self.write(&certificate.pem(), &key.serialize_pem())
    }

    fn write(&self, certificate: &str, key: &str) -> CertificateAndKey {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let files = CertificateAndKey {
            certificate: self.directory.join(format!("{number}.pem")),
            key: self.directory.join(format!("{number}.key")),
        };
        fs::write(&files.certificate, certificate).unwrap();
        fs::write(&files.key, key).unwrap();
        fs::set_permissions(&files.key, fs::Permissions::from_mode(0o600)).unwrap();
        files
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

/// The side of pgweir, asking for no client certificates.
pub(crate) fn server(identity: &CertificateAndKey) -> ServerTlsContext {
    ServerTlsContext::load(&ServerTlsSettings {
        identity: identity.clone(),
        client_certificates: ClientCertificates::NotAsked,
        min_version: TlsVersion::V1_2,
    })
    .unwrap()
}

/// A client that trusts `authority` to the degree of `mode`.
pub(crate) fn client(mode: SslMode, authority: &Authority) -> ClientTlsContext {
    ClientTlsContext::load(&client_settings(mode, authority)).unwrap()
}

pub(crate) fn client_settings(mode: SslMode, authority: &Authority) -> ClientTlsSettings {
    ClientTlsSettings {
        mode,
        roots: Roots::File(authority.file()),
        identity: None,
        min_version: TlsVersion::V1_2,
    }
}
