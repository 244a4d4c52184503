"""Where the scripts connect, how they say what they saw, and what runs them.

A script runs twice, straight to Postgres and through pgweir; what it prints must be the same both times. The
libpq variables (PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE, PGSSLMODE) say where, as for any application.
"""

import faulthandler
import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

# This database is the same as PGDATABASE, but through pgweir it has fewer servers than CROWD clients.
CROWD_DATABASE = os.environ["PGWEIR_TEST_CROWD_DATABASE"]
CROWD = 6
# How many servers it has; None without pgweir.
CROWD_SERVERS = int(os.environ["PGWEIR_TEST_CROWD_SERVERS"]) if "PGWEIR_TEST_CROWD_SERVERS" in os.environ else None
AUTHORITY_FILE = os.environ["PGWEIR_TEST_AUTHORITY"]
OTHER_AUTHORITY_FILE = os.environ["PGWEIR_TEST_OTHER_AUTHORITY"]
HOST = os.environ["PGHOST"]
PORT = int(os.environ["PGPORT"])

# For a script that wants to see whether a statement of somebody else runs.
RUNNING = """
    select count(*) from pg_stat_activity
    where state = 'active' and pid <> pg_backend_pid() and query like '{}%'
"""


def see(name: str, *values: object) -> None:
    """Prints what must be the same with and without pgweir."""
    print(f"{name}:", *(f"{value!r}" for value in values), flush=True)


def first(row: tuple[Any, ...] | None) -> Any:
    """The first value of a row that must be there."""
    assert row is not None, "no row"
    return row[0]


def digest(data: bytes | str) -> str:
    """Stands for a large value."""
    raw = data.encode() if isinstance(data, str) else data
    return f"{len(raw)} bytes, {hashlib.sha256(raw).hexdigest()[:16]}"


@contextmanager
def fails(name: str, error: type[BaseException]) -> Iterator[None]:
    """Expects this error, and sees its class, its SQLSTATE and its first line."""
    try:
        yield
    except error as raised:
        sqlstate = getattr(raised, "sqlstate", None) or getattr(raised, "pgcode", None)
        # Before a login's error libpq says where it connected to.
        first_line = (str(raised).splitlines() or [""])[0].rpartition("failed: ")[2]
        see(name, type(raised).__name__, sqlstate, first_line)
    else:
        raise AssertionError(f"{name}: no {error.__name__}")


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Waits for what happens on another connection."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def check_servers(pids: Iterable[int]) -> None:
    """A crowd had no more servers than it may have."""
    servers = len(set(pids))
    assert CROWD_SERVERS is None or servers <= CROWD_SERVERS, f"{servers} servers"


def play(*parts: Callable[[], object]) -> None:
    """Runs the parts of a script, and says where it stands when one hangs."""
    faulthandler.dump_traceback_later(50, exit=True)
    for part in parts:
        print(f"== {part.__name__}", flush=True)
        began = time.monotonic()
        part()
        print(f"{part.__name__}: {time.monotonic() - began:.2f} s", file=sys.stderr, flush=True)
