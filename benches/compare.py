#!/usr/bin/env python3
"""Compares pgweir with PgBouncer in one run on this machine. See README.md beside this file."""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from bench import counts, idle, measure, poolers, postgres, processes, report
from bench.poolers import Pooler, Program
from bench.postgres import Postgres
from bench.processes import Account, BenchError
from bench.report import Results
from bench.workloads import BY_NAME, WORKLOADS, Pgbench, Workload

FIGURES = ("time", "calls", "instructions", "idle")
REPOSITORY = Path(__file__).resolve().parent.parent


def main() -> int:
    options = parse_arguments()
    if options.list:
        for workload in WORKLOADS:
            print(f"{workload.name:18}{workload.title}")
        return 0
    signal.signal(signal.SIGTERM, _end_in_order)
    try:
        results = run(options)
    except BenchError as error:
        print(f"compare: {error}", file=sys.stderr)
        return 2
    write(results, options.out)
    return 1 if results.failures else 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pgweir", type=Path, default=REPOSITORY / "target/release/pgweir", help="its executable")
    parser.add_argument(
        "--pgbouncer",
        type=Path,
        default=os.environ.get("PGWEIR_BENCH_PGBOUNCER"),
        help="its executable; by default what PGWEIR_BENCH_PGBOUNCER says",
    )
    parser.add_argument("--self-check", action="store_true", help="PgBouncer against itself: how far from 1.00 is noise?")
    parser.add_argument("--direct", action="store_true", help="also without any pooler")
    parser.add_argument("--figures", type=_names(FIGURES), default=list(FIGURES), help=f"some of {','.join(FIGURES)}")
    parser.add_argument("--workloads", type=_names(BY_NAME), default=list(BY_NAME), help="by name, with commas; see --list")
    parser.add_argument("--list", action="store_true", help="name the workloads and end")
    parser.add_argument("--seconds", type=float, default=4, help="length of a timed run (default 4)")
    parser.add_argument("--rounds", type=int, default=3, help="timed runs of each pooler and workload (default 3)")
    parser.add_argument("--paired", action="store_true", help="both poolers at the same moment, for their CPU ratio alone")
    parser.add_argument("--auth", choices=poolers.AUTH_METHODS, default="md5", help="how clients log in (default md5)")
    parser.add_argument("--workers", type=int, default=1, help="pgweir's event loops (default 1)")
    parser.add_argument("--pgweir-set", type=_setting, action="append", default=[], metavar="TABLE.KEY=TOML")
    parser.add_argument("--pgbouncer-set", type=_setting, action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--idle-clients", type=int, default=5000)
    parser.add_argument("--idle-without-set", action="store_true", help="idle clients that ran no SET")
    parser.add_argument("--idle-tls", action="store_true", help="idle clients also over TLS (needs openssl)")
    parser.add_argument("--count-with", choices=("perf", "strace"), help="for system calls; by default perf where it works")
    parser.add_argument("--replica", action="store_true", help="a streaming replica beside the server, for pgweir to read from")
    parser.add_argument("--scale", type=int, default=10, help="pgbench's scale (default 10)")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "target/bench", help="directory of report.md and raw.json")
    return parser.parse_args()


def _names(known: "dict[str, Workload] | tuple[str, ...]") -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = text.split(",")
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not among {', '.join(known)}")
        return names

    return parse


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text}: expected NAME=VALUE")
    return name.strip(), value.strip()


def _end_in_order(number: int, frame: FrameType | None) -> None:
    """A SIGTERM unwinds like Ctrl-C, so that Postgres and the poolers are stopped."""
    del frame
    sys.exit(128 + number)


def contestants(options: argparse.Namespace) -> list[Program]:
    """Ours first, then theirs."""
    pgbouncer = None
    if options.pgbouncer is not None:
        pgbouncer = Program("pgbouncer", "pgbouncer", options.pgbouncer, options.auth, 1, tuple(options.pgbouncer_set))
        if not options.pgbouncer.is_file():
            raise BenchError(f"--pgbouncer: there is no file {options.pgbouncer}")
    if options.self_check:
        if pgbouncer is None:
            raise BenchError("--self-check needs --pgbouncer")
        return [replace(pgbouncer, label="pgbouncer again"), pgbouncer]
    if not options.pgweir.is_file():
        raise BenchError(f"there is no {options.pgweir}: build it first (cargo build --release) or name it with --pgweir")
    pgweir = Program("pgweir", "pgweir", options.pgweir, options.auth, options.workers, tuple(options.pgweir_set))
    if pgbouncer is None:
        say("no --pgbouncer and no PGWEIR_BENCH_PGBOUNCER: measuring pgweir alone, without ratios")
        return [pgweir]
    return [pgweir, pgbouncer]


def run(options: argparse.Namespace) -> Results:
    programs = contestants(options)
    processes.raise_file_limit()
    account = Account.unprivileged()
    with workspace(account) as directory:
        say("starting Postgres")
        server = postgres.start(directory, account, options.scale)
        try:
            if options.replica:
                server = postgres.with_replica(server, directory, account)
            results = Results(
                poolers=[program.label for program in programs] + (["direct"] if options.direct else []),
                versions={"Postgres": server.version} | {program.label: program.version() for program in programs},
                conditions=conditions(options),
                paired=options.paired,
            )
            measure_all(Session(options, programs, server, directory, account, results))
        finally:
            server.stop()
    return results


class Session:
    """One invocation: what was asked, what runs, and what came out so far."""

    def __init__(
        self,
        options: argparse.Namespace,
        programs: list[Program],
        server: Postgres,
        directory: Path,
        account: Account,
        results: Results,
    ) -> None:
        self.options = options
        self.programs = programs
        self.server = server
        self.directory = directory
        self.account = account
        self.results = results
        self.workloads: list[Workload] = [BY_NAME[name] for name in options.workloads]

    @contextmanager
    def poolers(self, programs: list[Program]) -> Iterator[list[Pooler]]:
        running: list[Pooler] = []
        try:
            for program in programs:
                running.append(poolers.start(program, self.server, self.directory, self.account))
            yield running
        finally:
            for pooler in running:
                pooler.stop()

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """One failing workload must not cost the figures of the others."""
        say(what)
        try:
            yield
        except (BenchError, OSError) as error:
            say(f"  failed: {error}")
            self.results.failures.append(f"{what}: {error}")


def measure_all(session: Session) -> None:
    steps = {"time": measure_time, "calls": measure_calls, "instructions": measure_instructions, "idle": measure_idle}
    for figure in FIGURES:
        if figure in session.options.figures:
            steps[figure](session)


def measure_time(session: Session) -> None:
    options = session.options
    how = measure.paired if options.paired else measure.interleaved
    with session.poolers(session.programs) as running:
        if options.direct and not options.paired:
            running = [*running, poolers.direct(session.server)]
        for workload in session.workloads:
            if options.paired and not isinstance(workload, Pgbench):
                continue
            with session.step(f"time: {workload.title}"):
                session.results.samples += how(workload, running, session.server, options.seconds, options.rounds)


def measure_calls(session: Session) -> None:
    instrument = session.options.count_with or counts.find_instrument()
    with session.poolers(session.programs) as running:
        for workload in session.workloads:
            if not isinstance(workload, Pgbench) or not workload.count:
                continue
            with session.step(f"system calls: {workload.title}"):
                session.results.calls += [
                    counts.system_calls(workload, pooler, session.server, instrument, session.directory)
                    for _ in range(session.options.rounds)
                    for pooler in running
                ]


def measure_instructions(session: Session) -> None:
    if shutil.which("valgrind") is None:
        session.results.failures.append("instructions: valgrind is not installed")
        return
    for workload in session.workloads:
        if not isinstance(workload, Pgbench) or not workload.instructions:
            continue
        for program in session.programs:
            with session.step(f"instructions: {workload.title}: {program.label}"):
                session.results.instructions.append(
                    counts.instructions(workload, program, session.server, session.directory, session.account)
                )


def measure_idle(session: Session) -> None:
    tls = [False, True] if session.options.idle_tls else [False]
    for program in (replace(program, tls=encrypted) for encrypted in tls for program in session.programs):
        what = f"idle clients{', TLS' if program.tls else ''}: {program.label}"
        with session.step(what), session.poolers([program]) as running:
            session.results.idle.append(idle.measure(running[0], session.options.idle_clients, sets=not session.options.idle_without_set))


def conditions(options: argparse.Namespace) -> dict[str, str]:
    settings = [f"{name} = {value}" for name, value in options.pgweir_set + options.pgbouncer_set]
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        **report.describe_machine(),
        "logins": options.auth,
        "pool": f"{poolers.POOL_SIZE} servers, transaction mode, loopback TCP, no TLS",
        "pgweir's loops": str(options.workers),
        "rounds": f"{options.rounds} of {options.seconds:g} s, {'at the same moment' if options.paired else 'interleaved'}",
        **({"settings": "; ".join(settings)} if settings else {}),
    }


@contextmanager
def workspace(account: Account) -> Iterator[Path]:
    """A directory the unprivileged account can enter; gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="pgweir-bench-"))
    directory.chmod(0o755)
    account.own(directory)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def write(results: Results, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    page = report.render(results)
    (directory / "report.md").write_text(page)
    (directory / "raw.json").write_text(json.dumps(results.as_json(), indent=1) + "\n")
    print(page)
    say(f"written: report.md and raw.json in {directory}")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
