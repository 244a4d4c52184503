"""The contestants: how each pooler is configured, started, and stopped.

Each runs a copy of its program, so that rebuilding it does not disturb a measurement, and so that the
unprivileged account can reach it.
"""

import copy
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import processes, wire
from bench.postgres import DATABASE, PASSWORD, ROLE, Postgres
from bench.processes import Account, BenchError, Cpu
from bench.wire import Endpoint

POOL_SIZE = 20
MAX_CLIENTS = 12_000
AUTH_METHODS = ("md5", "scram-sha-256", "trust")


@dataclass(frozen=True)
class Program:
    """A pooler's executable and what the command line asked of it."""

    kind: str
    """`pgweir` or `pgbouncer`."""
    label: str
    path: Path
    auth: str
    workers: int = 1
    settings: tuple[tuple[str, str], ...] = ()
    tls: bool = False
    """Clients must use TLS."""

    def version(self) -> str:
        done = subprocess.run([str(self.path), "--version"], capture_output=True, text=True, check=False)
        lines = (done.stdout or done.stderr).splitlines()
        return lines[0] if lines else "?"


@dataclass
class Pooler:
    """A running pooler in front of a Postgres, or Postgres itself when `process` is None."""

    label: str
    endpoint: Endpoint
    process: "subprocess.Popen[bytes] | None" = None
    stop_signal: signal.Signals = signal.SIGTERM
    log: Path = field(default=Path("/dev/null"))

    @property
    def pid(self) -> int:
        if self.process is None:
            raise BenchError(f"{self.label} has no pooler process")
        if self.process.poll() is not None:
            raise BenchError(f"{self.label} ended with status {self.process.returncode}; its log ends:\n{processes.tail(self.log)}")
        return self.process.pid

    def cpu(self) -> Cpu:
        return processes.cpu_of(self.pid) if self.process else Cpu(0.0, 0.0)

    def cpu_by_thread(self) -> dict[str, float]:
        return processes.cpu_by_thread(self.pid) if self.process else {}

    def stop(self) -> None:
        if self.process is not None:
            processes.stop(self.process, self.stop_signal)


def direct(postgres: Postgres) -> Pooler:
    """No pooler at all: how fast the machine's Postgres is by itself."""
    return Pooler("direct", postgres.endpoint)


def start(
    program: Program,
    postgres: Postgres,
    workspace: Path,
    account: Account,
    under: Sequence[str] = (),
    patience: float = 30,
) -> Pooler:
    """Starts the pooler, `under` another command when given, and waits until it lets a client log in."""
    directory = _directory(workspace, program.label, account)
    executable = directory / program.kind
    shutil.copy2(program.path, executable)
    port = processes.free_port()
    if program.kind == "pgbouncer":
        arguments, stop_signal = _configure_pgbouncer(program, directory, port, postgres), signal.SIGQUIT
    else:
        arguments, stop_signal = _configure_pgweir(program, directory, port, postgres), signal.SIGTERM
    log = directory / "log"
    process = processes.start([*under, str(executable), *arguments], account, directory, log)
    endpoint = Endpoint("127.0.0.1", port, ROLE, PASSWORD, DATABASE, program.tls)
    pooler = Pooler(program.label, endpoint, process, stop_signal, log)
    try:
        processes.wait_until(lambda: wire.accepts_logins(endpoint), process, program.label, log, patience)
    except BenchError:
        pooler.stop()
        raise
    return pooler


def _directory(workspace: Path, label: str, account: Account) -> Path:
    name = label.replace(" ", "-")
    number = sum(1 for path in workspace.iterdir() if path.name.startswith(name))
    directory = workspace / f"{name}-{number}"
    directory.mkdir(mode=0o755)
    account.own(directory)
    return directory


def _user_list(directory: Path) -> Path:
    path = directory / "userlist.txt"
    path.write_text(f'"{ROLE}" "{PASSWORD}"\n')
    return path


def _configure_pgbouncer(program: Program, directory: Path, port: int, postgres: Postgres) -> list[str]:
    """Its defaults, save for what the comparison fixes. Login lines are off: they would cost it a write per login."""
    settings = {
        "listen_addr": "127.0.0.1",
        "listen_port": str(port),
        "unix_socket_dir": "",
        "auth_type": program.auth,
        "auth_file": str(_user_list(directory)),
        "pool_mode": "transaction",
        "default_pool_size": str(POOL_SIZE),
        "max_client_conn": str(MAX_CLIENTS),
        "listen_backlog": "1024",
        "server_tls_sslmode": "disable",
        "log_connections": "0",
        "log_disconnections": "0",
        **_pgbouncer_tls(program, directory),
        **dict(program.settings),
    }
    server = postgres.endpoint
    lines = ["[databases]", f"{DATABASE} = host={server.host} port={server.port} dbname={DATABASE}", "", "[pgbouncer]"]
    lines += [f"{name} = {value}" for name, value in settings.items()]
    path = directory / "pgbouncer.ini"
    path.write_text("\n".join(lines) + "\n")
    return [str(path)]


def _pgbouncer_tls(program: Program, directory: Path) -> dict[str, str]:
    if not program.tls:
        return {}
    certificate, key = _certificate(directory)
    return {"client_tls_sslmode": "require", "client_tls_cert_file": str(certificate), "client_tls_key_file": str(key)}


def _certificate(directory: Path) -> tuple[Path, Path]:
    """A throw-away certificate; the key may be read by the pooler's account, which did not write it."""
    certificate, key = directory / "server.crt", directory / "server.key"
    command = ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command += ["-subj", "/CN=localhost", "-days", "2", "-keyout", str(key), "-out", str(certificate)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(f"openssl made no certificate:\n{done.stderr}")
    key.chmod(0o644)
    return certificate, key


def _configure_pgweir(program: Program, directory: Path, port: int, postgres: Postgres) -> list[str]:
    """Guard, routing, timeouts, and metrics stay on, as they ship: that is what is compared."""
    server = postgres.endpoint
    tables: dict[str, dict[str, str]] = {
        "server": {
            "listen": f'["127.0.0.1:{port}"]',
            "workers": str(program.workers),
            "max_client_connections": str(MAX_CLIENTS),
        },
        "auth": {"method": f'"{program.auth}"'},
        # No reserve, or the pool would be larger than PgBouncer's whenever clients queue.
        "defaults": {"pool_size": str(POOL_SIZE), "reserve_pool_size": "0", "pool_wait_timeout": '"2min"'},
        f"databases.{DATABASE}": {"primary": f'"postgres://{server.host}:{server.port}/{DATABASE}?sslmode=disable"'},
    }
    if postgres.replica:
        replica = postgres.replica.endpoint
        tables[f"databases.{DATABASE}"]["replicas"] = f'["postgres://{replica.host}:{replica.port}/{DATABASE}?sslmode=disable"]'
    tables |= {
        f"roles.{ROLE}": {"password": f'"{PASSWORD}"'},
        "http": {"listen": f'"127.0.0.1:{processes.free_port()}"'},
        # Login lines are off, as PgBouncer's are.
        "log": {"level": '"warn"'},
    }
    if program.auth != "trust":
        tables["auth"]["userlist"] = f'"{_user_list(directory)}"'
    if program.tls:
        certificate, key = _certificate(directory)
        tables["server.tls"] = {"mode": '"require"', "certificate": f'"{certificate}"', "private_key": f'"{key}"'}
    path = directory / "pgweir.toml"
    path.write_text(_toml(_with_settings(tables, program.settings)))
    return ["run", "-c", str(path)]


def _with_settings(tables: Mapping[str, dict[str, str]], settings: Sequence[tuple[str, str]]) -> dict[str, dict[str, str]]:
    """Each setting is `table.key` and a value already written as TOML."""
    merged = copy.deepcopy(dict(tables))
    for name, value in settings:
        table, _, key = name.rpartition(".")
        merged.setdefault(table, {})[key] = value
    return merged


def _toml(tables: Mapping[str, Mapping[str, str]]) -> str:
    parts: list[str] = []
    for table, values in tables.items():
        parts += [f"[{table}]", *(f"{key} = {value}" for key, value in values.items()), ""]
    return "\n".join(parts)
