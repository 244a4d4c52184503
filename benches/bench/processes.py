"""Starting child processes as an unprivileged account, and reading what processes cost from /proc."""

import ctypes
import os
import pwd
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)  # Loaded here: between fork and exec is no place for it.


class BenchError(Exception):
    """The benchmark cannot go on; the text says why and where to look."""


@dataclass(frozen=True)
class Account:
    """Who runs Postgres and the poolers. `None` ids mean: as ourselves."""

    uid: int | None
    gid: int | None

    @staticmethod
    def unprivileged() -> "Account":
        """Postgres and PgBouncer refuse to run as root, so root lends them another account."""
        if os.geteuid() != 0:
            return Account(None, None)
        for name in ("postgres", "nobody"):
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
            return Account(entry.pw_uid, entry.pw_gid)
        raise BenchError("running as root and there is neither a `postgres` nor a `nobody` account")

    def own(self, path: Path) -> None:
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)


@dataclass(frozen=True)
class Cpu:
    """CPU seconds. `total` is exact; `system` is the kernel's share of it to the tick (10 ms)."""

    total: float
    system: float

    def __sub__(self, other: "Cpu") -> "Cpu":
        return Cpu(self.total - other.total, self.system - other.system)


def start(
    command: Sequence[str],
    account: Account,
    directory: Path,
    log: Path,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Starts a server that dies with us, its output going to `log`."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            cwd=directory,
            env={**os.environ, "HOME": str(directory), **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            user=account.uid,
            group=account.gid,
            extra_groups=[] if account.uid is not None else None,
            preexec_fn=_die_with_parent,
            start_new_session=True,
        )


def _die_with_parent() -> None:
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)


def stop(process: subprocess.Popen[bytes], with_signal: signal.Signals, patience: float = 20) -> None:
    """Asks the process to end, and ends it when it does not."""
    if process.poll() is not None:
        return
    process.send_signal(with_signal)
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], what: str, log: Path, patience: float = 30) -> None:
    """Polls `ready` until it holds; says what the log says when the process ends or takes too long."""
    deadline = time.monotonic() + patience
    while not ready():
        ended = process.poll() is not None
        if ended or time.monotonic() > deadline:
            reason = f"ended with status {process.returncode}" if ended else f"was not ready after {patience:.0f} s"
            raise BenchError(f"{what} {reason}; its log ends:\n{tail(log)}")
        time.sleep(0.05)


def tail(path: Path, lines: int = 15) -> str:
    if not path.exists():
        return "(no log)"
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def raise_file_limit() -> int:
    """Poolers inherit it: a crowd of clients needs as many descriptors as the system grants."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def cpu_of(pid: int) -> Cpu:
    """CPU time of one process, over all its threads, those that ended too."""
    utime, stime, _, _ = _stat_times(pid)
    exact = time.clock_gettime(_cpu_clock(pid))
    ticks = utime + stime
    return Cpu(exact, exact * stime / ticks if ticks else 0.0)


def cpu_of_family(pid: int) -> float:
    """CPU seconds of a process, its living children, and its children that ended.

    A child buried while we read would be missed or counted twice, so we read again until nobody was.
    """
    while True:
        before = _stat_times(pid)
        living = sum(_cpu_of_child(child) for child in _children(pid))
        after = _stat_times(pid)
        if before[2:] == after[2:]:
            return sum(after) + living


def cpu_by_thread(pid: int) -> dict[str, float]:
    """CPU seconds per living thread, to the tick: shows how several loops share the work."""
    shares: dict[str, float] = {}
    for task in sorted(Path(f"/proc/{pid}/task").iterdir(), key=lambda path: int(path.name)):
        name, fields = _split_stat((task / "stat").read_text())
        shares[f"{name}/{task.name}"] = (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND
    return shares


def anonymous_memory(pid: int) -> int:
    """Resident bytes that belong to the process alone: its heap, not its code."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise BenchError(f"process {pid} reports no RssAnon")


def _cpu_of_child(pid: int) -> float:
    """Exact while it lives; to the tick once it has ended and waits for its parent to notice."""
    try:
        utime, stime, _, _ = _stat_times(pid)
        return max(utime + stime, time.clock_gettime(_cpu_clock(pid)))
    except OSError:  # Not there any more: its time is among the dead's.
        return 0.0


def _cpu_clock(pid: int) -> int:
    """The kernel's id of another process' CPU clock, as clock_getcpuclockid(3) makes it."""
    return (~pid << 3) | 2


def _stat_times(pid: int) -> tuple[float, ...]:
    """utime, stime, and the same of its children that ended."""
    _, fields = _split_stat(Path(f"/proc/{pid}/stat").read_text())
    return tuple(int(field) / TICKS_PER_SECOND for field in fields[11:15])


def _split_stat(stat: str) -> tuple[str, list[str]]:
    """The name may hold spaces and brackets, so the fields are counted from the last bracket."""
    name, _, rest = stat.partition("(")[2].rpartition(")")
    return name, rest.split()


def _children(parent: int) -> Iterable[int]:
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            _, fields = _split_stat((entry / "stat").read_text())
        except OSError:  # It ended since we listed it.
            continue
        if int(fields[1]) == parent:
            yield int(entry.name)
