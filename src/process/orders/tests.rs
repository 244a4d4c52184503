use super::*;
use crate::dial::tests::fake::Fake;
use crate::login::tests::{StandIn, World};
use crate::worker::mail::Mail;

/// A pool whose primary is at `url`.
fn pool(url: &str) -> Arc<PoolSpec> {
    let config = format!("[databases.shop]\nprimary = \"{url}\"\nreset_on_handover = \"seen\"\n");
    let config = crate::config::Config::parse(&config, "test.toml").unwrap().config;
    let settings = Arc::new(config.resolve("shop", "app").unwrap());
    Arc::new(PoolSpec::new(1, "shop".to_owned(), "app".to_owned(), settings))
}

/// Serves the orders of one stand-in loop.
fn start() -> (Arc<StandIn>, OrderBook, tokio::task::JoinHandle<()>) {
    let mailbox = Arc::new(StandIn::default());
    let (mut books, orders) = order_books(1);
    let loops: Vec<Arc<dyn Loop>> = vec![mailbox.clone()];
    let served = tokio::spawn(serve(
        orders,
        loops,
        Arc::new(Dialler::default()),
        Arc::default(),
        Arc::default(),
    ));
    (mailbox, books.remove(0), served)
}

async fn outcome(mailbox: &StandIn) -> Result<Box<NewServer<Socket>>, DialFailure> {
    match mailbox.next().await {
        Mail::Dialled { pool, outcome } => {
            assert_eq!(pool.id, 1);
            outcome
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_dial_is_answered_once() {
    let fake = Fake::start(|mut client| async move {
        client.startup().await;
        client.welcome().await;
        client.wait_for_the_end().await;
    })
    .await;
    let (mailbox, book, served) = start();
    book.give(Order::Dial(pool(&fake.url("sslmode=disable"))));
    let server = outcome(&mailbox).await.unwrap();
    assert_eq!(server.statuses[0], (b"server_version".to_vec(), b"15.4".to_vec()));
    assert_eq!(server.cancel.unwrap().pid, 4711);
    book.give(Order::Dial(pool("host=/no/such/directory")));
    assert_eq!(outcome(&mailbox).await.unwrap_err().report.sqlstate(), "08001");
    book.give(Order::Ended);
    served.await.unwrap();
    assert!(mailbox.take().is_none());
}

#[tokio::test]
async fn a_dial_that_breaks_is_answered_too() {
    let mailbox = Arc::new(StandIn::default());
    let pool = pool("host=/no/such/directory");
    drop(DialAnswer { pool, mailbox: mailbox.clone(), outcome: None });
    let failure = outcome(&mailbox).await.unwrap_err();
    assert_eq!((failure.report.sqlstate(), failure.permanent), ("XX000", false));
}

#[tokio::test]
async fn the_hall_ends_when_a_loop_gives_up_its_book() {
    let (_mailbox, book, served) = start();
    drop(book);
    served.await.unwrap();
}

#[tokio::test]
async fn a_real_loop_and_the_hall_serve_a_query_together() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let fake = Fake::start(|mut server| async move {
        server.startup().await;
        server.welcome().await;
        loop {
            let query = server.message().await;
            if query.tag == b'Q' {
                server.send(b"C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I").await;
            }
        }
    })
    .await;
    let (mut books, orders) = order_books(1);
    let company = crate::worker::Company::of(1);
    let params = company.params.clone();
    let start = crate::worker::Start {
        seat: 0,
        company,
        loops: crate::worker::Loops::of(1),
        started: std::time::Instant::now(),
        settings: crate::worker::mail::LoopSettings {
            max_statement_size: 1 << 20,
            client_idle_ms: None,
        },
    };
    let mailbox = crate::process::start_loop(start, books.remove(0)).unwrap();
    let served = tokio::spawn(serve(
        orders,
        vec![mailbox.clone()],
        Arc::new(Dialler::default()),
        Arc::default(),
        Arc::default(),
    ));
    let config = format!(
        "[auth]\nmethod = \"trust\"\n[databases.shop]\nprimary = \"{}\"\n",
        fake.url("sslmode=disable")
    );
    let world = World::with_loop(&config, mailbox.clone(), params);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
    let (stream, peer) = listener.accept().await.unwrap();
    let login = [&crate::login::tests::login("app", "shop")[..], b"Q\0\0\0\x0dSELECT 1\0"].concat();
    client.write_all(&login).await.unwrap();
    let stream = crate::net::socket::Stream::Tcp(stream);
    crate::login::accept::receive(&world.hall, stream, crate::net::socket::Peer::Tcp(peer)).await;
    let mut answer = Vec::new();
    while !answer.windows(14).any(|bytes| bytes == b"C\0\0\0\x0dSELECT 1\0") {
        assert_ne!(client.read_buf(&mut answer).await.unwrap(), 0, "{answer:?}");
    }
    assert!(answer.starts_with(b"R\0\0\0\x08\0\0\0\0S"));
    mailbox.send(Mail::Stop);
    served.await.unwrap();
}
