"""A client of the Postgres protocol, just enough of it: logins, one statement, and bulk data.

It exists because a benchmark needs thousands of connections and full-speed reads without a driver's own cost.
"""

import base64
import hashlib
import hmac
import os
import secrets
import socket
import ssl
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

from bench.processes import BenchError

PROTOCOL_3_0 = 196608
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
READY_IDLE = b"Z\x00\x00\x00\x05I"
COPY_DONE = b"c\x00\x00\x00\x04"


class ServerError(BenchError):
    """Postgres, or the pooler in its place, answered with an ErrorResponse."""


@dataclass(frozen=True)
class Endpoint:
    """Where to log in, and as whom."""

    host: str
    port: int
    user: str
    password: str
    database: str
    tls: bool = False

    def with_database(self, database: str) -> "Endpoint":
        return replace(self, database=database)

    def environment(self) -> dict[str, str]:
        """For libpq programs. No SSL or GSS negotiation: it would add a round trip per login."""
        return {
            **os.environ,
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGPASSWORD": self.password,
            "PGDATABASE": self.database,
            "PGSSLMODE": "disable",
            "PGGSSENCMODE": "disable",
        }


@dataclass
class Connection:
    """One logged-in connection; nothing is buffered between two statements."""

    socket: socket.socket
    parameters: dict[str, str] = field(default_factory=dict)
    _received: bytearray = field(default_factory=bytearray)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        try:
            self.socket.sendall(b"X\x00\x00\x00\x04")
        except OSError:
            pass  # The peer closed first; there is nobody to say goodbye to.
        self.socket.close()

    def query(self, sql: str) -> None:
        """Runs one simple-protocol statement and throws its rows away."""
        self.socket.sendall(message(b"Q", _text(sql)))
        self._until_ready()

    def extended(self, sql: str, *arguments: str) -> None:
        """Parse, Bind, Describe, Execute, Sync of the unnamed statement, in one segment as drivers send it."""
        values = b"".join(struct.pack("!i", len(value.encode())) + value.encode() for value in arguments)
        bind = b"\x00\x00" + struct.pack("!HH", 0, len(arguments)) + values + struct.pack("!H", 0)
        self.socket.sendall(
            message(b"P", b"\x00" + _text(sql) + struct.pack("!H", 0))
            + message(b"B", bind)
            + message(b"D", b"P\x00")
            + message(b"E", b"\x00" + struct.pack("!i", 0))
            + message(b"S", b"")
        )
        self._until_ready()

    def drain(self, sql: str, scratch: bytearray) -> int:
        """Runs a statement with a large result and returns its bytes, without looking at the messages.

        The end is told by the last six bytes. That is safe only because our rows hold no zero bytes.
        """
        self.socket.sendall(message(b"Q", _text(sql)))
        total, end = 0, b""
        while end != READY_IDLE:
            got = self.socket.recv_into(scratch)
            if got == 0:
                raise BenchError("the connection was closed in the middle of a result")
            if total == 0 and scratch[0] == ord("E"):
                raise ServerError(_error_text(bytes(scratch[5:got])))
            total += got
            end = (end + scratch[max(0, got - 6) : got])[-6:]
        return total

    def copy_in(self, sql: str, copy_data: bytes) -> None:
        """Sends `copy_data`, a run of whole CopyData messages, as fast as it is taken."""
        self.socket.sendall(message(b"Q", _text(sql)))
        while self._message()[0] != b"G":
            pass
        self.socket.sendall(copy_data)
        self.socket.sendall(COPY_DONE)
        self._until_ready()

    def log_in(self, endpoint: Endpoint) -> None:
        startup = {"user": endpoint.user, "database": endpoint.database, "client_encoding": "UTF8"}
        self.socket.sendall(_startup(startup))
        while True:
            kind, body = self._message()
            if kind == b"R":
                self._authenticate(endpoint, body)
            elif kind == b"Z":
                return

    def _authenticate(self, endpoint: Endpoint, body: bytes) -> None:
        (method,) = struct.unpack_from("!i", body)
        match method:
            case 0 | 12:
                return
            case 3:
                self.socket.sendall(message(b"p", _text(endpoint.password)))
            case 5:
                self.socket.sendall(message(b"p", _md5_answer(endpoint, body[4:8])))
            case 10:
                self._scram(endpoint)
            case _:
                raise BenchError(f"authentication method {method} is not known here")

    def _scram(self, endpoint: Endpoint) -> None:
        nonce = secrets.token_urlsafe(18)
        first = f"n=,r={nonce}"
        opening = f"n,,{first}".encode()
        mechanism = _text("SCRAM-SHA-256") + struct.pack("!i", len(opening))
        self.socket.sendall(message(b"p", mechanism + opening))
        _, challenge = self._message()
        self.socket.sendall(message(b"p", _scram_proof(endpoint.password, first, challenge[4:].decode())))
        self._message()  # The server's proof; we trust the machine we run on.

    def _until_ready(self) -> None:
        while self._message()[0] != b"Z":
            pass

    def _message(self) -> tuple[bytes, bytes]:
        head = self._take(5)
        (length,) = struct.unpack_from("!i", head, 1)
        kind, body = head[:1], self._take(length - 4)
        if kind == b"E":
            raise ServerError(_error_text(body))
        if kind == b"S":
            name, value, _ = body.split(b"\x00")
            self.parameters[name.decode()] = value.decode()
        return kind, body

    def _take(self, count: int) -> bytes:
        while len(self._received) < count:
            more = self.socket.recv(8192)
            if not more:
                raise BenchError("the connection was closed")
            self._received += more
        taken = bytes(self._received[:count])
        del self._received[:count]
        return taken


def connect(endpoint: Endpoint, timeout: float = 60) -> Connection:
    stream = socket.create_connection((endpoint.host, endpoint.port), timeout)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        if endpoint.tls:
            stream = _encrypted(stream)
        connection = Connection(stream)
        connection.log_in(endpoint)
    except (BenchError, OSError):
        stream.close()
        raise
    return connection


def _encrypted(stream: socket.socket) -> socket.socket:
    """The poolers' certificate is ours, made for the run: nothing to verify."""
    stream.sendall(SSL_REQUEST)
    if stream.recv(1) != b"S":
        raise BenchError("the server does not speak TLS")
    return _TLS.wrap_socket(stream)


_TLS = ssl.create_default_context()
_TLS.check_hostname = False
_TLS.verify_mode = ssl.CERT_NONE


def accepts_logins(endpoint: Endpoint) -> bool:
    try:
        connect(endpoint, timeout=5).close()
    except (BenchError, OSError):
        return False
    return True


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def _text(text: str) -> bytes:
    return text.encode() + b"\x00"


def _startup(parameters: Mapping[str, str]) -> bytes:
    body = b"".join(_text(name) + _text(value) for name, value in parameters.items()) + b"\x00"
    return struct.pack("!ii", len(body) + 8, PROTOCOL_3_0) + body


def _md5_answer(endpoint: Endpoint, salt: bytes) -> bytes:
    inner = hashlib.md5((endpoint.password + endpoint.user).encode()).hexdigest()
    return _text("md5" + hashlib.md5(inner.encode() + salt).hexdigest())


def _scram_proof(password: str, first: str, challenge: str) -> bytes:
    offered = dict(part.split("=", 1) for part in challenge.split(","))
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(offered["s"]), int(offered["i"]))
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    final = f"c=biws,r={offered['r']}"
    signed = f"{first},{challenge},{final}".encode()
    signature = hmac.digest(hashlib.sha256(client_key).digest(), signed, "sha256")
    proof = bytes(left ^ right for left, right in zip(client_key, signature))
    return f"{final},p={base64.b64encode(proof).decode()}".encode()


def _error_text(body: bytes) -> str:
    fields = {part[:1]: part[1:].decode(errors="replace") for part in body.split(b"\x00") if part}
    return f"{fields.get(b'C', '?')}: {fields.get(b'M', '?')}"
