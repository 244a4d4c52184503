//! tokio-postgres, straight to Postgres and through pgweir.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::fmt::{Debug, Write as _};
use std::future::poll_fn;
use std::pin::pin;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{
    AsyncMessage, Client, Config, Error, IsolationLevel, NoTls, Notification, SimpleQueryMessage,
};

use crate::difference::assert_same_lines;
use crate::stage::{self, Entrance, Stage};

/// Clients that come at once, more than the servers for them.
const CROWD: usize = 6;

#[test]
fn tokio_postgres() {
    let stage = Stage::new();
    let straight = stage.straight(play);
    let pooled = stage.through_pgweir(play);
    assert_same_lines(&straight, &pooled);
}

/// Plays every part, and gives what it saw.
fn play(entrance: &Entrance) -> String {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut seen = Seen::default();
    let parts = async {
        connecting(entrance, &mut seen).await;
        types(entrance, &mut seen).await;
        statements(entrance, &mut seen).await;
        transactions(entrance, &mut seen).await;
        copying(entrance, &mut seen).await;
        notifications(entrance, &mut seen).await;
        cancelling(entrance, &mut seen).await;
        crowd(entrance, &mut seen).await;
    };
    let in_time = async { tokio::time::timeout(Duration::from_secs(50), parts).await };
    runtime.block_on(in_time).expect("tokio-postgres does not hang");
    seen.0
}

/// What must be the same both ways.
#[derive(Default)]
struct Seen(String);

impl Seen {
    fn see(&mut self, name: &str, value: impl Debug) {
        let _ = writeln!(self.0, "{name}: {value:?}");
    }

    fn error<T>(&mut self, name: &str, result: Result<T, Error>) {
        let Err(error) = result else { panic!("{name}: no error") };
        let of_server = error.as_db_error().map(|error| (error.code(), error.message()));
        match of_server {
            Some(told) => self.see(name, told),
            None => self.see(name, (error.to_string(), error.source().map(ToString::to_string))),
        }
    }
}

fn config(entrance: &Entrance) -> Config {
    let mut config = Config::new();
    config.host("127.0.0.1").port(entrance.port).dbname(stage::DATABASE);
    config.user(stage::ROLE).password(stage::PASSWORD);
    config
}

/// A client and what comes to it unasked. Its connection ends with it.
async fn connect(config: &Config) -> Result<(Client, UnboundedReceiver<AsyncMessage>), Error> {
    let (client, mut connection) = config.connect(NoTls).await?;
    let (sender, messages) = unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            let _ = sender.send(message);
        }
    });
    Ok((client, messages))
}

async fn client(entrance: &Entrance) -> Client {
    connect(&config(entrance)).await.unwrap().0
}

async fn connecting(entrance: &Entrance, seen: &mut Seen) {
    let mut with_options = config(entrance);
    with_options
        .application_name("report")
        .options("-c search_path=archive,public -c work_mem=2MB");
    let (client, _) = connect(&with_options).await.unwrap();
    for name in ["application_name", "search_path", "work_mem", "client_encoding"] {
        let row = client.query_one("select current_setting($1)", &[&name]).await.unwrap();
        seen.see(name, row.get::<_, String>(0));
    }
    let refused = connect(config(entrance).password("wrong")).await;
    seen.error("wrong password", refused);
}

async fn types(entrance: &Entrance, seen: &mut Seen) {
    let client = client(entrance).await;
    client.batch_execute("create type mood as enum ('sad', 'glad')").await.unwrap();
    let at = SystemTime::UNIX_EPOCH + Duration::from_micros(1_700_000_000_123_456);
    let row = client
        .query_one(
            "select $1::int2, $2::int8, $3::float8, $4::bool, $5::text, $6::bytea, $7::timestamptz, $8::int4[], $9::text",
            &[&7_i16, &i64::MAX, &0.1_f64, &true, &"it's ü", &[0_u8, 255].as_slice(), &at, &vec![Some(1), None], &None::<String>],
        )
        .await
        .unwrap();
    seen.see(
        "numbers",
        (row.get::<_, i16>(0), row.get::<_, i64>(1), row.get::<_, f64>(2), row.get::<_, bool>(3)),
    );
    seen.see(
        "texts",
        (row.get::<_, String>(4), row.get::<_, Vec<u8>>(5), row.get::<_, Option<String>>(8)),
    );
    seen.see("others", (row.get::<_, SystemTime>(6) == at, row.get::<_, Vec<Option<i32>>>(7)));
    // For an enum the driver asks the catalog, with named statements of its own.
    let statement = client.prepare("select $1::mood, array['sad'::mood]").await.unwrap();
    seen.see("mood", (statement.params()[0].name(), statement.columns()[1].type_().name()));
    let typed =
        client.query_typed("select $1, $2", &[(&"ü", Type::TEXT), (&5, Type::INT4)]).await.unwrap();
    seen.see("typed", (typed[0].get::<_, String>(0), typed[0].get::<_, i32>(1)));
}

async fn statements(entrance: &Entrance, seen: &mut Seen) {
    let (client, mut messages) = connect(&config(entrance)).await.unwrap();
    client
        .batch_execute(
            "create table item (id int primary key, name text); create index on item (name)",
        )
        .await
        .unwrap();
    let insert = client.prepare("insert into item values ($1, $2)").await.unwrap();
    for number in 0..20 {
        let name = format!("item {number}");
        assert_eq!(client.execute(&insert, &[&number, &name]).await.unwrap(), 1);
    }
    // Polled together, so sent as one pipeline.
    let sum = "select $1::int + $2::int";
    let statement = client.prepare(sum).await.unwrap();
    let parameters: [&(dyn ToSql + Sync); 2] = [&20, &22];
    let (first, second, third) = tokio::join!(
        client.query_one(&statement, &parameters),
        client.query_one("select 1 / $1::int", &[&0]),
        client.query_one(&statement, &[&1, &2]),
    );
    seen.see("pipelined", (first.unwrap().get::<_, i32>(0), third.unwrap().get::<_, i32>(0)));
    seen.error("between them", second);
    seen.error("unique", client.execute(&insert, &[&1, &"again"]).await);
    let answers = client.simple_query(
        "select 1 as a; select 'ü' as b, null as c; update item set name = 'x' where id < 3",
    );
    let answers = answers.await.unwrap();
    let told = answers.iter().map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            format!("{:?}", (0..row.len()).map(|i| row.get(i)).collect::<Vec<_>>())
        }
        SimpleQueryMessage::CommandComplete(count) => format!("complete {count}"),
        SimpleQueryMessage::RowDescription(columns) => format!("{} columns", columns.len()),
        _ => "another".into(),
    });
    seen.see("several", told.collect::<Vec<_>>());
    seen.error(
        "one of several",
        client.batch_execute("insert into item values (100, ''); selekt 1").await,
    );
    seen.see(
        "nothing of it",
        client.query_opt("select 1 from item where id = 100", &[]).await.unwrap().is_none(),
    );
    let many = client.query("select generate_series(1, 50000)", &[]).await.unwrap();
    seen.see("many", many.iter().map(|row| i64::from(row.get::<_, i32>(0))).sum::<i64>());
    let large = "ü".repeat(3_000_000);
    let back: String = client.query_one("select $1::text", &[&large]).await.unwrap().get(0);
    seen.see("large", back == large);
    client.batch_execute("do $$ begin raise notice 'mind the gap'; end $$").await.unwrap();
    let Some(AsyncMessage::Notice(notice)) = messages.recv().await else { panic!("no notice") };
    seen.see("notice", notice.message());
}

async fn transactions(entrance: &Entrance, seen: &mut Seen) {
    let mut client = client(entrance).await;
    let mut transaction = client
        .build_transaction()
        .isolation_level(IsolationLevel::Serializable)
        .start()
        .await
        .unwrap();
    transaction
        .batch_execute("create table account (id int primary key); insert into account values (1)")
        .await
        .unwrap();
    let inner = transaction.savepoint("within").await.unwrap();
    seen.error("inside", inner.execute("insert into account values (1)", &[]).await);
    seen.error("failed", inner.execute("select 1", &[]).await);
    inner.rollback().await.unwrap();
    // A portal that is read in steps, with other statements between.
    let portal = transaction.bind("select generate_series(1, 10)", &[]).await.unwrap();
    for wanted in [3, 4] {
        let rows = transaction.query_portal(&portal, wanted).await.unwrap();
        seen.see("portal", rows.iter().map(|row| row.get::<_, i32>(0)).collect::<Vec<_>>());
        let level: String =
            transaction.query_one("show transaction_isolation", &[]).await.unwrap().get(0);
        seen.see("level", level);
    }
    transaction.commit().await.unwrap();
    let transaction = client.transaction().await.unwrap();
    transaction.execute("delete from account", &[]).await.unwrap();
    // Dropped: the driver sends ROLLBACK by itself.
    drop(transaction);
    seen.see(
        "left",
        client.query_one("select count(*) from account", &[]).await.unwrap().get::<_, i64>(0),
    );
}

async fn copying(entrance: &Entrance, seen: &mut Seen) {
    use futures_util::{SinkExt as _, TryStreamExt as _};
    let client = client(entrance).await;
    client.batch_execute("create table bulk (id int, name text)").await.unwrap();
    let lines: String = (0..20_000).map(|number| format!("{number}\tname {number}\n")).collect();
    let mut sink = pin!(client.copy_in::<_, bytes::Bytes>("copy bulk from stdin").await.unwrap());
    for chunk in lines.as_bytes().chunks(7_000) {
        sink.send(bytes::Bytes::copy_from_slice(chunk)).await.unwrap();
    }
    seen.see("in", sink.finish().await.unwrap());
    let output = client.copy_out("copy (select * from bulk order by id) to stdout").await.unwrap();
    let chunks: Vec<bytes::Bytes> = output.try_collect().await.unwrap();
    seen.see("out", chunks.concat() == lines.as_bytes());
    let mut sink = pin!(client.copy_in::<_, bytes::Bytes>("copy bulk from stdin").await.unwrap());
    sink.send(bytes::Bytes::from_static(b"x\ty\n")).await.unwrap();
    seen.error("bad row", sink.finish().await);
    // Dropped: CopyFail.
    drop(client.copy_in::<_, bytes::Bytes>("copy bulk from stdin").await.unwrap());
    seen.see(
        "count",
        client.query_one("select count(*) from bulk", &[]).await.unwrap().get::<_, i64>(0),
    );
}

async fn notifications(entrance: &Entrance, seen: &mut Seen) {
    let (listener, mut messages) = connect(&config(entrance)).await.unwrap();
    listener.batch_execute("listen news").await.unwrap();
    let speaker = client(entrance).await;
    speaker.execute("select pg_notify('news', $1)", &[&"ü"]).await.unwrap();
    let Some(AsyncMessage::Notification(heard)) = messages.recv().await else { panic!("nothing") };
    let told = |heard: &Notification| (heard.channel().to_owned(), heard.payload().to_owned());
    seen.see("heard", told(&heard));
}

async fn cancelling(entrance: &Entrance, seen: &mut Seen) {
    let sleeper = client(entrance).await;
    let token = sleeper.cancel_token();
    let observer = client(entrance).await;
    let sleep = "select pg_sleep(30)";
    let running = "select count(*) from pg_stat_activity where state = 'active' and query = $1";
    let cancel = async {
        while observer.query_one(running, &[&sleep]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        token.cancel_query(NoTls).await.unwrap();
    };
    let (slept, ()) = tokio::join!(sleeper.batch_execute(sleep), cancel);
    seen.error("cancelled", slept);
    seen.see("goes on", sleeper.query_one("select 5", &[]).await.unwrap().get::<_, i32>(0));
}

/// The driver names every statement that it describes, and drops it afterwards; those with types given have no name.
async fn crowd(entrance: &Entrance, seen: &mut Seen) {
    let watching = client(entrance).await;
    watching
        .batch_execute("create table tally (total int); insert into tally values (0)")
        .await
        .unwrap();
    let mut crowd_config = config(entrance);
    crowd_config.dbname(entrance.crowd_database());
    let mut tasks = JoinSet::new();
    for number in 0..CROWD {
        let config = crowd_config.clone();
        tasks.spawn(async move {
            let (mut client, _messages) = connect(&config).await.unwrap();
            let mut servers = BTreeSet::new();
            for round in 0..30 {
                let transaction = client.transaction().await.unwrap();
                transaction.batch_execute("update tally set total = total + 1").await.unwrap();
                let asked = i32::try_from(number * 1000 + round).unwrap();
                let question = "select $1, pg_backend_pid()";
                let rows =
                    transaction.query_typed(question, &[(&asked, Type::INT4)]).await.unwrap();
                assert_eq!(rows[0].get::<_, i32>(0), asked);
                servers.insert(rows[0].get::<_, i32>(1));
                let named = transaction.query_one("select $1::int4", &[&asked]).await.unwrap();
                assert_eq!(named.get::<_, i32>(0), asked);
                transaction.commit().await.unwrap();
            }
            servers
        });
    }
    let servers: BTreeSet<i32> = tasks.join_all().await.into_iter().flatten().collect();
    if let Some(most) = entrance.crowd_servers() {
        assert!(servers.len() <= most as usize, "{servers:?}");
    }
    seen.see(
        "tally",
        watching.query_one("select total from tally", &[]).await.unwrap().get::<_, i32>(0),
    );
}
