use super::*;
use crate::auth::certificate::tls_server_end_point;
use crate::auth::password::Md5Hash;
use crate::auth::scram::{
    ClientBinding, ClientStep, DEFAULT_ITERATIONS, ScramClient, ScramCredentials, ScramVerifier,
};
use crate::auth::secret::Secret;
use crate::auth::{ServerCredential, request::AuthenticationRequest};
use crate::config::Effective;
use crate::dial::frame::next_message;
use crate::net::tls::SslMode;
use crate::net::tls::test_files::{Authority, client_settings};
use crate::net::tls::{CertificateAndKey, ClientTlsContext};
use crate::wire::handshake;
use std::path::PathBuf;
use tokio::io::{AsyncRead, AsyncWrite};

const SHOP: &str = r#"
[databases.shop]
primary = "postgres://127.0.0.1:5432/shop"
[roles.app]
password = "secret"
"#;

/// Every message that a client got, tag and body, while it logged in by password.
pub(super) type Transcript = Vec<(u8, Vec<u8>)>;

/// Plays a client that has this password, to AuthenticationOk or an error.
async fn prove<S: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<S>,
    role: &str,
    password: &str,
    binding: ClientBinding,
) -> Transcript {
    let mut transcript = Transcript::new();
    let credentials = ScramCredentials::Password(Secret::new(password));
    let mut scram = ScramClient::new(credentials, binding);
    loop {
        let message = next_message(link, |_| 100_000).await.unwrap();
        transcript.push((message.tag, message.body.clone()));
        if message.tag != b'R' {
            return transcript;
        }
        let answer = match AuthenticationRequest::parse(&message.body).unwrap() {
            AuthenticationRequest::Ok => return transcript,
            AuthenticationRequest::Md5Password(salt) => {
                Some(Md5Hash::of(password.as_bytes(), role.as_bytes()).answer(salt))
            }
            _ => match scram.on_message(&message.body).unwrap() {
                ClientStep::Send(body) => Some(body),
                ClientStep::NeedsSaltedPassword(request) => {
                    Some(scram.on_salted_password(&request.derive()).unwrap())
                }
                ClientStep::Verified | ClientStep::Accepted => None,
            },
        };
        if let Some(body) = answer {
            let mut out = Vec::new();
            handshake::message(&mut out, b'p', &body);
            link.write_all(&out).await.unwrap();
        }
    }
}

/// Logs in by password; AuthenticationOk stays with the hall, so a right one ends with nothing
/// more to read. Gives what the client saw and what the hall made of it.
pub(super) async fn log_in_as(
    world: &World,
    role: &str,
    database: &str,
    password: &str,
) -> (Transcript, Option<Box<Proved>>) {
    let Client { mut io, served } = world.client();
    io.write_all(&login(role, database)).await.unwrap();
    let mut link = Link::new(io);
    let (transcript, served) = play(&mut link, served, role, password).await;
    (transcript, served.map(|(proved, _)| proved))
}

type Served = Option<(Box<Proved>, Link<DuplexStream>)>;

async fn play(
    link: &mut Link<DuplexStream>,
    mut served: JoinHandle<Served>,
    role: &str,
    password: &str,
) -> (Transcript, Served) {
    tokio::select! {
        transcript = prove(link, role, password, ClientBinding::Unencrypted) => {
            link.shutdown().await.unwrap();
            (transcript, served.await.unwrap())
        }
        // The rest of the exchange is in `unsent`, for the loop to send.
        outcome = &mut served => (Transcript::new(), outcome.unwrap()),
    }
}

fn report(transcript: &Transcript) -> Report {
    let (tag, body) = transcript.last().unwrap();
    assert_eq!(*tag, b'E');
    Report::from_server(body)
}

fn credential(proved: &Proved) -> Option<ServerCredential> {
    proved.pool.credential()
}

#[tokio::test]
async fn the_right_password_makes_a_session() {
    let world = World::new(SHOP);
    let (_, proved) = log_in_as(&world, "app", "shop", "secret").await;
    let proved = proved.unwrap();
    assert_eq!(proved.method, "scram-sha-256");
    assert_eq!((proved.pool.database.as_str(), proved.pool.role.as_str()), ("shop", "app"));
    // AuthenticationSASLFinal and AuthenticationOk.
    assert_eq!(proved.unsent.first(), Some(&b'R'));
    assert!(proved.unsent.ends_with(b"R\0\0\0\x08\0\0\0\0"));
    assert!(matches!(credential(&proved), Some(ServerCredential::Password(_))));
    assert_eq!(world.hall.clients(), 1);
    let (_, again) = log_in_as(&world, "app", "shop", "secret").await;
    assert!(Arc::ptr_eq(&again.unwrap().pool, &proved.pool));
    drop(proved);
    assert_eq!(world.hall.clients(), 0);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_role_look_the_same() {
    let world = World::new(SHOP);
    let (wrong, none) = log_in_as(&world, "app", "shop", "guess").await;
    assert!(none.is_none());
    let (unknown, none) = log_in_as(&world, "nil", "shop", "guess").await;
    assert!(none.is_none());
    let shape = |transcript: &Transcript| -> Vec<(u8, usize)> {
        transcript.iter().map(|(tag, body)| (*tag, body.len())).collect()
    };
    assert_eq!(shape(&wrong), shape(&unknown));
    assert_eq!(wrong.len(), 3, "offer, challenge, error");
    assert_eq!(wrong[0], unknown[0]);
    let (wrong, unknown) = (report(&wrong), report(&unknown));
    assert_eq!(wrong.sqlstate(), "28P01");
    assert_eq!(wrong.message, "password authentication failed for user \"app\"");
    assert_eq!(unknown.message, "password authentication failed for user \"nil\"");
    assert_eq!((&wrong.detail, &wrong.hint), (&unknown.detail, &unknown.hint));
    // The salt of a role is the same each time, known or not.
    for role in ["app", "nil"] {
        let (one, _) = log_in_as(&world, role, "shop", "guess").await;
        let (other, _) = log_in_as(&world, role, "shop", "guess").await;
        let salt = |transcript: &Transcript| {
            let text = String::from_utf8(transcript[1].1[4..].to_vec()).unwrap();
            text.split(',').find(|part| part.starts_with("s=")).unwrap().to_owned()
        };
        assert_eq!(salt(&one), salt(&other), "{role}");
    }
}

#[tokio::test]
async fn only_who_has_the_password_learns_that_a_database_does_not_exist() {
    let world = World::new(SHOP);
    let (right, none) = log_in_as(&world, "app", "nowhere", "secret").await;
    assert!(none.is_none());
    let told = report(&right);
    assert_eq!(told.sqlstate(), "3D000");
    assert_eq!(told.message, "database \"nowhere\" does not exist");
    let (wrong, _) = log_in_as(&world, "app", "nowhere", "guess").await;
    assert_eq!(report(&wrong).sqlstate(), "28P01");
    assert_eq!(world.hall.clients(), 0);
}

#[tokio::test]
async fn bad_settings_are_told_after_the_password() {
    let world = World::new(SHOP);
    let Client { mut io, served } = world.client();
    let parameters = [("user", "app"), ("database", "shop"), ("options", "-c a")];
    io.write_all(&startup(0, &parameters)).await.unwrap();
    let (transcript, none) = play(&mut Link::new(io), served, "app", "secret").await;
    assert!(none.is_none());
    assert_eq!(report(&transcript).sqlstate(), "42601");
}

/// A userlist in a file of its own, removed on drop.
struct File(PathBuf);

impl File {
    fn new(name: &str, contents: &str) -> Self {
        let name = format!("pgweir-hall-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, contents).unwrap();
        File(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn the_userlist_takes_every_kind_of_secret() {
    let verifier = ScramVerifier::generate(&Secret::new("vp"), DEFAULT_ITERATIONS);
    let verifier = String::from_utf8(verifier.to_stored().expose().to_vec()).unwrap();
    // Made by Postgres: md5 of "mp" and "hashed".
    let hash = Md5Hash::of(b"mp", b"hashed");
    let salted = hash.answer(*b"salt");
    assert_eq!(salted.len(), 36);
    let md5 = "md5aebfe9dd5c4b6a7b9af9e0c9c58a3a21";
    let list = File::new(
        "kinds",
        &format!(
            "\"plain\" \"pp\"\n\"verified\" \"{verifier}\"\n\"hashed\" \"{md5}\"\n\"no\" \"\"\n"
        ),
    );
    let world = World::new(&format!("[auth]\nuserlist = {:?}\n{SHOP}", list.0));
    let (_, plain) = log_in_as(&world, "plain", "shop", "pp").await;
    assert!(matches!(credential(&plain.unwrap()), Some(ServerCredential::Password(_))));
    let (_, verified) = log_in_as(&world, "verified", "shop", "vp").await;
    assert!(matches!(credential(&verified.unwrap()), Some(ServerCredential::PassThrough(_))));
    // What is stored can only be proved by MD5.
    let (transcript, none) = log_in_as(&world, "hashed", "shop", "wrong").await;
    assert!(none.is_none());
    assert_eq!(transcript[0].1[..4], [0, 0, 0, 5]);
    let (transcript, none) = log_in_as(&world, "no", "shop", "").await;
    assert!(none.is_none());
    assert_eq!(report(&transcript).sqlstate(), "28P01");
}

#[tokio::test]
async fn the_method_md5_asks_for_md5() {
    let world = World::new(&format!("[auth]\nmethod = \"md5\"\n{SHOP}"));
    let (_, proved) = log_in_as(&world, "app", "shop", "secret").await;
    assert_eq!(proved.unwrap().method, "md5");
    let (transcript, none) = log_in_as(&world, "app", "shop", "guess").await;
    assert!(none.is_none());
    assert_eq!(report(&transcript).sqlstate(), "28P01");
}

#[tokio::test]
async fn the_server_role_has_its_own_password() {
    let config = r#"
[databases.shop]
primary = "postgres://127.0.0.1:5432/shop"
server_role = "pool"
server_password = "pp"
[databases.other]
primary = "postgres://127.0.0.1:5432/other"
server_role = "unknown"
[roles.app]
password = "secret"
"#;
    let world = World::new(config);
    let (_, proved) = log_in_as(&world, "app", "shop", "secret").await;
    let proved = proved.unwrap();
    assert_eq!(proved.pool.server_role(), "pool");
    match credential(&proved) {
        Some(ServerCredential::Password(password)) => assert!(password.matches(b"pp")),
        other => panic!("{other:?}"),
    }
    // The client's own password is not tried as another role.
    let (_, proved) = log_in_as(&world, "app", "other", "secret").await;
    assert!(credential(&proved.unwrap()).is_none());
}

#[tokio::test]
async fn trust_is_for_this_machine_only() {
    let trust = SHOP.replace("[databases.shop]", "[auth]\nmethod = \"trust\"\n[databases.shop]");
    let world = World::new(&trust);
    let mut client = world.client_from(Peer::Tcp("192.0.2.7:5000".parse().unwrap()));
    client.send(&login("app", "shop")).await;
    let report = client.refused().await;
    assert_eq!(report.message, "trust authentication failed for user \"app\"");
    for peer in ["127.0.0.1:5000", "[::1]:5000", "[::ffff:127.0.0.1]:5000"] {
        let mut client = world.client_from(Peer::Tcp(peer.parse().unwrap()));
        client.send(&login("app", "shop")).await;
        assert!(client.outcome().await.is_some(), "{peer}");
    }
}

#[tokio::test]
async fn access_rules_keep_out_who_matches_none() {
    let config =
        format!("{SHOP}\n[[access]]\nrole = \"app\"\nfrom = [\"127.0.0.1\"]\nmethod = \"trust\"\n");
    let world = World::new(&config);
    let mut client = world.client();
    client.send(&login("app", "shop")).await;
    assert!(client.outcome().await.is_some());
    for (role, peer) in [("other", "127.0.0.1:5000"), ("app", "192.0.2.7:5000")] {
        let mut client = world.client_from(Peer::Tcp(peer.parse().unwrap()));
        client.send(&login(role, "shop")).await;
        let report = client.refused().await;
        assert_eq!(report.sqlstate(), "28000");
        assert!(report.message.starts_with("no [[access]] rule"), "{report:?}");
    }
}

#[tokio::test]
async fn peer_asks_the_system_who_is_at_the_other_end() {
    let config = format!(
        "[server]\nunix_socket = \"/tmp\"\n{SHOP}\n[[access]]\nfrom = [\"unix\"]\nmethod = \"peer\"\n"
    );
    let world = World::new(&config);
    for (role, uid, served) in [
        ("root", Some(0), true),
        ("app", Some(0), false),
        ("root", Some(54_321), false),
        ("root", None, false),
    ] {
        let mut client = world.client_from(Peer::Unix { uid });
        client.send(&login(role, "shop")).await;
        if served {
            assert_eq!(client.outcome().await.unwrap().method, "peer");
        } else {
            let expected = format!("Peer authentication failed for user \"{role}\"");
            assert_eq!(client.refused().await.message, expected);
        }
    }
}

#[tokio::test]
async fn a_full_house_says_so_after_the_startup_packet() {
    let config =
        format!("[server]\nmax_client_connections = 1\n[auth]\nmethod = \"trust\"\n{SHOP}");
    let world = World::new(&config);
    let mut first = world.client();
    first.send(&login("app", "shop")).await;
    let first = first.outcome().await.unwrap();
    let mut second = world.client();
    second.send(&packet(crate::wire::startup::SSL_REQUEST_CODE, b"")).await;
    assert_eq!(second.read(1).await, b"N");
    second.send(&login("app", "shop")).await;
    let report = second.refused().await;
    assert_eq!((report.sqlstate(), &*report.message), ("53300", "sorry, too many clients already"));
    drop(first);
    let mut third = world.client();
    third.send(&login("app", "shop")).await;
    assert!(third.outcome().await.is_some());
}

#[tokio::test]
async fn a_full_house_still_has_places_for_the_console() {
    let config =
        format!("[server]\nmax_client_connections = 1\n[auth]\nmethod = \"trust\"\n{SHOP}");
    let world = World::new(&config);
    let _first = world.hall.admit().unwrap();
    assert!(world.hall.admit().is_none());
    let console: Vec<_> = std::iter::from_fn(|| world.hall.admit_visitor()).take(99).collect();
    assert_eq!(console.len(), 16);
    assert!(world.hall.admit().is_none());
    // They are not counted as clients.
    assert_eq!(world.hall.clients(), 1);
}

#[tokio::test]
async fn what_is_kept_warm_is_opened_where_its_secret_is_known() {
    let world = World::new(
        "[defaults]\nmin_pool_size = 1\n[databases.shop]\nprimary = 'postgres://127.0.0.1/shop'\n\
         [databases.crm]\nprimary = 'postgres://crm:secret@127.0.0.1/crm'\n\
         [databases.cold]\nprimary = 'postgres://127.0.0.1/cold'\nmin_pool_size = 0\n\
         [databases.'*']\nprimary = 'postgres://127.0.0.1'\n\
         [roles.app]\npassword = 'secret'\n[roles.hashed]\npassword = 'SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU='\n",
    );
    world.hall.open_pools();
    let mut opened = Vec::new();
    while let Some(mail) = world.mailbox.take() {
        match mail {
            Mail::Open(pool) => opened.push(format!("{}/{}", pool.database, pool.role)),
            other => panic!("{other:?}"),
        }
    }
    opened.sort();
    opened.dedup();
    assert_eq!(opened, ["crm/crm", "shop/app"]);
}

#[tokio::test]
async fn places_are_given_back_wherever_a_login_ends() {
    let world = World::new(SHOP);
    let packet = login("app", "shop");
    for n in 0..=packet.len() {
        let mut client = world.client();
        client.send(&packet[..n]).await;
        let Client { io, served } = client;
        drop(io);
        assert!(served.await.unwrap().is_none());
    }
    assert_eq!(world.hall.clients(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_answers_is_told_and_closed() {
    let world = World::new(SHOP);
    let began = tokio::time::Instant::now();
    let mut client = world.client();
    client.send(&login("app", "shop")).await;
    assert_eq!(client.message().await.0, b'R');
    let report = client.refused().await;
    assert_eq!(report.sqlstate(), "57014");
    assert_eq!(report.message, "canceling authentication due to timeout");
    assert_eq!(began.elapsed().as_secs(), 15);
    assert!(client.outcome().await.is_none());
    assert_eq!(world.hall.clients(), 0);
}

#[tokio::test]
async fn nothing_but_a_password_is_taken_while_one_is_due() {
    let world = World::new(SHOP);
    let huge = [&b"p"[..], &(1_u32 << 30).to_be_bytes()].concat();
    let negative = b"p\xff\xff\xff\xff".to_vec();
    let over = [&b"p"[..], &17_000_u32.to_be_bytes(), &[b'x'; 17_000]].concat();
    let garbage = b"p\0\0\0\x08\0\0\0\0".to_vec();
    for bytes in [
        // Another StartupMessage must not change who is logging in.
        login("postgres", "shop"),
        b"Q\0\0\0\x0dSELECT 1\0".to_vec(),
        b"X\0\0\0\x04".to_vec(),
        garbage,
        huge,
        negative,
        over,
    ] {
        let mut client = world.client();
        client.send(&login("app", "shop")).await;
        assert_eq!(client.message().await.0, b'R');
        client.send(&bytes).await;
        let report = client.refused().await;
        assert_eq!(report.sqlstate(), "08P01", "{report:?}");
        assert!(client.outcome().await.is_none());
    }
}

fn tls_config(authority: &Authority, more: &str) -> (String, CertificateAndKey) {
    let files = authority.issue("localhost", &["localhost"]);
    let config = format!(
        "{SHOP}\n[server.tls]\nmode = \"require\"\ncertificate = {:?}\nprivate_key = {:?}\n{more}",
        files.certificate, files.key
    );
    (config, files)
}

/// A client that has started TLS, perhaps with a certificate of its own.
async fn tls_client(
    world: &World,
    authority: &Authority,
    identity: Option<CertificateAndKey>,
) -> (JoinHandle<Served>, Link<DuplexStream>) {
    let Client { io, served } = world.client();
    let mut settings = client_settings(SslMode::VerifyFull, authority);
    settings.identity = identity;
    let context = ClientTlsContext::load(&settings).unwrap();
    let mut link = Link::new(io);
    link.start_tls_client(&context, "localhost").await.unwrap();
    (served, link)
}

#[tokio::test]
async fn scram_over_tls_can_be_bound_to_the_connection() {
    let authority = Authority::new();
    let (config, _) = tls_config(&authority, "");
    let world = World::new(&config);
    for wrong in [false, true] {
        let (mut served, mut link) = tls_client(&world, &authority, None).await;
        link.write_all(&login("app", "shop")).await.unwrap();
        let certificate = link.tls().unwrap().peer_certificate().unwrap();
        let mut hash = tls_server_end_point(certificate).unwrap();
        if wrong {
            hash[0] ^= 1;
        }
        tokio::select! {
            transcript = prove(&mut link, "app", "secret", ClientBinding::Required(hash)) => {
                assert!(wrong, "{:?}", report(&transcript));
                assert_eq!(report(&transcript).sqlstate(), "28000");
            }
            outcome = &mut served => assert!(!wrong && outcome.unwrap().is_some()),
        }
    }
}

#[tokio::test]
async fn a_certificate_proves_the_role_that_it_names() {
    let authority = Authority::new();
    let ca = authority.file();
    let (config, _) = tls_config(&authority, &format!("client_ca = {ca:?}\n"));
    let world = World::new(&format!("[auth]\nmethod = \"cert\"\n{config}"));
    for (name, served_as) in [(Some("app"), true), (Some("other"), false), (None, false)] {
        let identity = name.map(|name| authority.issue(name, &[]));
        let (served, mut link) = tls_client(&world, &authority, identity).await;
        link.write_all(&login("app", "shop")).await.unwrap();
        if served_as {
            let (proved, _) = served.await.unwrap().unwrap();
            assert_eq!(proved.method, "cert");
        } else {
            let message = next_message(&mut link, |_| 10_000).await.unwrap();
            let report = Report::from_server(&message.body);
            assert_eq!(report.message, "certificate authentication failed for user \"app\"");
        }
    }
}

/// The settings that decide what logs in to Postgres.
#[tokio::test]
async fn a_users_password_in_the_connection_string_logs_in_for_everybody() {
    let config = r#"
[databases.shop]
primary = "postgres://pool:pp@127.0.0.1:5432/shop"
[roles.app]
password = "secret"
"#;
    let world = World::new(config);
    let (_, proved) = log_in_as(&world, "app", "shop", "secret").await;
    let proved = proved.unwrap();
    let settings: Arc<Effective> = proved.pool.settings.load_full();
    assert_eq!(settings.server_role.as_deref(), Some("pool"));
    match credential(&proved) {
        Some(ServerCredential::Password(password)) => assert!(password.matches(b"pp")),
        other => panic!("{other:?}"),
    }
}
