"""The shape of the graph: cycles, orders, and the longest chain behind each task.

`chain` of a task is the number of tasks in the longest chain of dependents that starts
with it, itself included. Along every edge it falls, so it bounds each search for a
cycle and orders the dispatch. All functions are pure; neighbours are asked for by a
function, so that a search reads no more of a large graph than it visits.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence


def find_path(
    start: str,
    goal: str,
    neighbours: Callable[[str], Iterable[str]],
) -> tuple[str, ...] | None:
    """The shortest path from `start` to `goal`, both included, or null."""
    if start == goal:
        return (start,)
    came_from: dict[str, str] = {}
    seen = {start}
    queue = deque([start])
    while queue:
        here = queue.popleft()
        for there in neighbours(here):
            if there in seen:
                continue
            came_from[there] = here
            if there == goal:
                return _trace(start, goal, came_from)
            seen.add(there)
            queue.append(there)
    return None


def sort_topologically(
    nodes: Sequence[str], dependencies: Mapping[str, Sequence[str]]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Orders nodes so that each follows its dependencies (Kahn 1962).

    Dependencies outside `nodes` are passed over.

    Returns:
        The order, and one cycle where there is none: then the order is not whole. The
        cycle starts and ends with the same node.
    """
    inside = set(nodes)
    waits = {
        node: len({d for d in dependencies.get(node, ()) if d in inside})
        for node in nodes
    }
    dependents: dict[str, list[str]] = {}
    for node in nodes:
        for dependency in set(dependencies.get(node, ())):
            if dependency in inside:
                dependents.setdefault(dependency, []).append(node)
    queue = deque(node for node in nodes if not waits[node])
    order: list[str] = []
    while queue:
        node = queue.popleft()
        order.append(node)
        for dependent in dependents.get(node, ()):
            waits[dependent] -= 1
            if not waits[dependent]:
                queue.append(dependent)
    if len(order) == len(nodes):
        return tuple(order), ()
    stuck = {node for node in nodes if waits[node]}
    return tuple(order), _cycle_in(stuck, dependencies)


def chains(
    order: Sequence[str], dependencies: Mapping[str, Sequence[str]]
) -> dict[str, int]:
    """The chain of each node, for a whole graph in topological order."""
    chain = dict.fromkeys(order, 1)
    for node in reversed(order):
        behind = chain[node] + 1
        for dependency in dependencies.get(node, ()):
            if chain.get(dependency, behind) < behind:
                chain[dependency] = behind
    return chain


def show_cycle(path: Sequence[str]) -> str:
    """Writes a cycle as people read it: `a -> b -> a`."""
    return " -> ".join(path)


def _cycle_in(
    stuck: set[str], dependencies: Mapping[str, Sequence[str]]
) -> tuple[str, ...]:
    """Follows dependencies inside a set in which every node has one, until one recurs.

    Nodes behind a cycle are stuck, too, but going towards dependencies leads into it.
    """
    node = min(stuck)
    seen: dict[str, int] = {}
    path: list[str] = []
    while node not in seen:
        seen[node] = len(path)
        path.append(node)
        node = min(d for d in dependencies[node] if d in stuck)
    return (*path[seen[node] :], node)


def _trace(start: str, goal: str, came_from: Mapping[str, str]) -> tuple[str, ...]:
    path = [goal]
    while path[-1] != start:
        path.append(came_from[path[-1]])
    return tuple(reversed(path))


def components(
    nodes: Collection[str], waits: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, ...]]:
    """The sets of tasks that wait for each other (Kosaraju, Sharir 1981)."""
    inside = _between(nodes, waits)
    dependents: dict[str, list[str]] = {node: [] for node in inside}
    for node in inside:
        for dep in waits[node]:
            if dep in inside:
                dependents[dep].append(node)
    everywhere: set[str] = set()
    finished = [
        node for root in inside for node in _visit(root, waits, inside, everywhere)
    ]
    seen: set[str] = set()
    for root in reversed(finished):
        part = tuple(_visit(root, dependents, inside, seen))
        if len(part) > 1:
            yield part


def _visit(
    root: str,
    ways: Mapping[str, Sequence[str]],
    inside: Collection[str],
    seen: set[str],
) -> Iterator[str]:
    """What is reached from a task and was not seen, each after what lies behind it."""
    if root in seen:
        return
    seen.add(root)
    work = [(root, iter(ways[root]))]
    while work:
        node, rest = work[-1]
        there = next((one for one in rest if one in inside and one not in seen), None)
        if there is None:
            work.pop()
            yield node
        else:
            seen.add(there)
            work.append((there, iter(ways[there])))


def _between(
    nodes: Collection[str], waits: Mapping[str, Sequence[str]]
) -> dict[str, None]:
    """Those that are in or behind a cycle, in order: most graphs have none."""
    order, cycle = sort_topologically(list(nodes), waits)
    if not cycle:
        return {}
    free = set(order)
    return {node: None for node in nodes if node not in free}
