"""The results as one markdown page, and as JSON for whoever wants to look closer."""

import os
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.counts import CallCount, InstructionCount, as_rows
from bench.idle import IdleMemory
from bench.measure import Ratio, Sample
from bench.workloads import BY_NAME

# Where pgweir means to stand. A ratio is pgweir's figure over PgBouncer's in the same run.
CPU_RATIO_TARGETS = {
    "simple": 0.95, "extended": 0.90, "prepared": 0.80, "tpcb-prepared": 0.80, "tpcb-extended": 0.80,
    "crowd": 0.85, "churn": 1.00, "one-simple": 0.95, "one-prepared": 0.85,
}  # fmt: skip
RATE_RATIO_TARGETS = {"extended": 1.20}
CPU_TARGETS_MS_PER_MB = {"large-result": 0.5, "copy-out": 0.9, "copy-in": 0.6}
INSTRUCTION_TARGETS = {"simple": 2500, "extended": 2800, "prepared": 3500}
CALL_TARGETS = {"simple": 4.1, "extended": 4.1, "prepared": 4.1, "crowd": 4.4}
IDLE_TARGETS_BYTES = {"idle": 400, "idle-tls": 4500}
LEAST_SHARE_SHOWN = 0.02


@dataclass
class Results:
    """Everything one invocation measured. The first pooler is ours, the second theirs, `direct` neither."""

    poolers: list[str]
    versions: dict[str, str]
    conditions: dict[str, str]
    paired: bool = False
    samples: list[Sample] = field(default_factory=list)
    calls: list[CallCount] = field(default_factory=list)
    instructions: list[InstructionCount] = field(default_factory=list)
    idle: list[IdleMemory] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, object]:
        return {
            "poolers": self.poolers,
            "versions": self.versions,
            "conditions": self.conditions,
            "paired": self.paired,
            "samples": [sample.as_json() for sample in self.samples],
            "system_calls": [asdict(count) for count in self.calls],
            "instructions": [asdict(count) for count in self.instructions],
            "idle": [asdict(memory) for memory in self.idle],
            "failures": self.failures,
        }


def describe_machine() -> dict[str, str]:
    return {
        "cores": str(os.cpu_count()),
        "processor": _processor(),
        "kernel": platform.release(),
        "load average at the start": " ".join(f"{load:.1f}" for load in os.getloadavg()),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def render(results: Results) -> str:
    facts = [f"- {name}: {value}" for name, value in {**results.versions, **results.conditions}.items()]
    sections = [
        _section("CPU and rate" + (", paired" if results.paired else ""), _times(results)),
        _section("Shares of the threads", _loops(results)),
        _section("System calls per transaction", _calls(results)),
        _section("User-space instructions per transaction", _instructions(results)),
        _section("Memory per idle client", _idle(results)),
        _section("Failed", [f"- {failure}" for failure in results.failures]),
    ]
    return "\n".join(["# Pooler comparison", "", *facts, "", *(line for section in sections for line in section)])


def _section(title: str, body: list[str]) -> list[str]:
    return [f"## {title}", "", *body, ""] if body else []


def _times(results: Results) -> list[str]:
    """CPU of the pooler, rate, and Postgres' own CPU; medians over the rounds, ratios within each round."""
    if not results.samples:
        return []
    shown = [name for name in results.poolers if any(sample.pooler == name for sample in results.samples)]
    heads = ["workload", "CPU ratio", "target", "rate ratio"]
    heads += [f"{name}: CPU (kernel)" + ("" if results.paired else " / rate / Postgres' CPU") for name in shown]
    rows = [_time_row(results, name, shown) for name in _in_order(sample.workload for sample in results.samples)]
    note = "CPU in us per transaction, or ms per MB; rate in transactions or MB per second. Ratio: median [lowest .. highest]."
    return [note, "", *_table(heads, rows)]


def _time_row(results: Results, workload: str, shown: Sequence[str]) -> list[str]:
    of = {name: [s for s in results.samples if s.workload == workload and s.pooler == name] for name in shown}
    ours, theirs = (of[shown[0]], of[shown[1]]) if len(shown) > 1 and shown[1] != "direct" else (of[shown[0]], [])
    cpu = Ratio.of([s.cost for s in ours], [s.cost for s in theirs])
    rate = Ratio.of([s.rate for s in ours], [s.rate for s in theirs])
    cost = statistics.median(s.cost for s in ours) if ours else None
    target = _time_target(results, workload, cpu, cost)
    rates = "-" if results.paired else f"{_ratio(rate)} {_rate_target(results, workload, rate)}".strip()
    return [BY_NAME[workload].title, _ratio(cpu), target, rates, *(_figures(of[name], results.paired) for name in shown)]


def _figures(samples: Sequence[Sample], paired: bool) -> str:
    if not samples:
        return "-"
    workload = BY_NAME[samples[0].workload]
    cost = statistics.median(s.cost for s in samples) * workload.cost_scale
    kernel = statistics.median(s.kernel_share for s in samples)
    postgres = statistics.median(s.postgres_cost for s in samples) * workload.cost_scale
    rate = statistics.median(s.rate for s in samples)
    pooler = f"{_number(cost)} ({kernel:.0%})" if cost else "-"
    # At the same moment both poolers share the machine and Postgres: only their own CPU can be told apart.
    return pooler if paired else f"{pooler} / {rate:,.0f} / {_number(postgres)}"


def _time_target(results: Results, workload: str, ratio: Ratio | None, cost: float | None) -> str:
    if workload in CPU_RATIO_TARGETS:
        limit = CPU_RATIO_TARGETS[workload]
        return _judge(results, ratio.median if ratio else None, limit, f"<= {limit:.2f}")
    if workload in CPU_TARGETS_MS_PER_MB:
        limit = CPU_TARGETS_MS_PER_MB[workload]
        return _judge(results, cost * 1e3 if cost else None, limit, f"<= {limit} ms/MB")
    return ""


def _rate_target(results: Results, workload: str, ratio: Ratio | None) -> str:
    limit = RATE_RATIO_TARGETS.get(workload)
    if limit is None or ratio is None:
        return ""
    met = f" {'met' if ratio.median >= limit else 'MISSED'}" if results.poolers[0] == "pgweir" else ""
    return f"(target >= {limit:.2f}{met})"


def _loops(results: Results) -> list[str]:
    """Shares of the pooler's threads, where more than one has work: do the loops share the load?"""
    rows: list[list[str]] = []
    for workload, pooler in dict.fromkeys((sample.workload, sample.pooler) for sample in results.samples):
        samples = [s for s in results.samples if (s.workload, s.pooler) == (workload, pooler)]
        threads = _in_order(name for sample in samples for name in sample.cpu_by_thread)
        spent = {name: sum(sample.cpu_by_thread.get(name, 0.0) for sample in samples) for name in threads}
        total = sum(spent.values())
        busy = {name: cpu / total for name, cpu in spent.items() if total and cpu / total >= LEAST_SHARE_SHOWN}
        if len(busy) > 1:
            shares = ", ".join(f"{name} {share:.0%}" for name, share in busy.items())
            rows.append([BY_NAME[workload].title, pooler, shares])
    return _table(["workload", "pooler", "share of each thread"], rows)


def _calls(results: Results) -> list[str]:
    rows: list[list[str]] = []
    for workload, pooler in dict.fromkeys((count.workload, count.pooler) for count in results.calls):
        rounds = [count for count in results.calls if (count.workload, count.pooler) == (workload, pooler)]
        middle = CallCount.median(rounds)
        spread = f"{min(c.total for c in rounds):.2f} .. {max(c.total for c in rounds):.2f}"
        target = _count_target(results, pooler, workload, middle.total, CALL_TARGETS)
        title = BY_NAME[workload].title
        rows.append([title, pooler, f"{middle.total:.2f} [{spread}]", target, as_rows(middle.by_name), middle.instrument])
    return _table(["workload", "pooler", "calls", "target", "by call", "counted with"], rows)


def _instructions(results: Results) -> list[str]:
    rows = [
        [BY_NAME[count.workload].title, count.pooler, f"{count.per_transaction:,.0f}", target]
        for count in results.instructions
        for target in [_count_target(results, count.pooler, count.workload, count.per_transaction, INSTRUCTION_TARGETS)]
    ]
    return _table(["workload (10 clients)", "pooler", "instructions", "target"], rows)


def _idle(results: Results) -> list[str]:
    rows = [
        [
            memory.pooler,
            "TLS" if memory.tls else "plain",
            f"{memory.clients:,}",
            f"{memory.per_client:,.0f}",
            f"{memory.per_further_client:,.0f}",
            target,
        ]
        for memory in results.idle
        for target in [_count_target(results, memory.pooler, "idle-tls" if memory.tls else "idle", memory.per_client, IDLE_TARGETS_BYTES)]
    ]
    return _table(["pooler", "clients speak", "clients", "RssAnon bytes per client", "the same beyond the first tenth", "target"], rows)


def _count_target(results: Results, pooler: str, workload: str, value: float, targets: Mapping[str, float]) -> str:
    limit = targets.get(workload)
    if limit is None or pooler != "pgweir":
        return ""
    return _judge(results, value, limit, f"<= {limit:,}")


def _judge(results: Results, value: float | None, limit: float, text: str) -> str:
    """Targets are pgweir's; a PgBouncer in its place meets or misses nothing."""
    if value is None or results.poolers[0] != "pgweir":
        return text
    return f"{text} {'met' if value <= limit else 'MISSED'}"


def _ratio(ratio: Ratio | None) -> str:
    return f"{ratio.median:.2f} [{ratio.lowest:.2f} .. {ratio.highest:.2f}]" if ratio else "-"


def _number(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _in_order(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return []
    lines = [heads, ["---"] * len(heads), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]
