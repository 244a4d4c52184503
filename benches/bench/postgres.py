"""A throw-away Postgres: its own directory and port, nothing flushed to disk, gone when we are."""

import os
import shutil
import signal
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from bench import processes, wire
from bench.processes import Account, BenchError
from bench.wire import Endpoint

DATABASE = "bench"
ROLE = "bench"
PASSWORD = "bench"
WIDE_ROWS = 20_000
WIDE_ROW_BYTES = 1_000

# Durability costs time that has nothing to do with poolers; autovacuum would come and go between rounds.
SETTINGS = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{directory}'
max_connections = 700
shared_buffers = 256MB
fsync = off
synchronous_commit = off
full_page_writes = off
max_wal_size = 4GB
checkpoint_timeout = 1h
autovacuum = off
jit = off
log_checkpoints = off
"""

TABLES = f"""
CREATE TABLE wide AS SELECT i AS id, repeat('x', {WIDE_ROW_BYTES}) AS body FROM generate_series(1, {WIDE_ROWS}) AS i;
CREATE UNLOGGED TABLE sink (id int, body text);
VACUUM ANALYZE;
CHECKPOINT;
"""


@dataclass
class Postgres:
    """A running cluster, filled for pgbench and the bulk workloads."""

    process: "subprocess.Popen[bytes]"
    endpoint: Endpoint
    programs: Path
    version: str
    replica: "Postgres | None" = None

    @property
    def pgbench(self) -> Path:
        return self.programs / "pgbench"

    def cpu(self) -> float:
        own = processes.cpu_of_family(self.process.pid)
        return own + (self.replica.cpu() if self.replica else 0.0)

    def stop(self) -> None:
        if self.replica:
            self.replica.stop()
        processes.stop(self.process, signal.SIGQUIT)


def with_replica(primary: Postgres, directory: Path, account: Account) -> Postgres:
    """The same beside a streaming replica of it."""
    data, log, port = directory / "replica", directory / "replica.log", processes.free_port()
    data.mkdir(mode=0o700)
    account.own(data)
    command = [str(primary.programs / "pg_basebackup"), "-D", str(data), "-R", "--no-sync", "-c", "fast"]
    command += ["-h", primary.endpoint.host, "-p", str(primary.endpoint.port), "-U", ROLE]
    done = subprocess.run(
        command,
        cwd=data,
        user=account.uid,
        group=account.gid,
        extra_groups=[] if account.uid is not None else None,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BenchError(f"pg_basebackup failed:\n{done.stderr}")
    with (data / "postgresql.conf").open("a") as settings:
        settings.write(f"port = {port}\n")
    process = processes.start([str(primary.programs / "postgres"), "-D", str(data)], account, data, log)
    endpoint = replace(primary.endpoint, port=port)
    processes.wait_until(lambda: wire.accepts_logins(endpoint), process, "the replica", log)
    return replace(primary, replica=Postgres(process, endpoint, primary.programs, primary.version))


def start(directory: Path, account: Account, scale: int) -> Postgres:
    programs = find_programs()
    data = directory / "data"
    data.mkdir(mode=0o700)
    account.own(data)
    log = directory / "postgres.log"
    port = processes.free_port()
    _initialise(programs, data, account)
    with (data / "postgresql.conf").open("a") as settings:
        settings.write(SETTINGS.format(port=port, directory=directory))
    process = processes.start([str(programs / "postgres"), "-D", str(data)], account, data, log)
    endpoint = Endpoint("127.0.0.1", port, ROLE, PASSWORD, DATABASE)
    processes.wait_until(lambda: wire.accepts_logins(endpoint.with_database("postgres")), process, "Postgres", log)
    version = _fill(programs, endpoint, scale)
    return Postgres(process, endpoint, programs, version)


def find_programs() -> Path:
    """$PGWEIR_PG_BIN, then pg_config's directory, then Debian's versions, then PATH."""
    candidates = [Path(os.environ["PGWEIR_PG_BIN"])] if "PGWEIR_PG_BIN" in os.environ else []
    if pg_config := shutil.which("pg_config"):
        found = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=True)
        candidates.append(Path(found.stdout.strip()))
    versions = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if path.parent.name.isdigit()]
    candidates += sorted(versions, key=lambda path: int(path.parent.name), reverse=True)
    if on_path := shutil.which("postgres"):
        candidates.append(Path(on_path).parent)
    for candidate in candidates:
        if all((candidate / program).exists() for program in ("postgres", "initdb", "pgbench")):
            return candidate
    raise BenchError("no directory with postgres, initdb and pgbench; set PGWEIR_PG_BIN to one")


def _initialise(programs: Path, data: Path, account: Account) -> None:
    """Logins to Postgres itself are trusted: the poolers' own logins are what we measure."""
    command = [str(programs / "initdb"), "-D", str(data), "-U", ROLE, "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"]
    done = subprocess.run(
        command,
        cwd=data,
        env={**os.environ, "HOME": str(data)},
        user=account.uid,
        group=account.gid,
        extra_groups=[] if account.uid is not None else None,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BenchError(f"initdb failed:\n{done.stderr}")


def _fill(programs: Path, endpoint: Endpoint, scale: int) -> str:
    with wire.connect(endpoint.with_database("postgres")) as maintenance:
        maintenance.query(f"CREATE DATABASE {endpoint.database}")
        version = maintenance.parameters.get("server_version", "?")
    command = [str(programs / "pgbench"), "-i", "-q", "-s", str(scale)]
    done = subprocess.run(command, env=endpoint.environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(f"pgbench -i failed:\n{done.stderr}")
    with wire.connect(endpoint) as connection:
        for statement in TABLES.strip().splitlines():
            connection.query(statement)
    return version
