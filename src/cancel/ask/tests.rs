//! Questions about server processes against a scripted Postgres: where they go, and how many there are.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::cancel::registry::tests::any_target;
use crate::dial::ServerTls;
use crate::dial::tests::fake::{Conversation, Fake};
use crate::wire::{TransactionStatus, build, handshake};

/// A pool whose servers are at `url` now.
fn pool(url: &str) -> Arc<PoolSpec> {
    let config = format!("[databases.shop]\nprimary = \"{url}\"\n");
    let config = crate::config::Config::parse(&config, "test.toml").unwrap().config;
    let settings = Arc::new(config.resolve("shop", "app").unwrap());
    Arc::new(PoolSpec::new(1, "shop".to_owned(), "app".to_owned(), settings))
}

/// A process of a server.
fn process(fake: &Fake, pid: i32) -> Arc<CancelTarget> {
    Arc::new(CancelTarget { address: ServerAddress::Tcp(fake.address), pid, ..any_target() })
}

/// The processes that are asked about. `None`: whoever asked is gone.
async fn question(client: &mut Conversation) -> Option<(String, Vec<i32>)> {
    let parse = client.message().await;
    if parse.tag == b'X' {
        return None;
    }
    let bind = client.message().await.body;
    assert_eq!((client.message().await.tag, client.message().await.tag), (b'E', b'S'));
    // Portal, statement, no formats, two values.
    assert_eq!(bind[..6], [0, 0, 0, 0, 0, 2]);
    let len = u32::from_be_bytes(bind[6..10].try_into().unwrap()) as usize;
    let pids = String::from_utf8(bind[10..10 + len].to_vec()).unwrap();
    let pids = pids.trim_matches(['{', '}']).split(',').map(|pid| pid.parse().unwrap());
    Some((String::from_utf8_lossy(&parse.body).into_owned(), pids.collect()))
}

/// One row for each process: its number, and these columns.
async fn answer(client: &mut Conversation, count: usize, columns: &[u8]) {
    let mut out = b"1\0\0\0\x042\0\0\0\x04".to_vec();
    for n in 1..=count {
        let mut row = u16::try_from(columns.len() + 1).unwrap().to_be_bytes().to_vec();
        let number = n.to_string();
        row.extend_from_slice(&u32::try_from(number.len()).unwrap().to_be_bytes());
        row.extend_from_slice(number.as_bytes());
        for &column in columns {
            row.extend_from_slice(&[0, 0, 0, 1, column]);
        }
        handshake::message(&mut out, b'D', &row);
    }
    build::command_complete(&mut out, "SELECT");
    build::ready_for_query(&mut out, TransactionStatus::Idle);
    client.send(&out).await;
}

/// Lets everybody in, and says the same of each process: is it there, does it wait, are there no standbys.
async fn postgres(columns: &'static [u8]) -> (Fake, Arc<Mutex<Vec<Vec<i32>>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    let fake = Fake::start(move |mut client| {
        let seen = seen.clone();
        async move {
            client.startup().await;
            client.welcome().await;
            while let Some((_, pids)) = question(&mut client).await {
                answer(&mut client, pids.len(), columns).await;
                seen.lock().unwrap().push(pids);
            }
        }
    })
    .await;
    (fake, asked)
}

/// Nobody is to connect to it.
async fn stranger() -> Fake {
    Fake::start(|_| async { panic!("the pool leads here, the server was elsewhere") }).await
}

#[tokio::test]
async fn questions_go_where_the_server_is_whatever_its_pool_says_now() {
    let (stranger, (fake, asked)) = (stranger().await, postgres(b"tff").await);
    let (asker, pool) = (Arc::new(Asker::default()), pool(&stranger.url("sslmode=disable")));
    let wait = asker.standby_wait(pool.clone(), process(&fake, 7)).await;
    assert_eq!(wait, Some(StandbyWait::NotNow));
    assert_eq!(asker.is_there(pool.clone(), process(&fake, 8)).await, Some(true));
    assert_eq!(asker.terminate(pool, process(&fake, 9)).await, Some(true));
    assert_eq!(*asked.lock().unwrap(), [[7], [8], [9], [9]]);
    assert_eq!((stranger.connections(), fake.connections()), (0, 3));
}

#[tokio::test]
async fn what_postgres_says_is_understood() {
    for (columns, is_there, wait) in [
        (b"ttf", true, Some(StandbyWait::Waits)),
        (b"tff", true, Some(StandbyWait::NotNow)),
        (b"tft", true, Some(StandbyWait::Never)),
        // Not visible from there, as behind a proxy: with standbys nobody can say.
        (b"fff", false, None),
        (b"fft", false, Some(StandbyWait::Never)),
    ] {
        let (fake, _) = postgres(columns).await;
        let (asker, pool) = (Arc::new(Asker::default()), pool(&fake.url("")));
        assert_eq!(asker.standby_wait(pool.clone(), process(&fake, 1)).await, wait);
        assert_eq!(asker.is_there(pool, process(&fake, 1)).await, Some(is_there));
    }
}

#[tokio::test]
async fn all_who_want_to_know_share_a_connection_and_a_question() {
    let (fake, asked) = postgres(b"ttf").await;
    let (asker, pool) = (Arc::new(Asker::default()), pool(&fake.url("")));
    for _second in 0..3 {
        let ask = |pid| {
            let (asker, pool, target) = (asker.clone(), pool.clone(), process(&fake, pid));
            tokio::spawn(async move { asker.standby_wait(pool, target).await })
        };
        let answers: Vec<_> = (1..=100).map(ask).collect();
        for answer in answers {
            assert_eq!(answer.await.unwrap(), Some(StandbyWait::Waits));
        }
    }
    assert_eq!(fake.connections(), 1, "kept, for they wait");
    let asked = asked.lock().unwrap();
    assert_eq!(asked.iter().map(Vec::len).sum::<usize>(), 300);
    assert!(asked.len() <= 9, "{} questions", asked.len());
}

#[tokio::test]
async fn a_connection_is_left_when_nobody_waits_any_more() {
    for (columns, kept) in [(b"ttf", true), (b"tff", false)] {
        let (left, mut leaving) = unbounded_channel();
        let fake = Fake::start(move |mut client| {
            let left = left.clone();
            async move {
                client.startup().await;
                client.welcome().await;
                while let Some((_, pids)) = question(&mut client).await {
                    answer(&mut client, pids.len(), columns).await;
                }
                left.send(()).unwrap();
            }
        })
        .await;
        let (asker, pool) = (Arc::new(Asker::default()), pool(&fake.url("")));
        asker.standby_wait(pool.clone(), process(&fake, 1)).await.unwrap();
        let answered = Instant::now();
        leaving.recv().await.unwrap();
        assert_eq!(answered.elapsed() > Duration::from_secs(2), kept);
        let desks = || asker.desks.lock().unwrap().len();
        let closed = async {
            while desks() > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), closed).await.expect("it is forgotten");
    }
}

#[tokio::test]
async fn a_kept_connection_that_is_lost_is_replaced_before_anybody_goes_without_an_answer() {
    let fake = Fake::start(|mut client| async move {
        client.startup().await;
        client.welcome().await;
        let (_, pids) = question(&mut client).await.unwrap();
        answer(&mut client, pids.len(), b"ttf").await;
        // And it is gone.
        client.link.shutdown().await.unwrap();
    })
    .await;
    let (asker, pool) = (Arc::new(Asker::default()), pool(&fake.url("")));
    for connections in 1..=3 {
        let wait = asker.standby_wait(pool.clone(), process(&fake, 1)).await;
        assert_eq!(wait, Some(StandbyWait::Waits));
        assert_eq!(fake.connections(), connections);
    }
}

#[tokio::test]
async fn whoever_gets_no_answer_within_a_second_is_told_so() {
    let deaf = Fake::start(|mut client| async move {
        client.startup().await;
        client.wait_for_the_end().await;
    })
    .await;
    let dumb = Fake::start(|mut client| async move {
        client.startup().await;
        client.welcome().await;
        client.wait_for_the_end().await;
    })
    .await;
    for fake in [deaf, dumb] {
        let (asker, pool) = (Arc::new(Asker::default()), pool(&fake.url("")));
        let began = Instant::now();
        assert_eq!(asker.standby_wait(pool.clone(), process(&fake, 1)).await, None);
        let took = began.elapsed();
        assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(4), "{took:?}");
        assert_eq!(asker.is_there(pool.clone(), process(&fake, 1)).await, None);
        assert_eq!(asker.terminate(pool, process(&fake, 1)).await, None);
    }
}

#[tokio::test]
async fn a_refusal_is_no_answer_and_the_next_question_is_asked_anew() {
    let turn = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let fake = Fake::start(move |mut client| {
        let turn = turn.clone();
        async move {
            client.startup().await;
            match turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
                0 => client.refuse(b"53300", "too many connections for role \"app\"").await,
                // The password has been changed: the pool's own is tried next.
                1 => client.refuse(b"28P01", "password authentication failed").await,
                2 => {
                    client.welcome().await;
                    question(&mut client).await.unwrap();
                    let refused = crate::wire::Report::error(b"42501", "permission denied");
                    let mut out = refused.to_bytes().to_vec();
                    build::ready_for_query(&mut out, TransactionStatus::Idle);
                    client.send(&out).await;
                }
                _ => {
                    client.welcome().await;
                    let (_, pids) = question(&mut client).await.unwrap();
                    answer(&mut client, pids.len(), b"tft").await;
                }
            }
        }
    })
    .await;
    let (asker, pool) = (Arc::new(Asker::default()), pool(&fake.url("")));
    for (expected, connections) in [(None, 1), (None, 3), (Some(StandbyWait::Never), 4)] {
        assert_eq!(asker.standby_wait(pool.clone(), process(&fake, 1)).await, expected);
        assert_eq!(fake.connections(), connections);
    }
}

#[tokio::test]
async fn questions_are_encrypted_where_the_servers_connection_is() {
    use crate::net::tls::SslMode;
    use crate::net::tls::test_files::{Authority, client, server};
    use crate::wire::startup::FirstPacket;
    let authority = Authority::new();
    let context = server(&authority.issue("localhost", &["127.0.0.1"]));
    let tls = ServerTls {
        context: client(SslMode::VerifyFull, &authority),
        host: "127.0.0.1".to_owned(),
    };
    for speaks_tls in [true, false] {
        let context = context.clone();
        let fake = Fake::start(move |mut client| {
            let context = context.clone();
            async move {
                assert_eq!(client.first_packet().await, FirstPacket::SslRequest);
                if !speaks_tls {
                    client.send(b"N").await;
                    // Nobody logs in here in plain text.
                    assert_eq!(client.link.fill().await.unwrap_or(0), 0);
                    return;
                }
                client.send(b"S").await;
                client.link.start_tls_server(&context, false).await.unwrap();
                client.startup().await;
                client.welcome().await;
                let (_, pids) = question(&mut client).await.unwrap();
                answer(&mut client, pids.len(), b"tff").await;
            }
        })
        .await;
        let address = ServerAddress::Tcp(fake.address);
        let target = CancelTarget { address, tls: Some(tls.clone()), ..any_target() };
        // What its pool says of TLS is about where it leads now.
        let (asker, pool) = (Arc::new(Asker::default()), pool(&fake.url("sslmode=disable")));
        let there = asker.is_there(pool, Arc::new(target)).await;
        assert_eq!(there, speaks_tls.then_some(true));
    }
}
