"""The daemon by itself: at rest, and after a `kill -9`."""

import sqlite3
import statistics
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from tests.bench.graphs import independent, write_jsonl
from tests.bench.projects import Bench, BenchError, Daemon, Project
from tests.bench.report import Line, Row
from workgraph.graph.model import Record

_WAKE_UPS_BAR: Final = 2.0
_CPU_BAR_PERCENT: Final = 0.1
_RECOVER_BAR_S: Final = 2.0
_AGENTS: Final = 1000
#: Long enough to measure, and they end even if nobody ends them.
_SLEEP: Final = "exec sleep 300"


class _Rest(Record, frozen=True, kw_only=True):
    """What a daemon did in a stretch in which there was nothing to do."""

    commits: float
    wake_ups: float
    cpu_percent: float


def take_idle(bench: Bench) -> tuple[Sequence[Line], Sequence[float]]:
    """A daemon that has done some tasks and has nothing more to do."""
    project = bench.project("idle")
    tasks = write_jsonl(independent(20), bench.root / "idle.jsonl")
    project.wg("import", str(tasks))
    span_s = 3.0 if bench.short else 10.0
    with project.start(max_agents=4) as daemon:
        daemon.client.wait_status("done", 20)
        time.sleep(2)  # the last search for leftovers is over
        rests = [
            _watch(daemon, project, span_s) for _ in range(2 if bench.short else 5)
        ]
    over = f"{len(rests)} times {span_s:.0f} s"
    return [
        Row(
            name="idle daemon: commits",
            values=[rest.commits for rest in rests],
            bar=0,
            note=f"{over}; by `data_version`, changes and the log's size",
        ),
        Row(
            name="idle daemon: wake-ups a second",
            values=[rest.wake_ups for rest in rests],
            bar=_WAKE_UPS_BAR,
            note="voluntary context switches of all its threads",
        ),
        Row(
            name="idle daemon: share of a processor",
            values=[rest.cpu_percent for rest in rests],
            bar=_CPU_BAR_PERCENT,
            unit=" %",
            note=f"{statistics.median(r.cpu_percent for r in rests):.4f} %",
        ),
    ], []


def take_recovery(bench: Bench) -> tuple[Sequence[Line], Sequence[float]]:
    """From starting a daemon to its answer, after `kill -9`, while agents live."""
    if bench.short:
        return [], []
    project = bench.project("recovery")
    tasks = write_jsonl(independent(_AGENTS), bench.root / "sleep.jsonl", _SLEEP)
    project.wg("import", str(tasks))
    bare = bench.project("recovery-bare")
    seconds: list[float] = []
    bare_s: list[float] = []
    daemon = project.start(max_agents=_AGENTS)
    try:
        daemon.client.wait_status("agents", _AGENTS)
        _wait_all_working(daemon)
        for _ in range(5):
            daemon.client.close()
            daemon.kill()
            daemon = project.start(max_agents=_AGENTS)
            alive = daemon.client.ask({"cmd": "status"})["agents"]
            if alive != _AGENTS:
                raise BenchError(f"{alive} agents were adopted of {_AGENTS}")
            seconds.append(daemon.start_s)
            with bare.start(max_agents=_AGENTS) as other:
                bare_s.append(other.start_s)
    finally:
        daemon.stop()
        bench.end_leftovers()
    return [
        Row(
            name=f"`kill -9` to answering with {_AGENTS:,} live agents",
            values=seconds,
            bar=_RECOVER_BAR_S,
            unit=" s",
            note=f"without agents {statistics.median(bare_s):.2f} s",
        )
    ], []


def _wait_all_working(daemon: Daemon) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        agents = daemon.client.ask({"cmd": "agents", "alive": True})
        if all(agent["status"] == "working" for agent in agents):
            return
        time.sleep(0.1)
    raise BenchError("not all agents have started")


def _watch(daemon: Daemon, project: Project, span_s: float) -> _Rest:
    with closing(sqlite3.connect(f"file:{project.database}?mode=ro", uri=True)) as db:
        log = Path(f"{project.database}-wal")

        def marks() -> tuple[int, int, int]:
            version: int = db.execute("pragma data_version").fetchone()[0]
            changes: int = db.execute("select max(seq) from changes").fetchone()[0]
            return version, changes, log.stat().st_size

        committed, switches, spent = marks(), *_scheduled(daemon.pid)
        began = time.monotonic()
        time.sleep(span_s)
        after, spent_after = _scheduled(daemon.pid)
        lasted = time.monotonic() - began
        committed_after = marks()
    grown = [new - old for new, old in zip(committed_after, committed, strict=True)]
    return _Rest(
        commits=float(max(grown[0], grown[1], int(grown[2] != 0))),
        wake_ups=(after - switches) / lasted,
        cpu_percent=(spent_after - spent) / 1e9 / lasted * 100,
    )


def _scheduled(pid: int) -> tuple[int, int]:
    """Voluntary switches and nanoseconds on a processor, of all threads."""
    switches = spent = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        for line in (task / "status").read_text(encoding="utf-8").splitlines():
            if line.startswith("voluntary_ctxt_switches:"):
                switches += int(line.split()[1])
        spent += int((task / "schedstat").read_text(encoding="ascii").split()[0])
    return switches, spent
