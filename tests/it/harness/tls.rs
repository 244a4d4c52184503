//! TLS to pgweir, after SSLRequest or directly.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::certificates::Authority;
use super::message;
use super::raw::{RawClient, TlsStream};

/// The protocol's name in ALPN.
pub const ALPN: &[u8] = b"postgresql";

/// Connects, asks for TLS, shakes hands; trusts `authority`.
pub fn after_request(address: SocketAddr, authority: &Authority) -> io::Result<RawClient> {
    let mut socket = dial(address)?;
    socket.write_all(&message::ssl_request())?;
    let mut answer = [0];
    socket.read_exact(&mut answer)?;
    if answer != *b"S" {
        return Err(io::Error::other(format!("answered {:?} to SSLRequest", answer[0] as char)));
    }
    shake_hands(socket, authority, &[]).map(RawClient::from_tls)
}

/// Connects and shakes hands without asking, with these names in ALPN.
pub fn direct(
    address: SocketAddr,
    authority: &Authority,
    protocols: &[&[u8]],
) -> io::Result<RawClient> {
    shake_hands(dial(address)?, authority, protocols).map(RawClient::from_tls)
}

fn dial(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

fn shake_hands(
    socket: TcpStream,
    authority: &Authority,
    protocols: &[&[u8]],
) -> io::Result<TlsStream> {
    let mut roots = RootCertStore::empty();
    let own = CertificateDer::from_pem_slice(authority.pem().as_bytes()).expect("PEM");
    roots.add(own).expect("an authority");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let name = ServerName::try_from("localhost").expect("a name");
    let session = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(session, socket);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}
