//! The URL form: `postgres://user:password@host:port,host:port/database?parameter=value`.

use super::{Parameters, TargetError, clip};

/// Reads what follows `postgres://`.
pub(super) fn read(rest: &str, given: &mut Parameters) -> Result<(), TargetError> {
    // As in libpq: user and password are there if an `@` comes before the first `/`, and end at it.
    let rest = match rest.find(['@', '/']).map(|end| rest.split_at(end)) {
        Some((userinfo, places)) if places.starts_with('@') => {
            read_userinfo(userinfo, given)?;
            &places[1..]
        }
        _ => rest,
    };
    let (before_query, query) = match rest.split_once('?') {
        Some((before, query)) => (before, Some(query)),
        None => (rest, None),
    };
    let (places, path) = match before_query.split_once('/') {
        Some((places, path)) => (places, Some(path)),
        None => (before_query, None),
    };
    // Looked at before the hosts are: what looks like a port may be half a password.
    if path.is_some_and(|path| path.contains('@')) {
        return Err(TargetError::new("an `@` stands after the first `/`")
            .help("a `/` in a password is written %2F, an `@` %40"));
    }
    read_places(places, given)?;
    if let Some(path) = path {
        given.set("dbname", decode(path, "the database's name")?)?;
    }
    query.map_or(Ok(()), |query| read_query(query, given))
}

fn read_userinfo(userinfo: &str, given: &mut Parameters) -> Result<(), TargetError> {
    let (user, password) = match userinfo.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (userinfo, None),
    };
    given.set("user", decode(user, "the user's name")?)?;
    if let Some(password) = password {
        given.set("password", decode(password, "the password")?)?;
    }
    Ok(())
}

/// Splits `host:port,[::1]:port` into libpq's two comma lists.
fn read_places(places: &str, given: &mut Parameters) -> Result<(), TargetError> {
    if places.is_empty() {
        return Ok(());
    }
    if places.contains('@') {
        return Err(
            TargetError::new("two `@` before the host").help("an `@` in a password is written %40")
        );
    }
    let mut hosts = Vec::new();
    let mut ports = Vec::new();
    for place in places.split(',') {
        let (host, port) = split_place(place)?;
        hosts.push(decode(host, "the host")?);
        ports.push(port);
    }
    if ports.iter().any(|port| !port.is_empty()) {
        given.set("port", ports.join(","))?;
    }
    given.set("host", hosts.join(","))
}

fn split_place(place: &str) -> Result<(&str, &str), TargetError> {
    if let Some(bracketed) = place.strip_prefix('[') {
        let unclosed = || TargetError::new("`[` without `]` in the host");
        let (host, after) = bracketed.split_once(']').ok_or_else(unclosed)?;
        if host.parse::<std::net::Ipv6Addr>().is_err() && !host.contains('%') {
            return Err(TargetError::new(format!("`{}` is no IPv6 address", clip(host))));
        }
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, port)),
            None if after.is_empty() => Ok((host, "")),
            None => Err(TargetError::new("text after `]` in the host")),
        };
    }
    match place.split_once(':') {
        Some((_, port)) if port.contains(':') => {
            Err(TargetError::new("more than one `:` in a host")
                .help("write an IPv6 address in brackets: [::1]"))
        }
        Some((host, port)) => Ok((host, port)),
        None => Ok((place, "")),
    }
}

fn read_query(query: &str, given: &mut Parameters) -> Result<(), TargetError> {
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(
                TargetError::new("a parameter after `?` has no `=`").help("write name=value")
            );
        };
        let name = decode(name, "a parameter's name")?;
        let value = decode(value, "a parameter's value")?;
        given.set(&name, value)?;
    }
    Ok(())
}

/// Undoes percent encoding. `what` names the part in a message, which never shows its text.
fn decode(text: &str, what: &str) -> Result<String, TargetError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| (byte as char).to_digit(16));
        let (Some(high), Some(low)) = (digit(rest.next()), digit(rest.next())) else {
            return Err(TargetError::new(format!(
                "a `%` in {what} is not followed by two hexadecimal digits"
            ))
            .help("a `%` itself is written %25"));
        };
        bytes.push(u8::try_from(high * 16 + low).unwrap_or(u8::MAX));
    }
    if bytes.contains(&0) {
        return Err(TargetError::new(format!("%00 in {what}")));
    }
    String::from_utf8(bytes).map_err(|_| TargetError::new(format!("{what} is not UTF-8")))
}
