"""Trajectories: topological, convex, justified, within the limit, always the same."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import permutations
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.graph.builders import a_task
from workgraph.graph.tokens import (
    CONCLUSION_BYTES,
    EXCERPT_BYTES,
    UNKNOWN_BYTES,
    estimate,
    estimate_conclusion,
    estimate_item,
)
from workgraph.graph.topology import chains, sort_topologically
from workgraph.graph.trajectory import (
    MOST_STEPS,
    Bounds,
    Candidate,
    Refusal,
    Region,
    Trajectory,
    candidate_of,
    check_trajectory,
    find_trajectory,
    item_of,
)

Graph = Mapping[str, tuple[str, ...]]

DIAMOND: Graph = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}
LADDER: Graph = {
    f"{side}{rung}": tuple(
        one
        for one in (f"l{rung - 1}", f"r{rung - 1}")
        if rung and (side == "l" or one.startswith("r"))
    )
    for rung in range(20)
    for side in "lr"
}


def region_of(graph: Graph, files: Mapping[str, Sequence[str]] | None = None) -> Region:
    """All of a graph of open tasks, each with these context files."""
    order, cycle = sort_topologically(sorted(graph), graph)
    assert not cycle
    chain = chains(order, graph)
    candidates = {
        name: candidate_of(
            a_task(
                title=name,
                id=name,
                seq=seq,
                chain=chain[name],
                context_files=tuple((files or {}).get(name, ())),
            ),
            graph[name],
            graph[name],
        )
        for seq, name in enumerate(sorted(graph), start=1)
    }
    return a_region(candidates.values(), graph)


def a_region(candidates: Iterable[Candidate], graph: Graph) -> Region:
    """A region in which a conclusion is 200 tokens, and all else an excerpt."""
    by_id = {one.id: one for one in candidates}
    tokens = {
        item: 200 if item[0] == "task" else estimate_item(None)
        for one in by_id.values()
        for item in one.items
    }
    return Region(candidates=by_id, after=dict(graph), tokens=tokens)


def random_graph(seed: int, size: int, edges: int) -> tuple[Graph, Region]:
    """A graph in which tasks wait for some that were added not long before."""
    random = Random(seed)
    names = [f"t{n:03}" for n in range(size)]
    graph = {
        name: tuple(
            sorted(
                {
                    names[random.randrange(max(place - 30, 0), place)]
                    for _ in range(random.randrange(edges + 1))
                    if place
                }
            )
        )
        for place, name in enumerate(names)
    }
    files = {
        name: [f"f{random.randrange(8)}.md" for _ in range(random.randrange(3))]
        for name in names
    }
    return graph, region_of(graph, files)


def check(graph: Graph, found: Trajectory, limit: int) -> None:
    """Asserts by other means what a trajectory is."""
    tasks = found.tasks
    assert len(set(tasks)) == len(tasks) <= MOST_STEPS
    for place, task in enumerate(tasks):
        assert set(graph[task]) <= set(tasks[:place]), f"{task} is not topological"
    for one in tasks:
        for path in _paths_out_of(graph, one, set(tasks)):
            assert path not in tasks, f"{path} comes back to {tasks}"
    assert found.tokens == sum(step.tokens for step in found.steps) <= limit
    assert all(step.shares for step in found.steps[1:])
    assert found.saved >= len(found.steps) - 1


def _paths_out_of(graph: Graph, start: str, members: set[str]) -> set[str]:
    """All that is reached from a member through tasks that are none."""
    below: dict[str, list[str]] = {}
    for task, deps in graph.items():
        for dep in deps:
            below.setdefault(dep, []).append(task)
    work = [one for one in below.get(start, ()) if one not in members]
    seen, reached = set(work), set()
    while work:
        for one in below.get(work.pop(), ()):
            reached.add(one)
            if one not in members and one not in seen:
                seen.add(one)
                work.append(one)
    return reached & members


@pytest.mark.parametrize("graph", [DIAMOND, LADDER], ids=["diamond", "ladder"])
@settings(deadline=None)
@given(limit=st.integers(0, 9000))
def test_on_a_diamond_and_a_ladder(graph: Graph, limit: int) -> None:
    """Whatever the limit is; nothing where not even the start fits."""
    files = {name: ["notes.md"] for name in graph}
    region = region_of(graph, files)
    start = min(name for name, deps in graph.items() if not deps)

    found = find_trajectory(region, start, Bounds(limit=limit))

    if found is None:
        assert limit < region.candidates[start].own + estimate_item(None)
    else:
        check(graph, found, limit)


@settings(deadline=None)
@given(
    seed=st.integers(0, 10_000),
    size=st.integers(1, 60),
    edges=st.integers(0, 4),
    limit=st.integers(0, 12_000),
    chained=st.booleans(),
)
def test_on_random_graphs(
    seed: int, size: int, edges: int, limit: int, chained: bool
) -> None:
    """From each task that waits for nothing, and twice the same."""
    graph, region = random_graph(seed, size, edges)
    bounds = Bounds(limit=limit, chained=chained)
    for start in [name for name, deps in graph.items() if not deps][:3]:
        found = find_trajectory(region, start, bounds)

        assert found == find_trajectory(region, start, bounds)
        if found is not None:
            check(graph, found, limit)
            if chained:
                steps = zip(found.tasks, found.tasks[1:], strict=False)
                assert all(before in graph[after] for before, after in steps)


@pytest.mark.slow
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10_000), limit=st.integers(3000, 20_000))
def test_on_random_graphs_of_500_tasks(seed: int, limit: int) -> None:
    """As above."""
    graph, region = random_graph(seed, 500, 3)

    found = find_trajectory(region, "t000", Bounds(limit=limit))

    assert found is not None
    check(graph, found, limit)
    assert isinstance(check_trajectory(region, found.tasks, limit=limit), Trajectory)


@pytest.mark.slow
@settings(deadline=None)
@given(seed=st.integers(0, 10_000), edges=st.integers(0, 3), limit=st.integers(0, 8000))
def test_on_small_graphs_it_is_the_best_there_is(
    seed: int, edges: int, limit: int
) -> None:
    """As trying out every order shows."""
    graph, region = random_graph(seed, 6, edges)

    found = find_trajectory(region, "t000", Bounds(limit=limit, width=1000))

    best = 0
    rest = sorted(graph.keys() - {"t000"})
    for count in range(len(rest) + 1):
        for order in permutations(rest, count):
            told = check_trajectory(region, ("t000", *order), limit=limit)
            if isinstance(told, Trajectory) and all(s.shares for s in told.steps[1:]):
                best = max(best, told.saved)
    assert (found.saved if found else 0) == best


def test_the_whole_diamond_is_one() -> None:
    """Each step says what it is given anew, and what is there."""
    region = region_of(DIAMOND, {"a": ["n.md"], "d": ["./n.md"]})

    found = find_trajectory(region, "a", Bounds(limit=10_000))

    assert found is not None
    assert found.tasks == ("a", "b", "c", "d")
    first, _, _, last = found.steps
    assert (first.receives, first.shares) == (("n.md",), ())
    assert (last.receives, last.shares) == ((), ("n.md", "b", "c"))
    assert first.tokens == 1 + estimate_item(None)


def test_chained_it_takes_no_branch() -> None:
    """Of a diamond nothing follows a branch that does not wait for the other."""
    found = find_trajectory(region_of(DIAMOND), "a", Bounds(limit=10_000, chained=True))

    assert found is not None
    assert found.tasks == ("a", "b")


def test_what_shares_nothing_is_not_taken() -> None:
    """Two tasks that have nothing to do with each other."""
    found = find_trajectory(region_of({"a": (), "b": ()}), "a", Bounds(limit=10_000))

    assert found is not None
    assert found.tasks == ("a",)


def test_a_shared_file_is_reason_enough() -> None:
    """It is read once."""
    region = region_of({"a": (), "b": ()}, {"a": ["n.md"], "b": ["n.md"]})

    found = find_trajectory(region, "a", Bounds(limit=estimate_item(None) + 2))

    assert found is not None
    assert found.tasks == ("a", "b")


def test_what_is_done_can_lie_between() -> None:
    """It is no step, and a path leads through it."""
    graph: Graph = {"a": (), "x": ("a",), "b": ("x", "a")}
    region = region_of(graph)
    candidates = {
        "a": region.candidates["a"],
        "b": candidate_of(a_task(title="b", id="b", seq=3), ("a", "x"), ("a",)),
    }
    region = a_region(candidates.values(), graph)

    found = find_trajectory(region, "a", Bounds(limit=10_000))

    assert found is not None
    assert found.tasks == ("a",)
    refused = check_trajectory(region, ("a", "b"), limit=10_000)
    assert isinstance(refused, Refusal)
    assert refused.message.startswith("x lies between")


def test_of_what_not_all_is_known_nothing_is_said() -> None:
    """Above it anything may lie."""
    region = region_of({"a": (), "b": ("a",)})
    region = Region(
        candidates=region.candidates,
        after=region.after,
        tokens=region.tokens,
        unknown=frozenset({"b"}),
    )

    found = find_trajectory(region, "a", Bounds(limit=10_000))
    refused = check_trajectory(region, ("a", "b"), limit=10_000)

    assert found is not None
    assert found.tasks == ("a",)
    assert isinstance(refused, Refusal)


@pytest.mark.parametrize(
    ("tasks", "limit", "message", "hint"),
    [
        (("b", "a"), 9999, "b waits for a, which comes after it", "order: a b"),
        (("a", "d"), 9999, "d waits for b", "name b, too, before d"),
        (("a", "b", "c"), 202, "they are 203 tokens", "a b would fit, with 202"),
    ],
)
def test_why_tasks_are_none(
    tasks: tuple[str, ...], limit: int, message: str, hint: str
) -> None:
    """And what would be one."""
    graph = {"o": (), **DIAMOND, "b": ("a", "o"), "c": ("a",)}
    region = region_of(graph)
    free = candidate_of(a_task(title="b", id="b", seq=2), ("a", "o"), ("a",))
    region = a_region([*({**region.candidates, "b": free}).values()], graph)

    refused = check_trajectory(region, tasks, limit=limit)

    assert isinstance(refused, Refusal)
    assert refused.message.startswith(message)
    assert hint in refused.hint


def test_tokens_are_bytes_by_three_and_a_half() -> None:
    """Rounded up; of files no more than an excerpt, of conclusions all."""
    assert (estimate(0), estimate(7), estimate(8)) == (0, 2, 3)
    assert estimate_item(10**9) == estimate(EXCERPT_BYTES)
    assert estimate_item(None) == estimate(UNKNOWN_BYTES)
    assert estimate_conclusion(None) == estimate(CONCLUSION_BYTES)
    assert estimate_conclusion(10_000) == estimate(10_000)


def test_an_input_is_an_artifact_or_a_path() -> None:
    """As everywhere."""
    found = [item_of(text) for text in ("a:x.md", "./a.md", "src/a:b", ":x", "s3://b")]
    kinds = ["artifact", "path", "path", "path", "path"]
    assert [kind for kind, _ in found] == kinds
