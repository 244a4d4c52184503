use super::fake::Fake;
use super::*;
use crate::wire::startup::FirstPacket;

async fn welcoming() -> Fake {
    Fake::start(|mut client| async move {
        client.startup().await;
        client.welcome().await;
        client.wait_for_the_end().await;
    })
    .await
}

async fn refusing(sqlstate: &'static [u8; 5]) -> Fake {
    Fake::start(move |mut client| async move {
        client.startup().await;
        client.refuse(sqlstate, "no").await;
        client.wait_for_the_end().await;
    })
    .await
}

/// A port on which nobody listens.
async fn closed_port() -> u16 {
    tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

fn hosts(ports: &[u16]) -> Target {
    let places: Vec<_> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    format!("postgres://{}/shop?sslmode=disable", places.join(",")).parse().unwrap()
}

#[tokio::test]
async fn the_first_host_that_serves_is_taken() {
    let (closed, good, starting) =
        (closed_port().await, welcoming().await, refusing(b"57P03").await);
    for before in [closed, starting.address.port()] {
        let target = hosts(&[before, good.address.port()]);
        let connected = dial(&target, None).await.unwrap();
        assert_eq!(connected.address, ServerAddress::Tcp(good.address));
    }
}

#[tokio::test]
async fn a_host_that_knows_us_and_says_no_speaks_for_all() {
    let (wrong, good) = (refusing(b"28P01").await, welcoming().await);
    let failure = failure(&hosts(&[wrong.address.port(), good.address.port()]), None).await;
    assert_eq!(failure.report.sqlstate(), "28P01");
    assert_eq!(good.connections(), 0);
}

#[tokio::test]
async fn where_nobody_serves_the_servers_own_words_are_kept() {
    let (closed, starting) = (closed_port().await, refusing(b"57P03").await);
    let both = failure(&hosts(&[starting.address.port(), closed]), None).await;
    assert_eq!((both.report.sqlstate(), both.permanent), ("57P03", false));
    let none = failure(&hosts(&[closed, closed]), None).await;
    assert_eq!((none.report.sqlstate(), none.permanent), ("08001", false));
    assert_eq!(none.report.detail.as_deref(), Some("The connection was refused."));
    assert!(!format!("{none:?}").contains("127.0.0.1"), "{none:?}");
}

#[tokio::test]
async fn a_black_hole_leaves_time_for_the_host_behind_it() {
    let silent = Fake::start(|mut client| async move { client.wait_for_the_end().await }).await;
    let good = welcoming().await;
    let target = hosts(&[silent.address.port(), good.address.port()]);
    let mut errand = errand(&target, None);
    errand.limit = Some(Duration::from_millis(600));
    let connected = Dialler::default().dial(errand).await.unwrap();
    assert_eq!(connected.address, ServerAddress::Tcp(good.address));
}

#[tokio::test]
async fn a_name_that_cannot_be_looked_up_is_not_told_to_clients() {
    let target: Target = "postgres://no-such-host.invalid/shop".parse().unwrap();
    let error = dial(&target, None).await.unwrap_err();
    assert!(matches!(error, DialError::Resolve { .. } | DialError::TimedOut { .. }), "{error:?}");
    assert!(!format!("{:?}", error.failure()).contains("no-such-host"));
}

#[tokio::test]
async fn unix_sockets_are_dialled_without_tls() {
    let directory = std::env::temp_dir().join(format!("pgweir-dial-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join(".s.PGSQL.5999");
    let _ = std::fs::remove_file(&path);
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let served = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut link = Link::new(stream);
        while link.unread().len() < 8 {
            link.fill().await.unwrap();
        }
        let code = link.unread()[4..8].to_vec();
        let mut out = fake::authentication(0, b"");
        fake::greeting(&mut out);
        link.write_all(&out).await.unwrap();
        code
    });
    let target: Target =
        format!("host={} port=5999 sslmode=require", directory.display()).parse().unwrap();
    let connected = dial(&target, None).await.unwrap();
    assert_eq!(connected.address, ServerAddress::Unix(path));
    assert_eq!(served.await.unwrap(), [0, 3, 0, 0], "no request for TLS came first");
    let gone = failure(&"host=/no/such/directory".parse().unwrap(), None).await;
    assert_eq!(gone.report.detail.as_deref(), Some("Its Unix socket does not exist."));
    std::fs::remove_dir_all(&directory).unwrap();
}

/// A server that takes such clients only with TLS, or only without.
async fn picky(wants_tls: bool) -> Fake {
    use crate::net::tls::test_files::{Authority, server};
    let authority = Authority::new();
    let context = server(&authority.issue("localhost", &["127.0.0.1"]));
    Fake::start(move |mut client| {
        let context = context.clone();
        async move {
            match client.first_packet().await {
                FirstPacket::SslRequest => {
                    client.send(b"S").await;
                    client.link.start_tls_server(&context, false).await.unwrap();
                    client.startup().await;
                }
                FirstPacket::Startup(_) => {}
                other => panic!("{other:?}"),
            }
            if client.link.tls().is_some() == wants_tls {
                client.welcome().await;
            } else {
                client.refuse(b"28000", "no pg_hba.conf entry").await;
            }
            client.wait_for_the_end().await;
        }
    })
    .await
}

#[tokio::test]
async fn sslmode_means_what_it_means_in_libpq() {
    // (sslmode, the server wants TLS) -> the dial ends with TLS, without, or not at all.
    for (mode, wants_tls, expected) in [
        ("disable", false, Some(false)),
        ("disable", true, None),
        ("allow", false, Some(false)),
        ("allow", true, Some(true)),
        ("prefer", true, Some(true)),
        ("prefer", false, Some(false)),
        ("require", true, Some(true)),
        ("require", false, None),
    ] {
        let fake = picky(wants_tls).await;
        let connected = dial(&fake.target(&format!("sslmode={mode}")), None).await;
        let tls = connected.ok().map(|connected| connected.tls.is_some());
        assert_eq!(tls, expected, "{mode}, wants TLS: {wants_tls}");
    }
}

#[tokio::test]
async fn prefer_goes_on_without_tls_where_the_handshake_fails() {
    let broken = || {
        Fake::start(|mut client| async move {
            match client.first_packet().await {
                FirstPacket::SslRequest => {
                    client.send(b"S").await;
                    client.link.fill().await.unwrap();
                    // Anything but a ServerHello.
                    client.send(b"this is no TLS record").await;
                }
                FirstPacket::Startup(_) => client.welcome().await,
                other => panic!("{other:?}"),
            }
            client.wait_for_the_end().await;
        })
    };
    let fake = broken().await;
    let connected = dial(&fake.target("sslmode=prefer"), None).await.unwrap();
    assert!(connected.tls.is_none());
    let fake = broken().await;
    let error = dial(&fake.target("sslmode=require"), None).await.unwrap_err();
    assert!(matches!(error, DialError::Tls(_)), "{error:?}");
    assert_eq!(fake.connections(), 1);
}

#[tokio::test]
async fn the_name_in_the_certificate_is_held_against_the_host() {
    use crate::net::tls::test_files::{Authority, server};
    let authority = Authority::new();
    let context = server(&authority.issue("db1", &["db1.internal"]));
    let fake = Fake::start(move |mut client| {
        let context = context.clone();
        async move {
            client.first_packet().await;
            client.send(b"S").await;
            if client.link.start_tls_server(&context, false).await.is_ok() {
                client.startup().await;
                client.welcome().await;
            }
            client.wait_for_the_end().await;
        }
    })
    .await;
    let roots = authority.file();
    for (mode, serves) in [("verify-full", false), ("verify-ca", true), ("require", true)] {
        let target = fake.target(&format!("sslmode={mode}&sslrootcert={}", roots.display()));
        assert_eq!(dial(&target, None).await.is_ok(), serves, "{mode}");
    }
    let stranger = Authority::new();
    let target =
        fake.target(&format!("sslmode=verify-ca&sslrootcert={}", stranger.file().display()));
    assert!(matches!(dial(&target, None).await, Err(DialError::Tls(_))));
}
