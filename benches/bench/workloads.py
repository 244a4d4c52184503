"""The workloads by name, and how one run of each is made."""

import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench import wire
from bench.postgres import WIDE_ROW_BYTES, WIDE_ROWS, Postgres
from bench.processes import BenchError
from bench.wire import Endpoint

RECEIVE_BYTES = 256 * 1024
COPY_DATA_BYTES = 8192


@dataclass(frozen=True)
class Work:
    """What one run got done: transactions, or megabytes of bulk data, and the seconds it took."""

    units: float
    seconds: float


@dataclass(frozen=True)
class Pgbench:
    """A workload that pgbench drives; `arguments` name the script (`-f -`: SELECT 1) and the protocol."""

    name: str
    title: str
    clients: int
    arguments: tuple[str, ...]
    count: int = 0
    """Transactions per client in the short run that counts system calls; 0: not counted."""
    instructions: bool = False
    """Whether the run under callgrind makes sense: one protocol mode each is enough."""

    unit = "tx"
    cost_unit = "us/tx"
    cost_scale = 1e6

    @property
    def keeps_connections(self) -> bool:
        return "-C" not in self.arguments

    def run(self, endpoint: Endpoint, postgres: Postgres, seconds: float) -> Work:
        return self._pgbench(endpoint, postgres, ["-T", str(max(1, round(seconds)))], seconds)

    def run_once_each(self, endpoint: Endpoint, postgres: Postgres) -> Work:
        """Logs every client in for one transaction: the cost of a run that is not the workload's."""
        return self.run_transactions(endpoint, postgres, 1)

    def run_transactions(self, endpoint: Endpoint, postgres: Postgres, each: int, clients: int | None = None) -> Work:
        return self._pgbench(endpoint, postgres, ["-t", str(each)], 600, clients)

    def _pgbench(self, endpoint: Endpoint, postgres: Postgres, length: list[str], expected: float, clients: int | None = None) -> Work:
        count = clients or self.clients
        command = [str(postgres.pgbench), "-n", "-c", str(count), "-j", str(min(2, count)), *length, *self.arguments]
        try:
            done = subprocess.run(
                command,
                input="SELECT 1;\n",
                env=endpoint.environment(),
                capture_output=True,
                text=True,
                check=False,
                timeout=expected + 120,
            )
        except subprocess.TimeoutExpired as late:
            raise BenchError(f"{self.name}: pgbench did not end within {late.timeout:.0f} s") from late
        return _pgbench_work(self.name, done)


@dataclass(frozen=True)
class Bulk:
    """A workload of one client that moves much data; `move` returns the bytes of one pass."""

    name: str
    title: str
    move: Callable[[wire.Connection], int]

    unit = "MB"
    cost_unit = "ms/MB"
    cost_scale = 1e3
    keeps_connections = True
    count = 0
    instructions = False
    clients = 1

    def run(self, endpoint: Endpoint, postgres: Postgres, seconds: float) -> Work:
        del postgres
        with wire.connect(endpoint) as connection:
            started, moved = time.monotonic(), 0
            while time.monotonic() - started < seconds:
                moved += self.move(connection)
            return Work(moved / 1e6, time.monotonic() - started)

    def run_once_each(self, endpoint: Endpoint, postgres: Postgres) -> Work:
        del postgres
        with wire.connect(endpoint) as connection:
            connection.query("SELECT 1")
        return Work(0.0, 0.0)


Workload = Pgbench | Bulk


def _large_result(connection: wire.Connection) -> int:
    return connection.drain("SELECT * FROM wide", _SCRATCH)


def _copy_out(connection: wire.Connection) -> int:
    return connection.drain("COPY wide TO STDOUT", _SCRATCH)


def _copy_in(connection: wire.Connection) -> int:
    """TRUNCATE and COPY share a transaction, so that the table stays small and the data skips the log."""
    connection.query("BEGIN")
    connection.query("TRUNCATE sink")
    connection.copy_in("COPY sink FROM STDIN", _COPY_DATA)
    connection.query("COMMIT")
    return len(_COPY_DATA)


def _copy_data() -> bytes:
    """The rows of `wide` as CopyData messages of the size psql sends."""
    rows = "".join(f"{row}\t{'x' * WIDE_ROW_BYTES}\n" for row in range(WIDE_ROWS)).encode()
    pieces = range(0, len(rows), COPY_DATA_BYTES)
    return b"".join(wire.message(b"d", rows[start : start + COPY_DATA_BYTES]) for start in pieces)


_SCRATCH = bytearray(RECEIVE_BYTES)
_COPY_DATA = _copy_data()

SELECT = ("-S",)
SELECT_1 = ("-f", "-")
SIMPLE, EXTENDED, PREPARED = ("-M", "simple"), ("-M", "extended"), ("-M", "prepared")

WORKLOADS: tuple[Workload, ...] = (
    Pgbench("simple", "pgbench -S, simple, 32 clients", 32, SELECT + SIMPLE, count=250, instructions=True),
    Pgbench("extended", "pgbench -S, extended, 32 clients", 32, SELECT + EXTENDED, count=250, instructions=True),
    Pgbench("prepared", "pgbench -S, prepared, 32 clients", 32, SELECT + PREPARED, count=250, instructions=True),
    Pgbench("select1-simple", "SELECT 1, simple, 32 clients", 32, SELECT_1 + SIMPLE),
    Pgbench("select1-prepared", "SELECT 1, prepared, 32 clients", 32, SELECT_1 + PREPARED),
    Pgbench("one-simple", "pgbench -S, simple, 1 client", 1, SELECT + SIMPLE, count=2000),
    Pgbench("one-prepared", "pgbench -S, prepared, 1 client", 1, SELECT + PREPARED, count=2000),
    Pgbench("crowd", "pgbench -S, simple, 500 clients on 20 servers", 500, SELECT + SIMPLE, count=40),
    Pgbench("churn", "a login per transaction, 10 clients", 10, (*SELECT_1, *SIMPLE, "-C"), count=100),
    # As many clients as servers at most: pgbench's PREPARE blocks while others hold the servers in transactions.
    Pgbench("tpcb-prepared", "TPC-B, prepared, 16 clients", 16, PREPARED, count=50, instructions=True),
    Pgbench("tpcb-extended", "TPC-B, extended, 32 clients", 32, EXTENDED, count=25),
    Bulk("large-result", "20,000 rows of 1,000 bytes, 1 client", _large_result),
    Bulk("copy-out", "COPY TO STDOUT, 1 client", _copy_out),
    Bulk("copy-in", "COPY FROM STDIN, 1 client", _copy_in),
)
BY_NAME = {workload.name: workload for workload in WORKLOADS}


def _pgbench_work(name: str, done: "subprocess.CompletedProcess[str]") -> Work:
    processed = re.search(r"number of transactions actually processed: (\d+)", done.stdout)
    rate = re.search(r"^tps = ([\d.]+)", done.stdout, re.MULTILINE)
    failed = re.search(r"number of failed transactions: (\d+)", done.stdout)
    if done.returncode != 0 or processed is None or rate is None or (failed and int(failed[1])):
        raise BenchError(f"{name}: pgbench failed:\n{(done.stderr + done.stdout)[-2000:]}")
    units = int(processed[1])
    return Work(units, units / float(rate[1]) if float(rate[1]) else 0.0)
