"""What 100,000 tasks cost: to import, to hold in memory, to work on."""

import statistics
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, chdir
from pathlib import Path
from typing import Final

from anyio.from_thread import start_blocking_portal

from tests.bench.graphs import large, write_jsonl
from tests.bench.projects import PYTHON, Bench, Project, program
from tests.bench.report import Line, Row
from tests.core import Core, running_core
from workgraph.store.database import Store

_SMALL: Final = 1000
_IMPORT_BAR_S: Final = 10.0
_TICK_BAR: Final = 1.5
_CONTEXT_BAR: Final = 20.0
_DEPENDENCIES: Final = 50
_MEMORY_BAR_MB: Final = 100.0
#: Tasks that are worked off before memory is looked at.
_WORK: Final = 50
_FINISHES: Final = 40
_AT_ONCE: Final = 4


def take(bench: Bench) -> tuple[Sequence[Line], Sequence[float]]:
    """Imports the graphs, then measures on what was imported."""
    count = 10_000 if bench.short else 100_000
    line, others, graphs = _take_import(bench, count)
    big, small = graphs[count], graphs[_SMALL]
    tick, more = _take_tick(bench, count, big[0].database, small[0].database)
    context, yet_more = _take_context(bench, count, big[2])
    memory = _take_memory(bench, count, big[1])
    return [tick, context, memory, line], [*others, *more, *yet_more]


def _take_import(
    bench: Bench, count: int
) -> tuple[Line, Sequence[float], Mapping[int, Sequence[Project]]]:
    files = {n: write_jsonl(large(n), bench.root / f"{n}.jsonl") for n in (count, 1000)}
    made: dict[int, list[Project]] = {count: [], _SMALL: []}

    def run(size: int) -> float:
        project = bench.project(f"import-{size}-{len(made[size])}")
        made[size].append(project)
        return project.wg("import", str(files[size]))

    taken = bench.take(
        {"large": lambda: run(count), "small": lambda: run(_SMALL)}, rounds=5, warm=0
    )
    each = taken.median("large") / count * 1e6
    row = Row(
        name=f"`wg import` of {count:,} tasks with {2 * count:,} edges",
        values=taken.values["large"],
        bar=_IMPORT_BAR_S * count / 100_000,
        unit=" s",
        note=f"{each:.0f} µs a task; {_SMALL:,} tasks, start included,"
        f" {taken.median('small') * 1000:.0f} ms",
    )
    return row, taken.others, made


def _take_tick(
    bench: Bench, count: int, big: Path, small: Path
) -> tuple[Line, Sequence[float]]:
    """The engine in this process on real databases, with agents that end at will."""
    with ExitStack() as stack:
        portal = stack.enter_context(start_blocking_portal())

        def open_core(database: Path) -> Core:
            store = portal.call(Store.open, database)
            stack.callback(portal.call, store.close)
            limit = f"dispatcher.max_agents={_AT_ONCE}"
            running = running_core(limit, store=store)
            return stack.enter_context(portal.wrap_async_context_manager(running))

        large_core, small_core = open_core(big), open_core(small)
        taken = bench.take(
            {
                "large": lambda: portal.call(finish_some, large_core),
                "small": lambda: portal.call(finish_some, small_core),
            },
            rounds=11,
            warm=2,
        )
    note = (
        f"{taken.median('large') * 1e6:.0f} µs each, three commits to disk among them;"
        f" at {_SMALL:,} {taken.median('small') * 1e6:.0f} µs"
    )
    row = Row(
        name=f"finish, tick, next start: at {count:,} tasks by at {_SMALL:,}",
        values=taken.ratios("large", "small"),
        bar=_TICK_BAR,
        note=note,
    )
    return row, taken.others


async def finish_some(core: Core) -> float:
    """The middle of the seconds from an agent's end to when all is quiet again."""
    engine = core.engine
    live: deque[int] = deque()
    seconds = []
    for _ in range(_FINISHES):
        if not live:
            # those that are written to are handlers of chats, which stay
            live.extend(set(core.launcher.running()) - set(engine.effects.inputs))
        ticked = engine.ticked
        began = time.perf_counter()
        core.launcher.exit(live.popleft(), code=0)
        await ticked.wait()
        while not engine.is_quiet or engine.effects.is_starting:
            await engine.ticked.wait()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def _take_context(
    bench: Bench, count: int, project: Project
) -> tuple[Line, Sequence[float]]:
    """`wg context` of a task with fifty dependencies that have all said something."""
    after = [f"t{number}" for number in range(_DEPENDENCIES)]
    join = {"title": "Join", "id": "join", "executor": "claude", "after": after}
    with project.start(max_agents=0) as daemon, chdir(project.folder):
        daemon.client.ask({"cmd": "add_task", **join})
        for task in after:
            said = "found something " * 50
            daemon.client.ask({"cmd": "log", "task": task, "message": said})
        taken = bench.take(
            {
                "python": lambda: bench.start_seconds([PYTHON, "-c", "pass"]),
                "context": lambda: bench.start_seconds(
                    [program("wg"), "context", "join"]
                ),
            },
            rounds=11,
        )
    row = Row(
        name=f"`wg context` with {_DEPENDENCIES} dependencies among {count:,} tasks,"
        " in bare Python starts",
        values=taken.ratios("context", "python"),
        bar=_CONTEXT_BAR,
        note=f"{taken.median('context') * 1000:.1f} ms, the client's own start among"
        f" them; bare Python {taken.median('python') * 1000:.1f} ms",
    )
    return row, taken.others


def _take_memory(bench: Bench, count: int, project: Project) -> Line:
    """Daemons that have each worked off some tasks, on a large and an empty graph."""
    above_mb: list[float] = []
    empty_mb: list[float] = []
    for number in range(2 if bench.short else 5):
        held = _memory_after_work(project, add=False)
        empty = bench.project(f"empty-{number}")
        empty_mb.append(_memory_after_work(empty, add=True))
        above_mb.append(held - empty_mb[-1])
    return Row(
        name=f"resident memory of `wgd` with {count:,} tasks above an empty graph",
        values=above_mb,
        bar=_MEMORY_BAR_MB,
        unit=" MB",
        note=f"an empty one has {statistics.median(empty_mb):.0f} MB",
    )


def _memory_after_work(project: Project, *, add: bool) -> float:
    with project.start(max_agents=2) as daemon:
        ask = daemon.client.ask
        done = ask({"cmd": "status"})["counts"]["done"]
        if add:
            for number in range(_WORK):
                ask({"cmd": "add_task", "title": f"Task {number}", "exec": "true"})
        daemon.client.wait_status("done", done + _WORK)
        return resident_mb(daemon.pid)


def resident_mb(pid: int) -> float:
    """What a process holds in memory."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1000
    return 0.0
