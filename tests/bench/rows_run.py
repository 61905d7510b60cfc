"""Whole graphs of trivial tasks, worked off by `wg run` and by ninja."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.bench.graphs import Graph, independent, layered, write_jsonl, write_ninja
from tests.bench.projects import Bench, BenchError, Project, program
from tests.bench.report import Line, Row, Skipped

_BAR: Final = 0.30
_AIM: Final = 0.45
_AT_ONCE: Final = 8


def take_independent(bench: Bench) -> tuple[Sequence[Line], Sequence[float]]:
    """1,000 tasks that wait for nothing."""
    return _take(bench, "1,000 independent shell tasks", "ind", independent(1000))


def take_layered(bench: Bench) -> tuple[Sequence[Line], Sequence[float]]:
    """30 layers of 30 tasks, with three dependencies each."""
    return _take(bench, "30 x 30 layered shell tasks", "layers", layered(30, 30, 3))


def _take(
    bench: Bench, what: str, short_name: str, graph: Graph
) -> tuple[Sequence[Line], Sequence[float]]:
    name = f"{what}: `wg run` by `ninja -j{_AT_ONCE}`"
    ninja = shutil.which("ninja")
    if ninja is None:
        return [Skipped(name=name, why="ninja is not installed")], []
    tasks = write_jsonl(graph, bench.root / f"{short_name}.jsonl")
    peer = bench.root / f"{short_name}-ninja"
    peer.mkdir()
    write_ninja(graph, peer / "build.ninja")
    fresh = _Fresh(bench, short_name, tasks)

    def run_ninja() -> float:
        (peer / ".ninja_log").unlink(missing_ok=True)
        return len(graph) / bench.run([ninja, f"-j{_AT_ONCE}"], peer)

    def run_wg() -> float:
        project = fresh.take()
        limit = str(_AT_ONCE)
        argv = [program("wg"), "run", "--until-idle", "--max-agents", limit]
        return len(graph) / bench.run(argv, project.folder)

    taken = bench.take(
        {"ninja": run_ninja, "wg": run_wg}, rounds=7, warm=0 if bench.short else 1
    )
    if fresh.unfinished():
        raise BenchError(f"{what}: `wg run` has left tasks undone")
    note = (
        f"{taken.median('wg'):,.0f} tasks/s; ninja, which writes nothing down,"
        f" {taken.median('ninja'):,.0f}"
    )
    row = Row(
        name=name,
        values=taken.ratios("wg", "ninja"),
        bar=_BAR,
        aim=_AIM,
        more_is_better=True,
        note=note,
    )
    return [row], taken.others


class _Fresh:
    """Projects with the same tasks in them, each good for one run."""

    def __init__(self, bench: Bench, name: str, tasks: Path) -> None:
        self._bench = bench
        self._name = name
        self._imported = bench.project(f"{name}-imported")
        self._imported.wg("import", str(tasks))
        self._taken: list[Project] = []

    def take(self) -> Project:
        """A project that nothing has been run in."""
        name = f"{self._name}-{len(self._taken)}"
        project = self._bench.project(name, like=self._imported)
        self._taken.append(project)
        return project

    def unfinished(self) -> int:
        """How many tasks the least successful run has left."""
        return max(project.count_unfinished() for project in self._taken)
