"""Memory of idle clients: thousands log in, each runs one extended statement and one SET, then waits."""

import time
from dataclasses import dataclass

from bench import processes, wire
from bench.poolers import Pooler
from bench.wire import Connection

SETTLE_SECONDS = 2.0
APPLICATIONS = 10
"""A fleet of clients has few names; every pooler remembers application_name for its client."""


@dataclass(frozen=True)
class IdleMemory:
    """`per_client` counts from the first client; `per_further_client` leaves out the first tenth."""

    pooler: str
    clients: int
    tls: bool
    per_client: float
    per_further_client: float


def measure(pooler: Pooler, clients: int, sets: bool) -> IdleMemory:
    """The pooler should be freshly started: memory that earlier loads left behind would hide the growth."""
    connections: list[Connection] = []
    try:
        _open(connections, pooler, 1, sets)  # The server connection, buffers, and caches are not the clients'.
        start = _settled_memory(pooler)
        _open(connections, pooler, clients // 10, sets)
        tenth = _settled_memory(pooler)
        _open(connections, pooler, clients - clients // 10, sets)
        end = _settled_memory(pooler)
    finally:
        for connection in connections:
            connection.close()
    return IdleMemory(pooler.label, clients, pooler.endpoint.tls, (end - start) / clients, (end - tenth) / (clients - clients // 10))


def _open(connections: list[Connection], pooler: Pooler, count: int, sets: bool) -> None:
    for _ in range(count):
        connection = wire.connect(pooler.endpoint)
        connections.append(connection)
        connection.extended("SELECT $1::text", "idle")
        if sets:
            connection.query(f"SET application_name = 'bench-{len(connections) % APPLICATIONS}'")


def _settled_memory(pooler: Pooler) -> int:
    time.sleep(SETTLE_SECONDS)
    return processes.anonymous_memory(pooler.pid)
