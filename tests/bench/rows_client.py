"""What a person or an agent waits for: the client, the next start, the socket."""

import os
import select
import statistics
import time
from collections.abc import Sequence
from contextlib import chdir
from typing import Final

from tests.bench.graphs import independent, write_jsonl
from tests.bench.projects import PYTHON, Bench, BenchError, Daemon, Project, program
from tests.bench.report import Line, Row

_SHOW_BAR: Final = 1.8
_NEXT_BAR: Final = 3.0
_REQUESTS_BAR: Final = 5000.0
_STARTS: Final = 5
_REQUESTS: Final = 2000
_SETTLE_S: Final = 0.05
_LIMIT_S: Final = 20.0


def take_show(bench: Bench) -> tuple[Sequence[Line], Sequence[float]]:
    """`wg show` with a daemon, by the bare start of its interpreter."""
    project = bench.project("show")
    project.wg("import", str(write_jsonl(independent(1000), bench.root / "show.jsonl")))
    with project.start(max_agents=0), chdir(project.folder):
        taken = bench.take(
            {
                "python": lambda: _middle_start(bench, [PYTHON, "-c", "pass"]),
                "show": lambda: _middle_start(bench, [program("wg"), "show", "t500"]),
            },
            rounds=15,
        )
    note = (
        f"{taken.median('show') * 1000:.1f} ms;"
        f" bare Python {taken.median('python') * 1000:.1f} ms"
    )
    row = Row(
        name="`wg show` with a daemon by `python -c pass`",
        values=taken.ratios("show", "python"),
        bar=_SHOW_BAR,
        note=note,
    )
    return [row], taken.others


def take_next_start(bench: Bench) -> tuple[Sequence[Line], Sequence[float]]:
    """From the start of `wg done A` to the first instruction of B's agent."""
    project = bench.project("next")
    with project.start(max_agents=4) as daemon, chdir(project.folder):
        handover = _Handover(project, daemon)
        taken = bench.take(
            {
                "python": lambda: _middle_start(bench, [PYTHON, "-c", "pass"]),
                "next": handover.measure,
            },
            rounds=15,
            warm=2,
        )
    note = (
        f"{taken.median('next') * 1000:.1f} ms, the client's own start among them;"
        f" bare Python {taken.median('python') * 1000:.1f} ms"
    )
    row = Row(
        name="`wg done` to the next agent's first instruction, in bare Python starts",
        values=taken.ratios("next", "python"),
        bar=_NEXT_BAR,
        note=note,
    )
    return [row], taken.others


def take_requests(bench: Bench) -> tuple[Sequence[Line], Sequence[float]]:
    """Requests on one connection, each after the answer to the one before."""
    project = bench.project("requests")
    project.wg(
        "import", str(write_jsonl(independent(1000), bench.root / "requests.jsonl"))
    )
    line = b'{"cmd":"task_status","task":"t500"}\n'
    with project.start(max_agents=0) as daemon:

        def measure() -> float:
            ask = daemon.client.ask_raw
            began = time.perf_counter()
            for _ in range(_REQUESTS):
                ask(line)
            return _REQUESTS / (time.perf_counter() - began)

        taken = bench.take({"requests": measure}, rounds=9)
    row = Row(
        name="`task_status` on one connection",
        values=taken.values["requests"],
        bar=_REQUESTS_BAR,
        more_is_better=True,
        unit="/s",
        note=f"{1e6 / taken.median('requests'):.0f} µs each",
    )
    return [row], taken.others


class _Handover:
    """Two tasks, B after A; how long after `wg done A` the agent of B runs."""

    def __init__(self, project: Project, daemon: Daemon) -> None:
        self._bench = project.bench
        self._client = daemon.client
        self._fifo = os.fspath(project.folder / "fifo")
        self._count = 0
        os.mkfifo(self._fifo)

    def measure(self) -> float:
        """The seconds to the first thing that B's shell does."""
        self._count += 1
        first, then = f"a{self._count}", f"b{self._count}"
        ask = self._client.ask
        ask({"cmd": "add_task", "id": first, "title": first, "paused": True})
        ask({"cmd": "claim", "task": first, "force": True})
        ask(
            {
                "cmd": "add_task",
                "id": then,
                "title": then,
                "after": [first],
                "exec": f"echo x >{self._fifo}",
            }
        )
        reader = os.open(self._fifo, os.O_RDONLY | os.O_NONBLOCK)
        try:
            # What was just asked for must not be among what is measured.
            time.sleep(_SETTLE_S)
            poll = select.poll()
            poll.register(reader, select.POLLIN)
            argv = [program("wg"), "done", first]
            actions = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
            began = time.perf_counter()
            pid = os.posix_spawn(argv[0], argv, self._bench.env, file_actions=actions)
            came = poll.poll(_LIMIT_S * 1000)
            spent = time.perf_counter() - began
            _, status = os.waitpid(pid, 0)
        finally:
            os.close(reader)
        if status != 0 or not came:
            raise BenchError(f"`wg done {first}`: status {status}, started: {came}")
        return spent


def _middle_start(bench: Bench, argv: Sequence[str]) -> float:
    return statistics.median(bench.start_seconds(argv) for _ in range(_STARTS))
