//! Socket options that every TCP connection gets, from either side.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// How long a silent connection is trusted, and how long it is asked then: a peer that vanished
/// without a word is noticed after about two minutes.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(60))
    .with_interval(Duration::from_secs(15))
    .with_retries(4);

/// How long written bytes may stay unacknowledged.
const USER_TIMEOUT: Duration = Duration::from_secs(120);

/// Turns off Nagle's delay and turns on keepalive. What a listening socket has, Linux gives to the
/// connections that it accepts (`tcp_create_openreq_child` copies its state).
///
/// # Errors
/// The system refused one of them, as it does for a socket whose peer has already gone.
pub fn set_tcp_options(socket: &impl AsFd) -> io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&KEEPALIVE)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(())
}
