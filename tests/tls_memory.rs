//! What an idle TLS connection costs in memory. Alone in its binary: it reads the process's
//! resident memory, which other tests would move.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use pgweir::net::tls::{
    CertificateAndKey, ClientCertificates, ClientTlsContext, ClientTlsSettings, Roots,
    ServerTlsContext, ServerTlsSettings, SslMode, TlsSession, TlsVersion,
};

const CONNECTIONS: usize = 500;
const LIMIT: usize = 4_608;

/// One side in memory, with a scratch buffer like a loop's, which ends with the exchange.
struct End<'a> {
    session: &'a mut TlsSession,
    incoming: Vec<u8>,
    plain: Vec<u8>,
    outgoing: Vec<u8>,
}

impl<'a> End<'a> {
    fn new(session: &'a mut TlsSession) -> Self {
        let mut end = Self { session, incoming: vec![], plain: vec![], outgoing: vec![] };
        end.receive();
        end
    }

    fn receive(&mut self) {
        let Self { session, incoming, plain, outgoing } = self;
        let consumed = session.receive(incoming, plain, outgoing).unwrap();
        incoming.drain(..consumed.bytes);
    }
}

fn carry(from: &mut End<'_>, to: &mut End<'_>) {
    to.incoming.append(&mut from.outgoing);
    to.receive();
}

/// A handshake, a question and an answer. Only our side is kept.
fn established(client: &ClientTlsContext, server: &ServerTlsContext) -> Box<TlsSession> {
    let mut ours = Box::new(server.session().unwrap());
    let mut theirs = client.session("pgweir.test").unwrap();
    let mut server = End::new(&mut ours);
    let mut client = End::new(&mut theirs);
    while client.session.handshaking() || server.session.handshaking() {
        carry(&mut client, &mut server);
        carry(&mut server, &mut client);
    }
    client.session.send(b"a question", &mut client.outgoing).unwrap();
    carry(&mut client, &mut server);
    server.session.send(&[b'x'; 2000], &mut server.outgoing).unwrap();
    carry(&mut server, &mut client);
    assert_eq!((server.plain.len(), client.plain.len()), (10, 2000));
    ours
}

/// Anonymous resident memory, in bytes.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

#[test]
fn an_idle_tls_connection_costs_little() {
    let directory = std::env::temp_dir().join(format!("pgweir-tls-memory-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["pgweir.test".into()]).unwrap();
    let identity = CertificateAndKey {
        certificate: directory.join("certificate.pem"),
        key: directory.join("key.pem"),
    };
    fs::write(&identity.certificate, made.cert.pem()).unwrap();
    fs::write(&identity.key, made.signing_key.serialize_pem()).unwrap();
    fs::set_permissions(&identity.key, fs::Permissions::from_mode(0o600)).unwrap();
    let server = |min_version| {
        ServerTlsContext::load(&ServerTlsSettings {
            identity: identity.clone(),
            client_certificates: ClientCertificates::NotAsked,
            min_version,
        })
        .unwrap()
    };
    let server = server(TlsVersion::V1_2);
    let client = ClientTlsContext::load(&ClientTlsSettings {
        mode: SslMode::Require,
        roots: Roots::System,
        identity: None,
        min_version: TlsVersion::V1_2,
    })
    .unwrap();
    fs::remove_dir_all(&directory).unwrap();

    // The first ones fill the allocator's and the crypto library's own stores.
    let warm: Vec<_> = (0..50).map(|_| established(&client, &server)).collect();
    let before = resident();
    let mut kept = Vec::with_capacity(CONNECTIONS);
    kept.extend((0..CONNECTIONS).map(|_| established(&client, &server)));
    let each = (resident() - before) / CONNECTIONS;
    println!("{each} bytes per idle TLS connection, of which {} inline", size_of::<TlsSession>());
    assert!(each <= LIMIT, "{each} bytes per connection");
    drop((warm, kept));
}
