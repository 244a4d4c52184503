use std::fs;
use std::os::unix::fs::PermissionsExt;

use aws_lc_rs::aead;
use proptest::prelude::*;
use rustls::{ConnectionTrafficSecrets, SupportedProtocolVersion};

use super::test_files::{Authority, client, client_settings, server};
use super::*;
use crate::auth::certificate;

/// One side of a connection in memory.
struct End {
    session: TlsSession,
    undecrypted: Vec<u8>,
    plain: Vec<u8>,
    outgoing: Vec<u8>,
    closed: bool,
}

impl End {
    fn new(session: TlsSession) -> Self {
        Self {
            session,
            undecrypted: Vec::new(),
            plain: Vec::new(),
            outgoing: Vec::new(),
            closed: false,
        }
    }

    fn receive(&mut self, bytes: &[u8]) -> Result<(), TlsError> {
        self.undecrypted.extend_from_slice(bytes);
        let done =
            self.session.receive(&mut self.undecrypted, &mut self.plain, &mut self.outgoing)?;
        self.undecrypted.drain(..done.bytes);
        self.closed = done.closed;
        Ok(())
    }

    fn send(&mut self, plain: &[u8]) {
        self.session.send(plain, &mut self.outgoing).unwrap();
    }
}

/// Carries bytes to and fro, at most `chunk` at once, until both have nothing to say.
fn talk(client: &mut End, server: &mut End, chunk: usize) -> Result<(), TlsError> {
    loop {
        let (to_server, to_client) =
            (std::mem::take(&mut client.outgoing), std::mem::take(&mut server.outgoing));
        if to_server.is_empty() && to_client.is_empty() {
            return Ok(());
        }
        let at_server = to_server.chunks(chunk).try_for_each(|bytes| server.receive(bytes));
        let at_client = to_client.chunks(chunk).try_for_each(|bytes| client.receive(bytes));
        at_client.and(at_server)?;
    }
}

fn connect(
    client: &ClientTlsContext,
    host: &str,
    server: &ServerTlsContext,
    chunk: usize,
) -> Result<(End, End), TlsError> {
    let mut client = End::new(client.session(host)?);
    let mut server = End::new(server.session()?);
    client.receive(&[])?;
    assert!(client.session.handshaking() && server.session.handshaking());
    talk(&mut client, &mut server, chunk)?;
    assert!(!client.session.handshaking() && !server.session.handshaking());
    Ok((client, server))
}

/// Two established sides that trust each other.
fn pair() -> (End, End) {
    let authority = Authority::new();
    let server = server(&authority.issue("pgweir", &["pgweir.test"]));
    connect(&client(SslMode::VerifyFull, &authority), "pgweir.test", &server, usize::MAX).unwrap()
}

/// A client that speaks one version only, of rustls' making.
fn client_session(
    authority: &Authority,
    version: &'static SupportedProtocolVersion,
    alpn: &[&[u8]],
) -> TlsSession {
    let mut roots = rustls::RootCertStore::empty();
    let pem = fs::read(authority.file()).unwrap();
    roots.add(rustls::pki_types::pem::PemObject::from_pem_slice(&pem).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config.enable_secret_extraction = true;
    TlsSession::client(Arc::new(config), ServerName::try_from("pgweir.test").unwrap()).unwrap()
}

#[test]
fn bytes_may_be_cut_anywhere_in_both_versions() {
    let authority = Authority::new();
    let context = server(&authority.issue("pgweir", &["pgweir.test"]));
    for (version, name) in
        [(&rustls::version::TLS12, "TLSv1.2"), (&rustls::version::TLS13, "TLSv1.3")]
    {
        for chunk in [1, 2, 3, 7, 1000, usize::MAX] {
            let mut client = End::new(client_session(&authority, version, &[ALPN]));
            let mut server = End::new(context.session().unwrap());
            client.receive(&[]).unwrap();
            talk(&mut client, &mut server, chunk).unwrap();
            assert_eq!(server.session.version(), Some(name));
            client.send(b"to the server");
            server.send(b"to the client");
            talk(&mut client, &mut server, chunk).unwrap();
            client.session.close_notify(&mut client.outgoing).unwrap();
            talk(&mut client, &mut server, chunk).unwrap();
            assert_eq!(server.plain, b"to the server");
            assert_eq!(client.plain, b"to the client");
            assert!(server.closed && server.session.peer_closed() && !client.closed);
        }
    }
}

#[test]
fn only_the_unfinished_record_is_left_to_the_caller() {
    let (mut client, mut server) = pair();
    client.send(b"one whole message and half of the");
    let first = client.outgoing.len();
    client.send(b" second");
    let bytes = std::mem::take(&mut client.outgoing);
    server.receive(&bytes[..first + 9]).unwrap();
    assert_eq!(server.plain, b"one whole message and half of the");
    assert_eq!(server.undecrypted, bytes[first..first + 9]);
    server.receive(&bytes[first + 9..]).unwrap();
    assert_eq!(server.plain, b"one whole message and half of the second");
    assert!(server.undecrypted.is_empty());
}

#[test]
fn ten_megabytes_go_both_ways() {
    let (mut client, mut server) = pair();
    let bytes: Vec<u8> = (0..10_000_000_u32).map(|number| ((number * 7) >> 3) as u8).collect();
    client.send(&bytes);
    server.send(&bytes);
    assert!(client.outgoing.len() < bytes.len() + 611 * 32);
    talk(&mut client, &mut server, 65_536).unwrap();
    assert!(client.plain == bytes && server.plain == bytes);
}

#[test]
fn nothing_is_sent_for_no_bytes_or_before_the_handshake() {
    let (mut client, _) = pair();
    client.send(b"");
    assert!(client.outgoing.is_empty());
    let authority = Authority::new();
    let context = server(&authority.issue("pgweir", &[]));
    let mut session = context.session().unwrap();
    let mut out = Vec::new();
    assert!(matches!(session.send(b"early", &mut out), Err(TlsError::Handshaking)));
    session.close_notify(&mut out).unwrap();
    assert!(out.is_empty());
}

#[test]
fn both_sides_say_goodbye_once() {
    let (mut client, mut server) = pair();
    client.session.close_notify(&mut client.outgoing).unwrap();
    let len = client.outgoing.len();
    client.session.close_notify(&mut client.outgoing).unwrap();
    assert_eq!(client.outgoing.len(), len);
    talk(&mut client, &mut server, 5).unwrap();
    server.send(b"last words");
    server.session.close_notify(&mut server.outgoing).unwrap();
    talk(&mut client, &mut server, 5).unwrap();
    assert_eq!(client.plain, b"last words");
    assert!(client.closed && server.closed);
    assert!(matches!(client.session.send(b"x", &mut Vec::new()), Err(TlsError::Closed)));
}

#[test]
fn alpn_is_agreed_upon_where_the_client_offers_it() {
    let authority = Authority::new();
    let context = server(&authority.issue("pgweir", &["pgweir.test"]));
    let try_with = |alpn: &[&[u8]]| {
        let mut client = End::new(client_session(&authority, &rustls::version::TLS13, alpn));
        let mut server = End::new(context.session().unwrap());
        client.receive(&[]).unwrap();
        talk(&mut client, &mut server, usize::MAX)?;
        Ok::<_, TlsError>(server.session.alpn_protocol().map(<[u8]>::to_vec))
    };
    assert_eq!(try_with(&[ALPN]).unwrap().as_deref(), Some(ALPN));
    assert_eq!(try_with(&[]).unwrap(), None);
    assert!(try_with(&[b"http/1.1"]).is_err());
    assert_eq!(try_with(&[b"http/1.1", ALPN]).unwrap().as_deref(), Some(ALPN));
}

/// What libpq accepts of a server's certificate in each mode.
#[test]
fn each_mode_checks_what_it_says() {
    use SslMode::{Prefer, Require, VerifyCa, VerifyFull};
    let ours = Authority::new();
    let other = Authority::new();
    let good = ours.issue("db", &["db.test", "10.0.0.1"]);
    let expired = ours.issue_with("db", &["db.test"], |params| {
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    });
    let not_yet = ours.issue_with("db", &["db.test"], |params| {
        params.not_before = rcgen::date_time_ymd(2090, 1, 1);
        params.not_after = rcgen::date_time_ymd(2091, 1, 1);
    });
    let by_common_name = ours.issue("db.test", &[]);
    let by_wildcard = ours.issue("*.test", &[]);
    let alternative_name_wins = ours.issue("db.test", &["else.test"]);
    let foreign = other.issue("db", &["db.test"]);
    let self_signed = ours.self_signed("db.test", &["db.test"]);

    let check = |identity: &CertificateAndKey, mode, roots: Roots, host: &str| {
        let settings = ClientTlsSettings { roots, ..client_settings(mode, &ours) };
        let client = ClientTlsContext::load(&settings).unwrap();
        connect(&client, host, &server(identity), usize::MAX).is_ok()
    };
    let file = || Roots::File(ours.file());
    for (identity, ca_passes, full_passes) in [
        (&good, true, true),
        (&expired, false, false),
        (&not_yet, false, false),
        (&by_common_name, true, true),
        (&by_wildcard, true, true),
        (&alternative_name_wins, true, false),
        (&foreign, false, false),
        (&self_signed, false, false),
    ] {
        assert!(check(identity, Require, Roots::System, "db.test"));
        assert!(check(identity, Prefer, Roots::System, "no host name!"));
        assert_eq!(check(identity, Require, file(), "any.test"), ca_passes);
        assert_eq!(check(identity, VerifyCa, file(), "any.test"), ca_passes);
        assert_eq!(check(identity, VerifyFull, file(), "db.test"), full_passes);
        assert!(!check(identity, VerifyFull, file(), "any.other"));
        assert!(!check(identity, VerifyFull, file(), "no host name!"));
    }
    assert!(check(&good, VerifyFull, file(), "10.0.0.1"));
    assert!(!check(&good, VerifyFull, file(), "10.0.0.2"));
    assert!(!check(&by_wildcard, VerifyFull, file(), "a.db.test"));
    let own_root = || Roots::File(self_signed.certificate.clone());
    assert!(check(&self_signed, VerifyCa, own_root(), "any.test"));
    assert!(check(&self_signed, VerifyFull, own_root(), "db.test"));
    assert!(!check(&self_signed, VerifyFull, own_root(), "any.test"));
}

#[test]
fn the_reason_of_a_refusal_reaches_the_other_side() {
    let (ours, other) = (Authority::new(), Authority::new());
    let context = server(&other.issue("db", &["db.test"]));
    let mut client = End::new(client(SslMode::VerifyFull, &ours).session("db.test").unwrap());
    let mut server = End::new(context.session().unwrap());
    client.receive(&[]).unwrap();
    server.receive(&std::mem::take(&mut client.outgoing)).unwrap();
    let refused = client.receive(&std::mem::take(&mut server.outgoing)).unwrap_err();
    assert!(refused.to_string().contains("UnknownIssuer"), "{refused}");
    let told = server.receive(&client.outgoing).unwrap_err();
    assert!(told.to_string().contains("UnknownCA"), "{told}");
    assert!(matches!(client.receive(&[]), Err(TlsError::Closed)));
}

#[test]
fn client_certificates_are_asked_for_as_configured() {
    let (ours, other) = (Authority::new(), Authority::new());
    let identity = ours.issue("pgweir", &["pgweir.test"]);
    let connect = |asked: ClientCertificates, shown: Option<CertificateAndKey>| {
        let server = ServerTlsContext::load(&ServerTlsSettings {
            identity: identity.clone(),
            client_certificates: asked,
            min_version: TlsVersion::V1_3,
        })
        .unwrap();
        let settings =
            ClientTlsSettings { identity: shown, ..client_settings(SslMode::VerifyFull, &ours) };
        let client = ClientTlsContext::load(&settings).unwrap();
        let (_, server) = connect(&client, "pgweir.test", &server, 100)?;
        Ok::<_, TlsError>(server.session.peer_certificate().and_then(certificate::common_name))
    };
    let none = || ClientCertificates::NotAsked;
    let optional = || ClientCertificates::Optional(ours.file());
    let required = || ClientCertificates::Required(ours.file());
    let alice = ours.issue("alice", &[]);
    let mallory = other.issue("alice", &[]);
    let late = ours.issue_with("alice", &[], |params| {
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    });

    assert_eq!(connect(none(), Some(alice.clone())).unwrap(), None);
    assert_eq!(connect(optional(), None).unwrap(), None);
    assert_eq!(connect(optional(), Some(alice.clone())).unwrap().as_deref(), Some("alice"));
    assert_eq!(connect(required(), Some(alice)).unwrap().as_deref(), Some("alice"));
    assert!(connect(required(), None).is_err());
    for asked in [optional(), required()] {
        assert!(connect(asked.clone(), Some(mallory.clone())).is_err());
        assert!(connect(asked, Some(late.clone())).is_err());
    }
}

#[test]
fn unusable_files_are_named() {
    let (ours, other) = (Authority::new(), Authority::new());
    let good = ours.issue("pgweir", &[]);
    let load = |identity: CertificateAndKey| {
        ServerTlsContext::load(&ServerTlsSettings {
            identity,
            client_certificates: ClientCertificates::NotAsked,
            min_version: TlsVersion::V1_2,
        })
        .unwrap_err()
    };
    let missing = CertificateAndKey { certificate: "/nowhere.pem".into(), ..good.clone() };
    assert!(load(missing).to_string().contains("/nowhere.pem"));
    let swapped =
        CertificateAndKey { certificate: good.key.clone(), key: good.certificate.clone() };
    assert!(matches!(load(swapped), TlsContextError::Empty { expected: "certificate", .. }));
    let stranger = CertificateAndKey { key: other.issue("x", &[]).key, ..good.clone() };
    assert!(matches!(load(stranger), TlsContextError::Identity { .. }));
    fs::set_permissions(&good.key, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(load(good), TlsContextError::KeyPermissions { mode: 0o644, .. }));

    let settings = ClientTlsSettings {
        roots: Roots::System,
        ..client_settings(SslMode::VerifyCa, &Authority::new())
    };
    let refused = ClientTlsContext::load(&settings).unwrap_err();
    assert!(matches!(refused, TlsContextError::SystemRootsNeedVerifyFull));
}

/// Encrypts records of any content type, which rustls would not make for us.
struct Forger {
    key: aead::LessSafeKey,
    iv: [u8; 12],
    sequence: u64,
}

impl Forger {
    fn record(&mut self, content_type: u8, payload: &[u8]) -> Vec<u8> {
        let mut nonce = self.iv;
        for (byte, number) in nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *byte ^= number;
        }
        self.sequence += 1;
        let mut body = payload.to_vec();
        body.push(content_type);
        let [high, low] = ((body.len() + 16) as u16).to_be_bytes();
        let header = [23, 3, 3, high, low];
        let nonce = aead::Nonce::assume_unique_for_key(nonce);
        self.key.seal_in_place_append_tag(nonce, aead::Aad::from(header), &mut body).unwrap();
        [&header, body.as_slice()].concat()
    }
}

/// An established server side, and the keys of its client.
fn forged_client() -> (End, Forger) {
    let authority = Authority::new();
    let context = server(&authority.issue("pgweir", &["pgweir.test"]));
    let mut client = End::new(client_session(&authority, &rustls::version::TLS13, &[]));
    let mut server = End::new(context.session().unwrap());
    client.receive(&[]).unwrap();
    talk(&mut client, &mut server, usize::MAX).unwrap();
    let Side::Client(connection) = client.session.side else { panic!() };
    let connection = connection.dangerous_into_kernel_connection().unwrap().0;
    let (sequence, secrets) = connection.tx;
    let ConnectionTrafficSecrets::Aes256Gcm { key, iv } = secrets else { panic!() };
    let key = aead::UnboundKey::new(&aead::AES_256_GCM, key.as_ref()).unwrap();
    let iv = iv.as_ref().try_into().unwrap();
    (server, Forger { key: aead::LessSafeKey::new(key), iv, sequence })
}

const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
/// KeyUpdate, update_requested (RFC 8446 section 4.6.3).
const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 1];

#[test]
fn half_a_handshake_message_does_not_stop_us_from_sending() {
    let (mut server, mut client) = forged_client();
    server.receive(&client.record(HANDSHAKE, &KEY_UPDATE[..2])).unwrap();
    assert!(!server.undecrypted.is_empty());
    server.send(b"an answer");
    server.receive(&client.record(HANDSHAKE, &KEY_UPDATE[2..4])).unwrap();
    server.send(b"another answer");
    let before = server.outgoing.len();
    server.receive(&client.record(HANDSHAKE, &KEY_UPDATE[4..])).unwrap();
    assert!(server.outgoing.len() == before, "the answering key update waits for data");
    assert!(server.undecrypted.is_empty());
    server.send(b"with new keys");
    server.session.close_notify(&mut server.outgoing).unwrap();
}

#[test]
fn half_a_handshake_message_may_not_be_followed_by_data() {
    let (mut server, mut client) = forged_client();
    let both = [client.record(HANDSHAKE, &KEY_UPDATE[..2]), client.record(APPLICATION_DATA, b"x")];
    assert!(matches!(server.receive(&both.concat()), Err(TlsError::Protocol(_))));
    assert!(matches!(server.session.send(b"x", &mut Vec::new()), Err(TlsError::Closed)));
}

#[test]
fn an_endless_handshake_message_is_cut_off() {
    let (mut server, mut client) = forged_client();
    let mut sent = 0;
    server.receive(&client.record(HANDSHAKE, &[24, 0, 0xff, 0xf0])).unwrap();
    let refused = loop {
        let record = client.record(HANDSHAKE, &[0; 100]);
        sent += record.len();
        match server.receive(&record) {
            Ok(()) => assert!(server.undecrypted.len() <= HANDSHAKE_LIMIT),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, TlsError::HandshakeTooLarge), "{refused}");
    assert!(sent <= HANDSHAKE_LIMIT + 200);
}

#[test]
fn forgotten_bytes_are_an_error() {
    let (mut server, mut client) = forged_client();
    server.receive(&client.record(HANDSHAKE, &KEY_UPDATE[..2])).unwrap();
    server.undecrypted.clear();
    assert!(matches!(server.receive(&[]), Err(TlsError::LostRecords)));
}

/// The unbuffered API is new in rustls; its buffered one is in use everywhere.
#[test]
fn a_buffered_client_understands_us() {
    let authority = Authority::new();
    let context = server(&authority.issue("pgweir", &["pgweir.test"]));
    let mut roots = rustls::RootCertStore::empty();
    let pem = fs::read(authority.file()).unwrap();
    roots.add(rustls::pki_types::pem::PemObject::from_pem_slice(&pem).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("pgweir.test").unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut server = End::new(context.session().unwrap());
    std::io::Write::write_all(&mut client.writer(), b"ping").unwrap();
    for _ in 0..4 {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        server.receive(&bytes).unwrap();
        if server.plain == b"ping" {
            server.plain.clear();
            server.send(b"pong");
        }
        let answer = std::mem::take(&mut server.outgoing);
        let mut answer = answer.as_slice();
        while !answer.is_empty() {
            client.read_tls(&mut answer).unwrap();
            client.process_new_packets().unwrap();
        }
    }
    let mut pong = [0; 4];
    std::io::Read::read_exact(&mut client.reader(), &mut pong).unwrap();
    assert_eq!(&pong, b"pong");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

    #[test]
    fn no_bytes_make_a_handshake_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let (mut client, mut server) = fresh();
        let _ = server.receive(&bytes);
        let _ = client.receive(&bytes);
        let _ = server.session.send(&bytes, &mut Vec::new());
    }

    #[test]
    fn a_changed_byte_changes_no_plain_byte(at in 0..10_000_usize, bit in 0..8_u8) {
        let (mut client, mut server) = pair();
        client.send(b"a message of some length ");
        client.send(b"and a second one");
        let mut bytes = std::mem::take(&mut client.outgoing);
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        let _ = server.receive(&bytes);
        prop_assert!(b"a message of some length and a second one".starts_with(&server.plain));
    }
}

/// Two sides before their handshake.
fn fresh() -> (End, End) {
    let authority = Authority::new();
    let context = server(&authority.issue("pgweir", &["pgweir.test"]));
    let client = client(SslMode::VerifyFull, &authority);
    let mut client = End::new(client.session("pgweir.test").unwrap());
    client.receive(&[]).unwrap();
    (client, End::new(context.session().unwrap()))
}
