"""Time: CPU per transaction, transactions per second, and their ratios, round by round."""

import statistics
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

from bench.poolers import Pooler
from bench.postgres import Postgres
from bench.processes import Cpu
from bench.workloads import Work, Workload


@dataclass(frozen=True)
class Sample:
    """One run of one workload through one pooler, its logins already taken off."""

    workload: str
    pooler: str
    round: int
    units: float
    seconds: float
    cpu: Cpu
    postgres_cpu: float
    cpu_by_thread: dict[str, float]

    @property
    def cost(self) -> float:
        """CPU seconds of the pooler per transaction or megabyte."""
        return self.cpu.total / self.units

    @property
    def postgres_cost(self) -> float:
        return self.postgres_cpu / self.units

    @property
    def kernel_share(self) -> float:
        return self.cpu.system / self.cpu.total if self.cpu.total else 0.0

    @property
    def rate(self) -> float:
        return self.units / self.seconds if self.seconds else 0.0

    def as_json(self) -> dict[str, object]:
        return {**asdict(self), "cost": self.cost, "postgres_cost": self.postgres_cost, "rate": self.rate}


@dataclass(frozen=True)
class Ratio:
    """Ours over theirs, taken within each round: both then met the same neighbours on the machine."""

    median: float
    lowest: float
    highest: float

    @staticmethod
    def of(ours: Sequence[float], theirs: Sequence[float]) -> "Ratio | None":
        ratios = [mine / other for mine, other in zip(ours, theirs) if other]
        return Ratio(statistics.median(ratios), min(ratios), max(ratios)) if ratios else None


@dataclass(frozen=True)
class _Meter:
    """Readings at one moment; two of them make a cost."""

    cpu: Cpu
    postgres_cpu: float
    cpu_by_thread: dict[str, float]

    @staticmethod
    def read(pooler: Pooler, postgres: Postgres) -> "_Meter":
        return _Meter(pooler.cpu(), postgres.cpu(), pooler.cpu_by_thread())


def warm_up(workload: Workload, pooler: Pooler, postgres: Postgres) -> None:
    """Fills the pool and the server's caches, so that the first round is like the others."""
    workload.run(pooler.endpoint, postgres, 1)


def sample(workload: Workload, pooler: Pooler, postgres: Postgres, seconds: float, number: int) -> Sample:
    """Measures a run, and first a run of one transaction per client, which is subtracted.

    Where each transaction logs in anew, the login is the workload and nothing is taken off.
    """
    before = _Meter.read(pooler, postgres)
    logins = workload.run_once_each(pooler.endpoint, postgres) if workload.keeps_connections else Work(0.0, 0.0)
    between = _Meter.read(pooler, postgres) if workload.keeps_connections else before
    work = workload.run(pooler.endpoint, postgres, seconds)
    after = _Meter.read(pooler, postgres)
    return Sample(
        workload=workload.name,
        pooler=pooler.label,
        round=number,
        units=work.units - logins.units,
        # pgbench's rate leaves the logins out already, so the seconds are scaled with the units.
        seconds=work.seconds * (work.units - logins.units) / work.units,
        cpu=(after.cpu - between.cpu) - (between.cpu - before.cpu),
        postgres_cpu=(after.postgres_cpu - between.postgres_cpu) - (between.postgres_cpu - before.postgres_cpu),
        cpu_by_thread={name: round(spent - between.cpu_by_thread.get(name, 0.0), 3) for name, spent in after.cpu_by_thread.items()},
    )


def interleaved(workload: Workload, poolers: Sequence[Pooler], postgres: Postgres, seconds: float, rounds: int) -> list[Sample]:
    """A B A B: each round runs every pooler once, one after the other."""
    for pooler in poolers:
        warm_up(workload, pooler, postgres)
    return [sample(workload, pooler, postgres, seconds, number) for number in range(rounds) for pooler in poolers]


def paired(workload: Workload, poolers: Sequence[Pooler], postgres: Postgres, seconds: float, rounds: int) -> list[Sample]:
    """All poolers at the same moment, each with its own load: only ratios of their CPU mean anything."""
    for pooler in poolers:
        warm_up(workload, pooler, postgres)
    samples: list[Sample] = []
    with ThreadPoolExecutor(len(poolers)) as threads:
        for number in range(rounds):
            runs = [threads.submit(sample, workload, pooler, postgres, seconds, number) for pooler in poolers]
            samples += [run.result() for run in runs]
    return samples
