"""Graphs to export and import: strategies, builders, the round trip."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import structs

from workgraph.commands import transfer
from workgraph.commands.context import Caller, Context
from workgraph.graph.model import (
    TaskSpec,
)
from workgraph.graph.readiness import ServiceFacts
from workgraph.graph.replies import ImportedData
from workgraph.graph.status import MEETS
from workgraph.graph.waits import MET_BY, Term, Wait
from workgraph.settings import load_settings
from workgraph.store import reads
from workgraph.store.database import Store, Tx

NOW = 1_700_000_000_000_000
SETTINGS = load_settings(None, None, []).settings

ANY_TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
NASTY = st.sampled_from(
    [
        "'\"`",
        "a\nb\r\n\tc",
        "$(rm -rf /) `id` $HOME ${x} && ; | > /dev/null",
        "{{ title }} {% if %} {title} %s %(x)s \\u0041 \\n",
        "\x00\x01\x1b[31m\x7f\x85\u2028\u2029\ufeff\ufffe",
        "日本語 🦊 e\u0301 \u202etxt.exe",
    ]
)
TEXT = ANY_TEXT | NASTY
TITLE = TEXT.filter(lambda text: bool(text.strip()))
PATH = TEXT.map(lambda text: text.replace("\0", ""))
OPTIONAL = st.none() | TEXT
TEXTS = st.lists(TEXT, max_size=3).map(tuple)
PATHS = st.lists(PATH, max_size=3).map(tuple)
SECONDS = st.none() | st.floats(0, 1e9)
COUNT = st.none() | st.integers(1, 2**70)
NAME = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True)
#: What may stand in a field of a file that somebody else has written.
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=2)
    ),
    max_leaves=6,
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2)
    ),
    max_leaves=4,
)
SPECS = st.builds(
    TaskSpec,
    title=TITLE,
    description=TEXT,
    tags=TEXTS,
    requires_skills=TEXTS,
    prefers_skills=TEXTS,
    complexity=st.sampled_from([None, "simple", "moderate", "complex"]),
    inputs=PATHS,
    outputs=PATHS,
    context_files=PATHS,
    prompt=OPTIONAL,
    exec=st.none() | PATH,
    executor=st.none() | st.just("shell"),
    model=OPTIONAL,
    endpoint=OPTIONAL,
    tools=TEXTS,
    working_dir=st.none() | PATH,
    env=st.dictionaries(NAME.filter(lambda n: not n.startswith("WG_")), PATH),
    verify=PATHS,
    review=st.sampled_from([None, "human", "reward", "none"]),
    max_attempts=COUNT,
    retry_on=st.sampled_from([None, "crash", "failure"]),
    timeout_s=SECONDS,
    stall_timeout_s=SECONDS,
    abandon_after_s=SECONDS,
    independent=st.booleans(),
    estimate_s=SECONDS,
    budget_tokens=COUNT,
    budget_usd=SECONDS,
    context_scope=st.sampled_from([None, "clean", "task", "graph", "full"]),
    metadata=st.dictionaries(TEXT, JSON, max_size=2),
)

MOMENT = st.integers(0, 10**12).map(lambda millis: millis * 1000)
TERMS = st.one_of(
    st.builds(
        Term,
        branch=st.integers(0, 3),
        kind=st.just("task"),
        target=st.just("t0"),
        status=st.sampled_from(sorted(MET_BY)),
        met_at=MOMENT,
    ),
    st.builds(
        Term,
        branch=st.integers(0, 3),
        kind=st.sampled_from(["timer", "file"]),
        target=PATH,
        due=MOMENT,
        met_at=MOMENT,
    ),
    st.builds(Term, branch=st.just(0), kind=st.just("message"), met_at=MOMENT),
)
LASTING = st.builds(
    Wait,
    task=st.just(""),
    agent=st.none() | st.just(1),
    condition=TEXT,
    since=MOMENT,
    quick=st.integers(0, 9),
    terms=st.lists(TERMS, min_size=1, max_size=4).map(tuple),
)
WAITS = st.lists(
    LASTING
    | st.builds(
        lambda wait, at, why: structs.replace(
            wait, woken_at=at, reason=why, agent=None
        ),
        LASTING,
        MOMENT,
        TEXT,
    ),
    min_size=1,
    max_size=3,
)


def a_context(tx: Tx) -> Context:
    """An operator's surroundings."""
    return Context(
        tx=tx,
        caller=Caller(name="ada"),
        settings=SETTINGS,
        ask_service=lambda _tx: ServiceFacts(),
        project_dir="/project",
    )


class Graph:
    """A store in memory, with what tests do to it."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def change(self, job: Callable[[Context], object], now: int = NOW) -> Any:
        """A job in a transaction of its own."""
        result, _ = await self.store.transaction(lambda tx: job(a_context(tx)), now)
        return result

    async def take(self, text: str, now: int = NOW) -> ImportedData:
        """An import."""
        reply = await self.change(lambda c: transfer.import_graph(c, text), now)
        assert isinstance(reply.data, ImportedData)
        assert reply.notes == tuple(f"warning: {w}" for w in reply.data.warnings)
        return reply.data

    async def export(self) -> str:
        """The whole graph as text."""
        lines = await self.store.read(
            lambda tx: transfer.export_lines(a_context(tx)), NOW
        )
        assert not any(b"\n" in line for line in lines)
        return b"\n".join(lines).decode()

    async def dump(self) -> list[list[tuple[Any, ...]]]:
        """Every row of every table."""

        def read(tx: Tx) -> list[list[tuple[Any, ...]]]:
            names = [
                row[0]
                for row in tx.all("select name from sqlite_schema where type = 'table'")
            ]
            return [tx.all(f"select * from {name}") for name in sorted(names)]

        return await self.store.read(read, NOW)

    async def check_counts(self) -> None:
        """Unmet dependencies and chains are as a recount gives them."""

        def recount(tx: Tx) -> None:
            every = {task.id: task for task in reads.every_task(tx)}
            edges = tx.all(reads.ALL_EDGES)
            for task in every.values():
                mine = [(dep, on) for name, dep, on in edges if name == task.id]
                assert task.unmet == sum(
                    every[dep].status not in MEETS[on] for dep, on in mine
                ), task.id

            def chain(name: str) -> int:
                behind = [chain(waiter) for waiter, dep, _ in edges if dep == name]
                return 1 + max(behind, default=0)

            for task in every.values():
                assert task.chain == chain(task.id), task.id

        await self.store.read(recount, NOW)


@asynccontextmanager
async def a_graph() -> AsyncGenerator[Graph]:
    """An empty one."""
    store = await Store.open(":memory:")
    try:
        yield Graph(store)
    finally:
        await store.close()


def lines(*objects: Mapping[str, Any]) -> str:
    """Objects as JSON lines."""
    return "\n".join(msgspec.json.encode(item).decode() for item in objects)


def an_agent(**values: object) -> str:
    """The line of an attempt of no interest."""
    boring = {
        "kind": "agent",
        "id": "agent-1",
        "attempt": 1,
        "executor": "shell",
        "started_at": "2026-01-01T00:00:00Z",
        "ended_at": "2026-01-01T00:00:01Z",
    }
    return lines(boring | values)


async def assert_round_trip(graph: Graph) -> list[dict[str, Any]]:
    """Export → import → export is the same to the byte; gives what was exported."""
    first = await graph.export()
    async with a_graph() as other:
        await other.take(first, NOW + 86_400_000_000)
        second = await other.export()
        await other.check_counts()
        assert second == first
        return [msgspec.json.decode(line) for line in first.split("\n") if line]
