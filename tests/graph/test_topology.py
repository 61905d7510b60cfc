"""Orders, cycles and chains, against what is plain but slow."""

from collections.abc import Mapping
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from workgraph.graph.topology import chains, find_path, show_cycle, sort_topologically

NODES = "abcdefg"
GRAPHS = st.dictionaries(
    st.sampled_from(NODES), st.lists(st.sampled_from(NODES), max_size=3)
)


@given(GRAPHS)
def test_an_order_has_each_after_what_it_waits_for(
    graph: Mapping[str, list[str]],
) -> None:
    """Or there is a cycle, and it is one."""
    order, cycle = sort_topologically(NODES, graph)

    if not cycle:
        assert sorted(order) == sorted(NODES)
        at = {node: place for place, node in enumerate(order)}
        assert all(at[dep] < at[node] for node in graph for dep in graph[node])
    else:
        assert cycle[0] == cycle[-1]
        assert len(cycle) > 1
        steps = pairwise(cycle)
        assert all(dep in graph[node] for node, dep in steps)


@given(GRAPHS)
def test_a_path_is_found_exactly_when_there_is_one(
    graph: Mapping[str, list[str]],
) -> None:
    """By steps that exist, and by as few as can be."""
    for goal in NODES:
        path = find_path("a", goal, lambda node: graph.get(node, ()))
        distance = _distance(graph, "a", goal)
        if path is None:
            assert distance is None
        else:
            assert (path[0], path[-1], len(path) - 1) == ("a", goal, distance)
            steps = pairwise(path)
            assert all(there in graph[here] for here, there in steps)


@given(GRAPHS)
def test_a_chain_is_the_longest_way_down(graph: Mapping[str, list[str]]) -> None:
    """Counted in tasks, itself included; it falls along every edge."""
    order, cycle = sort_topologically(NODES, graph)
    if cycle:
        return
    measured = chains(order, graph)

    for node in NODES:
        assert measured[node] == _longest(graph, node)
    assert all(measured[dep] > measured[node] for node in graph for dep in graph[node])


def test_dependencies_outside_are_passed_over() -> None:
    """They are somebody else's."""
    assert sort_topologically("a", {"a": ["z"]}) == (("a",), ())


def test_a_cycle_is_shown_as_a_way() -> None:
    """As people read it."""
    assert show_cycle(("a", "b", "a")) == "a -> b -> a"


def _distance(graph: Mapping[str, list[str]], start: str, goal: str) -> int | None:
    reached, steps = {start}, 0
    while goal not in reached:
        wider = reached | {there for here in reached for there in graph.get(here, ())}
        if wider == reached:
            return None
        reached, steps = wider, steps + 1
    return steps


def _longest(graph: Mapping[str, list[str]], node: str) -> int:
    behind = [other for other in graph if node in graph[other]]
    return 1 + max((_longest(graph, other) for other in behind), default=0)
