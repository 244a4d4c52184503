//! Who gets in, how, and as whom the server sees them: a real Postgres behind pgweir.

mod cancel;
mod lookups;
mod names;
mod passwords;
mod sockets;
mod tls;

use pgweir::cluster::{AuthMethod, Cluster, ClusterOptions};

use crate::harness::frame::{Frame, render_all};
use crate::harness::pgweir_process::{Pgweir, PgweirOptions};
use crate::harness::raw::{Login, RawClient};

const SECRET: &str = "Ann's $ecret \u{e9}";

/// A Postgres that asks role `ann` for her password in this way.
fn asking(method: AuthMethod) -> ClusterOptions {
    Cluster::options().auth(method).role("ann", SECRET)
}

/// pgweir in front of it, for every database there.
fn in_front_of(cluster: &Cluster) -> PgweirOptions {
    let url = format!("postgres://{}?sslmode=disable", cluster.primary().address());
    Pgweir::options().database("*", &url)
}

fn ann() -> Login {
    Login::new("ann", "postgres").password(SECRET)
}

fn current_user(client: &mut RawClient) -> String {
    client.ask_value("select current_user")
}

/// The error that ends a login.
fn refusal(pgweir: &Pgweir, login: &Login) -> Frame {
    let frames = login_frames(pgweir, login);
    let last = frames.last().filter(|frame| frame.tag == b'E').cloned();
    last.unwrap_or_else(|| panic!("{} was not refused:\n{}", login.user, render_all(&frames)))
}

fn login_frames(pgweir: &Pgweir, login: &Login) -> Vec<Frame> {
    RawClient::try_login(&pgweir.address(), login).expect("pgweir accepts").1
}

fn assert_refused(pgweir: &Pgweir, login: &Login, sqlstate: &str) {
    let error = refusal(pgweir, login);
    assert_eq!(error.sqlstate().as_deref(), Some(sqlstate), "{error:?}");
}
