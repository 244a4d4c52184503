"""What noise cannot move: system calls and user-space instructions per transaction.

Both come from two runs, of n and of 4 n transactions per client, subtracted: start-up and logins cancel out.
"""

import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import poolers, processes
from bench.poolers import Pooler, Program
from bench.postgres import Postgres
from bench.processes import Account, BenchError
from bench.workloads import Pgbench

CALLGRIND_CLIENTS = 10
"""Fewer than servers: nobody queues, so the count is that of the plain path."""
CALLGRIND_TRANSACTIONS = 150

NAMED_CALLS = (
    "sendto", "recvfrom", "epoll_wait", "epoll_pwait", "epoll_ctl", "read", "write", "readv", "writev",
    "sendmsg", "recvmsg", "futex", "accept4", "socket", "connect", "close", "setsockopt", "getsockopt",
    "fcntl", "getsockname", "getpeername", "io_uring_enter",
)  # fmt: skip
ALL_CALLS = "raw_syscalls:sys_enter"
WOULD_BLOCK = "EAGAIN"

Tracer = Callable[[int, Path], "subprocess.Popen[bytes]"]
Calls = dict[str, float]


@dataclass(frozen=True)
class CallCount:
    """System calls per transaction, in all and by name; EAGAIN counts those that came back empty-handed."""

    workload: str
    pooler: str
    instrument: str
    total: float
    by_name: Calls

    @staticmethod
    def median(counts: Sequence["CallCount"]) -> "CallCount":
        """The round in the middle, whole: how many clients queue differs from round to round."""
        return sorted(counts, key=lambda count: count.total)[(len(counts) - 1) // 2]


@dataclass(frozen=True)
class InstructionCount:
    """User-space instructions per transaction, over all threads."""

    workload: str
    pooler: str
    per_transaction: float


def find_instrument() -> str:
    """perf counts in the kernel and leaves the pooler its speed; strace stops it at every call."""
    if shutil.which("perf"):
        probe = subprocess.run(["perf", "stat", "-e", ALL_CALLS, "true"], capture_output=True, check=False)
        if probe.returncode == 0:
            return "perf"
    if shutil.which("strace"):
        return "strace"
    raise BenchError("counting system calls needs perf (with tracepoints) or strace")


def system_calls(workload: Pgbench, pooler: Pooler, postgres: Postgres, instrument: str, workspace: Path) -> CallCount:
    count = _count_with_perf if instrument == "perf" else _count_with_strace

    def run(each: int) -> tuple[Calls, float]:
        done = 0.0

        def load() -> None:
            nonlocal done
            done = workload.run_transactions(pooler.endpoint, postgres, each).units

        return count(pooler.pid, workspace / "calls", load), done

    run(2)  # Fills the pool.
    (few, few_done), (many, many_done) = run(workload.count), run(4 * workload.count)
    per_transaction = {
        name: (count - few.get(name, 0.0)) / (many_done - few_done) for name, count in many.items() if count > few.get(name, 0.0)
    }
    total = sum(count for name, count in per_transaction.items() if name != WOULD_BLOCK)
    ranked = dict(sorted(per_transaction.items(), key=lambda item: -item[1]))
    return CallCount(workload.name, pooler.label, instrument, total, ranked)


def _count_with_perf(pid: int, output: Path, load: Callable[[], None]) -> Calls:
    events = [f"-esyscalls:sys_enter_{name}" for name in NAMED_CALLS]
    command = ["perf", "stat", "-x;", "-o", str(output), "-p", str(pid), *events, "-e", ALL_CALLS]
    command += ["-e", "raw_syscalls:sys_exit", "--filter", "ret == -11"]
    _trace(command, load)
    return _parse_perf(output.read_text())


def _count_with_strace(pid: int, output: Path, load: Callable[[], None]) -> Calls:
    _trace(["strace", "-f", "-c", "-qq", "-o", str(output), "-p", str(pid)], load)
    return _parse_strace(output.read_text())


def _trace(command: list[str], load: Callable[[], None]) -> None:
    tracer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    time.sleep(1)  # Neither tool says when it has attached; what it misses is in both runs alike.
    try:
        if tracer.poll() is not None:
            _, complaint = tracer.communicate()
            raise BenchError(f"{command[0]} could not attach: {complaint.decode().strip()}")
        load()
    finally:
        processes.stop(tracer, signal.SIGINT)


def _parse_perf(report: str) -> Calls:
    calls: Calls = {}
    for line in report.splitlines():
        fields = line.split(";")
        if len(fields) < 3 or not fields[0].isdigit():
            continue
        calls[fields[2].removeprefix("syscalls:sys_enter_")] = float(fields[0])
    total, would_block = calls.pop(ALL_CALLS, 0.0), calls.pop("raw_syscalls:sys_exit", 0.0)
    return {**calls, "other": total - sum(calls.values()), WOULD_BLOCK: would_block}


def _parse_strace(report: str) -> Calls:
    """Columns: % time, seconds, usecs/call, calls, errors (may be empty), name."""
    calls: Calls = {}
    would_block = 0.0
    for line in report.splitlines():
        fields = line.split()
        if len(fields) < 5 or not re.fullmatch(r"[\d.]+", fields[0]) or fields[-1] == "total":
            continue
        calls[fields[-1]] = float(fields[3])
        if len(fields) == 6 and fields[-1].startswith(("recv", "read", "send", "write")):
            would_block += float(fields[4])
    return {**calls, WOULD_BLOCK: would_block}


def instructions(workload: Pgbench, program: Program, postgres: Postgres, workspace: Path, account: Account) -> InstructionCount:
    few = _instructions(workload, program, postgres, workspace, account, CALLGRIND_TRANSACTIONS)
    many = _instructions(workload, program, postgres, workspace, account, 4 * CALLGRIND_TRANSACTIONS)
    clients = min(workload.clients, CALLGRIND_CLIENTS)
    return InstructionCount(workload.name, program.label, (many - few) / (3 * CALLGRIND_TRANSACTIONS * clients))


def _instructions(workload: Pgbench, program: Program, postgres: Postgres, workspace: Path, account: Account, each: int) -> int:
    """Every instruction of one life of the pooler: start, logins, transactions, end."""
    clients = min(workload.clients, CALLGRIND_CLIENTS)
    under = ["valgrind", "--tool=callgrind", "--callgrind-out-file=callgrind.out", "--quiet"]
    pooler = poolers.start(program, postgres, workspace, account, under, patience=120)
    try:
        workload.run_transactions(pooler.endpoint, postgres, each, clients)
    finally:
        pooler.stop()
    report = pooler.log.parent / "callgrind.out"
    totals = re.search(r"^(?:totals|summary): (\d+)", report.read_text(), re.MULTILINE) if report.exists() else None
    if totals is None:
        raise BenchError(f"{program.label} under callgrind left no totals; its log ends:\n{processes.tail(pooler.log)}")
    return int(totals[1])


def as_rows(counts: Mapping[str, float], at_least: float = 0.005) -> str:
    """`sendto 2.00, recvfrom 2.00, …`, without what is next to nothing."""
    return ", ".join(f"{name} {count:.2f}" for name, count in counts.items() if count >= at_least)
