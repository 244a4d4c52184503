use super::*;
use crate::ids::{ClientId, Key};
use crate::wire::startup::{CANCEL_REQUEST_CODE, GSSENC_REQUEST_CODE, SSL_REQUEST_CODE};

const TRUST: &str = r#"
[auth]
method = "trust"
[databases.shop]
primary = "postgres://127.0.0.1:5432/shop"
"#;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    Ssl,
    Gss,
    Startup,
    Cancel,
    Garbage,
}

const PIECES: [Piece; 5] = [Piece::Ssl, Piece::Gss, Piece::Startup, Piece::Cancel, Piece::Garbage];

impl Piece {
    fn bytes(self) -> Vec<u8> {
        match self {
            Piece::Ssl => packet(SSL_REQUEST_CODE, b""),
            Piece::Gss => packet(GSSENC_REQUEST_CODE, b""),
            Piece::Startup => login("app", "shop"),
            Piece::Cancel => packet(CANCEL_REQUEST_CODE, &[0, 0, 0, 1, 1, 2, 3, 4]),
            Piece::Garbage => b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        }
    }
}

/// Everything up to the end, with the last message's SQLSTATE in place of its bytes.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// A session, or the wait for more.
    Open,
    /// Closed without a word.
    Silent,
    /// An error with this SQLSTATE, then closed.
    Fatal(&'static str),
}

/// What Postgres does where it has no TLS (`ProcessStartupPacket`): the answers and the end.
fn expected(sequence: &[Piece]) -> (Vec<u8>, End) {
    let (mut may_ask_tls, mut may_ask_gss, mut answers) = (true, true, Vec::new());
    for piece in sequence {
        match piece {
            Piece::Startup => return (answers, End::Open),
            Piece::Cancel | Piece::Garbage => return (answers, End::Silent),
            Piece::Ssl if may_ask_tls => (may_ask_tls, may_ask_gss) = (false, true),
            Piece::Gss if may_ask_gss => (may_ask_tls, may_ask_gss) = (true, false),
            Piece::Ssl | Piece::Gss => return (answers, End::Fatal("0A000")),
        }
        answers.push(b'N');
    }
    (answers, End::Open)
}

#[tokio::test(start_paused = true)]
async fn every_order_of_three_first_packets_ends_as_in_postgres() {
    let world = World::new(TRUST);
    let mut sequences: Vec<Vec<Piece>> = vec![vec![]];
    for _ in 0..3 {
        let longer = sequences.iter().flat_map(|begun| {
            PIECES.iter().map(move |&piece| [begun.as_slice(), &[piece]].concat())
        });
        sequences = longer.collect();
    }
    for sequence in sequences {
        let mut client = world.client();
        let (answers, end) = expected(&sequence);
        for (n, piece) in sequence.iter().enumerate() {
            client.send(&piece.bytes()).await;
            match answers.get(n) {
                Some(&answer) => assert_eq!(client.read(1).await, [answer], "{sequence:?}"),
                None => break,
            }
        }
        match end {
            End::Fatal(sqlstate) => {
                assert_eq!(client.refused().await.sqlstate(), sqlstate, "{sequence:?}");
            }
            End::Silent => assert_eq!(client.rest().await, b"", "{sequence:?}"),
            End::Open if sequence.contains(&Piece::Startup) => {
                assert!(client.outcome().await.is_some(), "{sequence:?}");
                continue;
            }
            // The client says nothing more until its time is up.
            End::Open => assert_eq!(client.rest().await, b"", "{sequence:?}"),
        }
        assert!(client.outcome().await.is_none(), "{sequence:?}");
    }
    assert_eq!(world.hall.clients(), 0);
}

#[tokio::test(start_paused = true)]
async fn nobody_asks_for_encryption_for_ever() {
    let world = World::new(TRUST);
    let mut client = world.client();
    for piece in [Piece::Ssl, Piece::Gss, Piece::Ssl] {
        client.send(&piece.bytes()).await;
        assert_eq!(client.read(1).await, b"N");
    }
    client.send(&Piece::Gss.bytes()).await;
    assert_eq!(client.refused().await.message, "too many negotiation requests");
}

#[tokio::test]
async fn single_bytes_make_the_same_login() {
    let world = World::new(TRUST);
    let mut client = world.client();
    for byte in packet(SSL_REQUEST_CODE, b"") {
        client.send(&[byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(client.read(1).await, b"N");
    for byte in login("app", "shop") {
        client.send(&[byte]).await;
        tokio::task::yield_now().await;
    }
    let proved = client.outcome().await.unwrap();
    assert_eq!((proved.pool.role.as_str(), proved.pool.database.as_str()), ("app", "shop"));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_anywhere_is_closed_at_the_deadline() {
    let world = World::new(TRUST);
    let whole = [packet(SSL_REQUEST_CODE, b""), login("app", "shop")];
    for (n, piece) in whole.iter().enumerate() {
        for stop in 0..piece.len() {
            let mut client = world.client();
            let began = tokio::time::Instant::now();
            if n == 1 {
                client.send(&whole[0]).await;
                assert_eq!(client.read(1).await, b"N");
            }
            client.send(&piece[..stop]).await;
            assert_eq!(client.rest().await, b"", "stopped at {stop} of packet {n}");
            assert_eq!(began.elapsed().as_secs(), 15);
            assert!(client.outcome().await.is_none());
        }
    }
}

#[tokio::test]
async fn plain_bytes_behind_a_request_for_tls_are_refused() {
    let authority = Authority::new();
    let world = World::new(&with_tls(&authority, "prefer"));
    for request in [SSL_REQUEST_CODE, GSSENC_REQUEST_CODE] {
        let mut client = world.client();
        client.send(&[packet(request, b""), login("app", "shop")].concat()).await;
        let report = client.refused().await;
        assert_eq!(report.sqlstate(), "08P01");
        assert!(report.message.starts_with("received unencrypted data after"), "{report:?}");
        assert!(client.outcome().await.is_none());
    }
}

#[tokio::test]
async fn a_startup_packet_that_is_too_long_is_refused_from_its_length() {
    let world = World::new(TRUST);
    for len in [0_u32, 7, 10_001, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
        let mut client = world.client();
        client.send(&len.to_be_bytes()).await;
        assert_eq!(client.rest().await, b"", "{len}");
    }
    let padding = "x".repeat(9_960);
    let mut client = world.client();
    client.send(&startup(0, &[("user", "app"), ("database", "shop"), ("n", &padding)])).await;
    assert!(client.outcome().await.is_some());
}

#[tokio::test]
async fn newer_protocols_are_answered_once_and_then_served() {
    let world = World::new(TRUST);
    for (minor, negotiated) in [(0, None), (1, None), (2, None), (9999, Some(2))] {
        let mut client = world.client();
        client.send(&startup(minor, &[("user", "app"), ("database", "shop")])).await;
        let proved = client.outcome().await.unwrap();
        assert_eq!(u32::from(proved.minor), minor.min(2));
        let versions = proved.unsent.iter().filter(|&&byte| byte == b'v').count();
        assert_eq!(versions, usize::from(negotiated.is_some()));
        assert!(proved.unsent.ends_with(b"R\0\0\0\x08\0\0\0\0"), "{:?}", proved.unsent);
    }
    let mut client = world.client();
    client.send(&packet(2 << 16, b"\0")).await;
    assert_eq!(client.refused().await.sqlstate(), "0A000");
}

#[tokio::test]
async fn tls_is_started_once_and_carries_the_login() {
    let authority = Authority::new();
    let world = World::new(&with_tls(&authority, "require"));
    let (ours, mut client) = tls_client(&world, &authority, false).await;
    client.write_all(&login("app", "shop")).await.unwrap();
    let (proved, link) = ours.await.unwrap().unwrap();
    assert!(link.tls().is_some());
    assert_eq!(proved.pool.role, "app");
    // Asking again inside TLS is a version that nobody speaks.
    let (ours, mut client) = tls_client(&world, &authority, false).await;
    client.write_all(&packet(SSL_REQUEST_CODE, b"")).await.unwrap();
    client.fill().await.unwrap();
    assert_eq!(Report::from_server(&client.unread()[5..]).sqlstate(), "0A000");
    drop(client);
    assert!(ours.await.unwrap().is_none());
}

#[tokio::test]
async fn direct_tls_needs_its_protocol_named() {
    let authority = Authority::new();
    let world = World::new(&with_tls(&authority, "prefer"));
    let (ours, mut client) = tls_client(&world, &authority, true).await;
    client.write_all(&login("app", "shop")).await.unwrap();
    assert!(ours.await.unwrap().is_some());
}

#[tokio::test]
async fn direct_tls_where_there_is_none_is_closed() {
    let world = World::new(TRUST);
    let mut client = world.client();
    client.send(&[0x16, 3, 1, 2, 0]).await;
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn plain_clients_are_refused_where_tls_is_required_but_may_cancel() {
    let authority = Authority::new();
    let world = World::new(&with_tls(&authority, "require"));
    let mut client = world.client();
    client.send(&login("app", "shop")).await;
    let report = client.refused().await;
    assert_eq!(report.sqlstate(), "28000");
    assert_eq!(report.message, "this server takes connections with TLS only");
    let mut client = world.client_from(Peer::Unix { uid: None });
    client.send(&packet(SSL_REQUEST_CODE, b"")).await;
    assert_eq!(client.read(1).await, b"N");
    client.send(&login("app", "shop")).await;
    assert!(client.outcome().await.is_some(), "Unix sockets need no TLS");
}

#[tokio::test]
async fn a_cancel_request_reaches_its_clients_loop_and_is_answered_by_the_end() {
    let world = World::new(TRUST);
    let registration = world.registry.register(0, 4).unwrap();
    let id = ClientId(Key { index: 3, generation: 9 });
    registration.bind(id);
    let pid = registration.pid().to_be_bytes();
    let secret = registration.with_secret(<[u8]>::to_vec);
    for (secret, reaches) in [(vec![0; 32], false), (secret[..3].to_vec(), false), (secret, true)] {
        let mut client = world.client();
        client.send(&packet(CANCEL_REQUEST_CODE, &[&pid[..], &secret].concat())).await;
        assert_eq!(client.rest().await, b"");
        match world.mailbox.take() {
            Some(Mail::ClientCancel(found)) => assert!(reaches && found == id),
            Some(other) => panic!("{other:?}"),
            None => assert!(!reaches),
        }
    }
}

use crate::net::tls::SslMode;
use crate::net::tls::test_files::{Authority, client};
use tokio::io::DuplexStream;
use tokio::task::JoinHandle;

type Served = JoinHandle<Option<(Box<Proved>, Link<DuplexStream>)>>;

/// A client that has started TLS.
async fn tls_client(
    world: &World,
    authority: &Authority,
    direct: bool,
) -> (Served, Link<DuplexStream>) {
    let Client { mut io, served } = world.client();
    if !direct {
        io.write_all(&packet(SSL_REQUEST_CODE, b"")).await.unwrap();
        assert_eq!(io.read_u8().await.unwrap(), b'S');
    }
    let mut link = Link::new(io);
    link.start_tls_client(&client(SslMode::VerifyFull, authority), "localhost").await.unwrap();
    (served, link)
}

fn with_tls(authority: &Authority, mode: &str) -> String {
    let files = authority.issue("localhost", &["localhost"]);
    format!(
        "{TRUST}\n[server.tls]\nmode = \"{mode}\"\ncertificate = {:?}\nprivate_key = {:?}\n",
        files.certificate, files.key
    )
}
