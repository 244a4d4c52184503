//! Single values of hundreds of megabytes, and COPY, in plain and over TLS.

use pgweir::cluster::AuthMethod;

use super::{LINE, LINE_SQL, Lines, MANY, Peak, assert_row_of_lines, send_lines};
use crate::harness::accounting::Accounting;
use crate::harness::await_event::secs;
use crate::harness::certificates::Authority;
use crate::harness::frame::Frame;
use crate::harness::front;
use crate::harness::message;
use crate::harness::pgweir_process::{Pgweir, toml_string};
use crate::harness::raw::RawClient;
use crate::harness::tls;

/// Lines in 64 MB.
const FEWER: usize = 64_000;

/// The beginning of a message whose body goes on for `later` bytes.
fn front_of(tag: u8, body: &[u8], later: usize) -> Vec<u8> {
    message::lying(tag, i32::try_from(4 + body.len() + later).unwrap(), body)
}

fn tags(frames: &[Frame]) -> String {
    frames.iter().map(|frame| char::from(frame.tag)).collect()
}

/// Sends lines as one Bind value and has Postgres send them back as one row.
fn echo_a_bind_value(client: &mut RawClient, count: usize) {
    client.send(&message::parse("", "select $1::text", &[])).unwrap();
    let value = i32::try_from(count * LINE).unwrap();
    // Unnamed portal and statement, no formats, one value.
    let head = [&[0, 0, 0, 0, 0, 1][..], &value.to_be_bytes()].concat();
    client.send(&front_of(b'B', &head, count * LINE + 2)).unwrap();
    send_lines(count, |piece| client.send(piece)).unwrap();
    client.send(&[0, 0]).unwrap();
    client.send(&[message::execute("", 0), message::sync()].concat()).unwrap();
    assert_eq!(tags(&client.until(b'2')), "12");
    assert_row_of_lines(client, count);
    assert_eq!(tags(&client.until_ready()), "CZ");
}

/// The same as the literal of one Query.
fn echo_a_literal(client: &mut RawClient, count: usize) {
    client.send(&front_of(b'Q', b"select '", count * LINE + 2)).unwrap();
    send_lines(count, |piece| client.send(piece)).unwrap();
    client.send(b"'\0").unwrap();
    client.until(b'T');
    assert_row_of_lines(client, count);
    assert_eq!(tags(&client.until_ready()), "CZ");
}

/// Copies lines into a table, a megabyte and a bit a message, and has Postgres check them.
fn copy_in(client: &mut RawClient, count: usize) {
    client.ask("create unlogged table lines (text text)");
    client.send(&message::query("copy lines from stdin")).unwrap();
    client.until(b'G');
    let mut data = Vec::new();
    send_lines(count, |piece| {
        data.extend_from_slice(piece);
        if data.len() > 1_100_000 {
            client.send(&message::copy_data(&data))?;
            data.clear();
        }
        Ok(())
    })
    .unwrap();
    client.send(&[message::copy_data(&data), message::copy_done()].concat()).unwrap();
    let frames = client.until_ready();
    assert_eq!(frames[0].command_tag(), Some(format!("COPY {count}")), "{frames:?}");
    let expected = format!("(select {LINE_SQL} from generate_series(1, {count}) n)");
    let odd = format!("select text || E'\\n' from lines except all {expected}");
    assert_eq!(client.ask_value(&format!("select count(*) from ({odd}) odd")), "0");
    client.ask("drop table lines");
}

fn copy_out(client: &mut RawClient, count: usize) {
    let lines = format!("select lpad(n::text, 999, '0') from generate_series(1, {count}) n");
    client.send(&message::query(format!("copy ({lines}) to stdout"))).unwrap();
    client.until(b'H');
    let mut lines = Lines::default();
    loop {
        match client.skim(|bytes| lines.check(bytes)).unwrap() {
            Some((b'd', _)) => {}
            // CopyDone has no body to check.
            Some((b'c', 0)) => break,
            other => panic!("{other:?} in a COPY"),
        }
    }
    lines.assert_whole(count);
    assert_eq!(tags(&client.until_ready()), "CZ");
}

#[test]
fn a_bind_value_and_a_row_of_300_mb_pass_whole_in_a_few_mb() {
    let cluster = front::shop();
    let pgweir = front::pool_of(2, cluster.primary().address()).start();
    let peak = Peak::of(&pgweir);
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let mut client = front::client(&pgweir);
    client.set_deadline(secs(60));
    echo_a_bind_value(&mut client, MANY);
    peak.assert_flat();
    drop(client);
    accounts.assert_settled(secs(10));
}

#[test]
fn a_query_of_300_mb_passes_whole_in_a_few_mb() {
    let cluster = front::shop();
    let pgweir = front::pool_of(2, cluster.primary().address()).start();
    let peak = Peak::of(&pgweir);
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let mut client = front::client(&pgweir);
    client.set_deadline(secs(60));
    echo_a_literal(&mut client, MANY);
    peak.assert_flat();
    drop(client);
    accounts.assert_settled(secs(10));
}

#[test]
fn the_memory_of_a_query_just_below_max_statement_size_is_given_back() {
    let cluster = front::shop();
    let pgweir = front::pool_of(2, cluster.primary().address()).start();
    front::client(&pgweir).ask("select 1");
    let mut client = front::client(&pgweir);
    client.set_deadline(secs(60));
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    echo_a_literal(&mut client, FEWER);
    // Though its client is still there.
    accounts.assert_settled(secs(10));
}

#[test]
fn copy_of_300_mb_passes_whole_in_a_few_mb_both_ways() {
    let cluster = front::shop();
    let pgweir = front::pool_of(2, cluster.primary().address()).start();
    let peak = Peak::of(&pgweir);
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let mut client = front::client(&pgweir);
    client.set_deadline(secs(60));
    copy_in(&mut client, MANY);
    copy_out(&mut client, MANY);
    peak.assert_flat();
    drop(client);
    accounts.assert_settled(secs(10));
}

#[test]
fn large_messages_pass_whole_in_a_few_mb_over_tls_on_both_sides() {
    let authority = Authority::new();
    let own = authority.issue("both", &["localhost"]);
    let cluster = front::shop_options()
        .auth(AuthMethod::Trust)
        .tls(&own.certificate, &own.key)
        .hba("hostnossl all all 127.0.0.1/32 reject")
        .start()
        .unwrap();
    let url = format!(
        "host=localhost port={} sslmode=verify-full sslrootcert={}",
        cluster.primary().port(),
        authority.file().display()
    );
    let certificate = toml_string(own.certificate_file.to_str().unwrap());
    let key = toml_string(own.key_file.to_str().unwrap());
    let pgweir: Pgweir = Pgweir::options()
        .database("*", &url)
        .role("postgres", "postgres")
        .set("auth", "method = \"trust\"")
        .set("defaults", "pool_size = 2")
        .set("server.tls", &format!("certificate = {certificate}\nprivate_key = {key}"))
        .start();
    let peak = Peak::of(&pgweir);
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let mut client = tls::after_request(pgweir.listen(), &authority).unwrap();
    client.set_deadline(secs(60));
    client.send(&front::login().packet()).unwrap();
    client.authenticate(&front::login()).unwrap();
    echo_a_bind_value(&mut client, FEWER);
    copy_in(&mut client, FEWER);
    copy_out(&mut client, FEWER);
    peak.assert_flat();
    drop(client);
    accounts.assert_settled(secs(10));
}
