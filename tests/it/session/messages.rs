//! What the server says unasked: notifications and changed parameters, to whom they are meant.

use std::time::Duration;

use super::TIME_ZONE;
use crate::harness::accounting::Accounting;
use crate::harness::await_event::secs;
use crate::harness::frame::{Frame, render};
use crate::harness::front;
use crate::harness::message;
use crate::harness::raw::RawClient;

/// The ParameterStatus messages among these, rendered.
fn statuses(frames: &[Frame]) -> Vec<String> {
    frames.iter().filter(|frame| frame.tag == b'S').map(render).collect()
}

#[test]
fn a_notification_reaches_an_idle_listener_and_nobody_else() {
    let cluster = front::shop();
    let pgweir = front::pool_of(2, cluster.primary().address()).start();
    let (mut listener, greeting) =
        RawClient::try_login(&pgweir.address(), &front::login()).unwrap();
    let own_pid = greeting.iter().find_map(Frame::backend_key).expect("a key").0;
    let mut other = front::client(&pgweir);
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    listener.ask("listen mine");
    for (number, from_outside) in [(1, false), (2, true), (3, false)] {
        let notify = format!("notify mine, '{number}'");
        if from_outside {
            cluster.primary().sql("shop", &notify).unwrap();
        } else {
            other.ask(&notify);
        }
        // Nothing was asked since the last answer.
        let frame = listener.frame();
        assert!(render(&frame).ends_with(&format!("\"mine\" \"{number}\"")), "{frame:?}");
    }
    // Its own comes under the process id that it knows.
    listener.ask("notify mine, 'own'");
    let own = listener.frame();
    assert_eq!(render(&own), format!("NotificationResponse pid {own_pid} \"mine\" \"own\""));
    // Between the messages of a transaction nothing comes, after it everything.
    listener.ask("begin");
    other.ask("notify mine, 'later'");
    assert!(listener.ask("select 1").iter().all(|frame| frame.tag != b'A'));
    listener.ask("commit");
    assert_eq!(listener.frame().tag, b'A');
    listener.send(&message::terminate()).unwrap();
    // Whoever has its server now hears nothing of it.
    let mut next = front::client(&pgweir);
    next.ask("begin");
    other.ask("notify mine, 'nobody'");
    next.ask("commit");
    for client in [&mut next, &mut other] {
        client.set_deadline(Duration::from_millis(200));
        assert!(client.reply().is_err(), "something came");
    }
    drop((listener, next, other));
    accounts.assert_settled(secs(10));
}

#[test]
fn changed_parameters_are_told_to_the_client_that_has_them() {
    let cluster = front::shop();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    let mut other = front::client(&pgweir);
    other.ask("select 1");
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let mut client = front::client(&pgweir);
    let frames = client.ask("set timezone = 'Asia/Tokyo'");
    assert_eq!(statuses(&frames), ["ParameterStatus TimeZone = \"Asia/Tokyo\""]);
    let frames = client.ask("begin; set local timezone = 'Asia/Seoul'; commit");
    let [seoul, tokyo] =
        ["Asia/Seoul", "Asia/Tokyo"].map(|zone| format!("ParameterStatus TimeZone = \"{zone}\""));
    // Postgres reports at the end of a message: once in the middle at most.
    let told = statuses(&frames);
    assert!(told.is_empty() || told == [seoul, tokyo], "{told:?}");
    client.send(&message::terminate()).unwrap();
    client.until_closed();
    // Neither the value, nor the news that it is as it was.
    let frames = other.ask(TIME_ZONE);
    assert_eq!(statuses(&frames), [""; 0]);
    assert_eq!(frames[1].first_text().as_deref(), Some("UTC"));
    let (mut newcomer, greeting) =
        RawClient::try_login(&pgweir.address(), &front::login()).unwrap();
    assert!(statuses(&greeting).contains(&"ParameterStatus TimeZone = \"UTC\"".to_owned()));
    assert_eq!(newcomer.ask_value(TIME_ZONE), "UTC");
    drop((client, other, newcomer));
    accounts.assert_settled(secs(10));
}

#[test]
fn startup_parameters_follow_their_client_from_server_to_server_in_silence() {
    let cluster = front::shop();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    let zones = ["Asia/Tokyo", "Europe/Rome", "America/Lima"];
    let mut clients: Vec<_> = zones
        .iter()
        .map(|zone| {
            let login = front::login().parameter("TimeZone", zone);
            let login =
                login.parameter("application_name", zone).parameter("options", "-c work_mem=7MB");
            let (client, greeting) = RawClient::try_login(&pgweir.address(), &login).unwrap();
            let expected = format!("ParameterStatus TimeZone = \"{zone}\"");
            assert!(statuses(&greeting).contains(&expected), "{greeting:?}");
            client
        })
        .collect();
    let mut plain = front::client(&pgweir);
    for _ in 0..3 {
        for (client, zone) in clients.iter_mut().zip(zones) {
            let frames =
                client.ask("select current_setting('TimeZone') || current_setting('work_mem')");
            assert_eq!(frames[1].first_text(), Some(format!("{zone}7MB")));
            assert_eq!(client.ask_value("select current_setting('application_name')"), zone);
            assert_eq!(statuses(&frames), [""; 0]);
        }
        let frames = plain.ask("select current_setting('TimeZone') || current_setting('work_mem')");
        assert_eq!(frames[1].first_text().as_deref(), Some("UTC4MB"));
        assert_eq!(statuses(&frames), [""; 0]);
    }
}
