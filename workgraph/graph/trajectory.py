"""Which tasks one actor could do one after another with the least new context.

A trajectory is an order of tasks that begins with a given one. It is

- *topological*: what a step waits for is met, or is an earlier step;
- *convex*: no task outside of it lies between two of its steps. The smallest convex set
  around some nodes of a directed acyclic graph is what lies both below and above them
  (an interval closure of the partial order; Birkhoff, *Lattice Theory*, ch. I), so a
  set is convex when `below & above` of it has nothing besides. Sets of nodes are bits
  of integers here, so that this is a few machine words at a time;
- *justified*: each step but the first is given something that is there already: an
  input or context file of an earlier step, what an earlier step makes, or what a task
  has concluded that an earlier step was or was told of;
- *bounded*: in length, and in the sum of what is new with each step.

What is optimised is the context that need not be given again: the sum, over all steps,
of the estimated tokens of what is there already. For the same sum the less in tokens
is better, then what dispatch would take first. As each further step adds to that sum,
the best trajectory is as long as it may be.

How: dynamic programming over sets of tasks, a step at a time, as Held and Karp do it
for sequencing problems (*A dynamic programming approach to sequencing problems*, 1962):
of all orders of the same set only the best is kept. Every beginning of a trajectory in
the sense above is one itself, so none is missed. There can be exponentially many sets,
so of each length the best `WIDTH` go on: a beam search (Lowerre, *The Harpy speech
recognition system*, 1976). Where there are never more sets than that the result is the
best there is; otherwise a good one. With a width of 1 it would be the greedy choice.

Tokens are estimated as in prompts (`graph/tokens.py`), and files are not read: what has
no known size counts as a middling file. All of it is pure.
"""

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from workgraph.graph.inputs import split_reference
from workgraph.graph.model import Record, Task
from workgraph.graph.tokens import estimate
from workgraph.graph.topology import sort_topologically

#: How many steps a trajectory has at most.
MOST_STEPS: Final = 8
#: How many sets of tasks of each length are followed further.
WIDTH: Final = 16

#: What a task is given or makes: `path`, `artifact` or `task`, and its name.
Item = tuple[str, str]


class Candidate(Record, frozen=True, kw_only=True):
    """A task that could be a step."""

    id: str
    #: Where it stands in the order of dispatch.
    order: tuple[int, int, int]
    #: The tokens of its own texts.
    own: int
    #: What it is given besides these.
    items: tuple[Item, ...] = ()
    #: The paths that it promises.
    outputs: tuple[str, ...] = ()
    #: Its dependencies that are not met.
    waits_for: tuple[str, ...] = ()
    #: What a session is tied to: executor, model, endpoint, folder.
    kind: tuple[str | None, ...] = ()


class Region(Record, frozen=True, kw_only=True):
    """A part of the graph: candidates, and all that could lie between them."""

    candidates: Mapping[str, Candidate]
    #: Of each task of the region what it waits for, met or not. What is only named
    #: here is known to lie below no candidate.
    after: Mapping[str, tuple[str, ...]]
    #: The tokens of each item.
    tokens: Mapping[Item, int]
    #: Tasks of which not all is known: nothing above or below them is taken.
    unknown: frozenset[str] = frozenset()


class Bounds(Record, frozen=True, kw_only=True):
    """How far a search goes."""

    #: The sum of tokens that may not be passed.
    limit: int
    #: How many steps there may be.
    most: int = MOST_STEPS
    #: Each step has to wait for the one before it.
    chained: bool = False
    #: How many sets of each length are followed further.
    width: int = WIDTH


class Step(Record, frozen=True, kw_only=True):
    """A task of a trajectory, and what it is given."""

    task: str
    #: What is new, by name.
    receives: tuple[str, ...]
    #: What is there already.
    shares: tuple[str, ...]
    #: Of what is new, its own texts included.
    tokens: int


class Trajectory(Record, frozen=True, kw_only=True):
    """Steps in order, and the sums over them."""

    steps: tuple[Step, ...]
    #: Of all that is new.
    tokens: int
    #: Of all that is there already.
    saved: int

    @property
    def tasks(self) -> tuple[str, ...]:
        """The ids of its steps."""
        return tuple(step.task for step in self.steps)


class Refusal(Record, frozen=True, kw_only=True):
    """Why tasks are no trajectory, and what would be one."""

    message: str
    hint: str


def candidate_of(
    task: Task, after: Iterable[str], waits_for: Iterable[str]
) -> Candidate:
    """A task as a candidate.

    Args:
        task: The task.
        after: All that it depends on.
        waits_for: What of that is not met.
    """
    spec = task.spec
    texts = "\n".join((spec.title, spec.description, spec.prompt or ""))
    items: dict[Item, None] = {}
    for reference in spec.inputs:
        items[item_of(reference)] = None
    for path in spec.context_files:
        items["path", posixpath.normpath(path)] = None
    for dependency in sorted(after):
        items["task", dependency] = None
    return Candidate(
        id=task.id,
        order=(task.priority, -task.chain, task.seq),
        own=estimate(len(texts.encode())),
        items=tuple(items),
        outputs=tuple(posixpath.normpath(path) for path in spec.outputs),
        waits_for=tuple(sorted(waits_for)),
        kind=(
            "exec" if spec.exec is not None else None,
            spec.executor,
            spec.model,
            spec.endpoint,
            spec.working_dir,
        ),
    )


def item_of(reference: str) -> Item:
    """An input as an item: `task:name` is an artifact, anything else a path."""
    if split_reference(reference) is not None:
        return ("artifact", reference)
    return ("path", posixpath.normpath(reference))


def find_trajectory(region: Region, start: str, bounds: Bounds) -> Trajectory | None:
    """The best trajectory that begins with a task; null where that one does not fit."""
    first = region.candidates.get(start)
    if first is None or first.waits_for:
        return None
    maps = _Maps(region)
    pool = [
        each
        for each in sorted(region.candidates.values(), key=lambda one: one.order)
        if each.kind == first.kind and each.id != start
    ]
    begun = maps.extended(None, first)
    if begun.tokens > bounds.limit:
        return None
    best, beam = begun, [begun]
    for _ in range(bounds.most - 1):
        found: dict[tuple[int, str], _State] = {}
        for state in beam:
            for each in pool:
                if bounds.chained and state.order[-1] not in each.waits_for:
                    continue
                longer = maps.step(state, each, bounds.limit)
                if longer is None:
                    continue
                key = (longer.members, each.id if bounds.chained else "")
                known = found.get(key)
                if known is None or longer.rank < known.rank:
                    found[key] = longer
        if not found:
            break
        beam = sorted(found.values(), key=lambda state: state.rank)[: bounds.width]
        best = min(best, beam[0], key=lambda state: state.rank)
    return maps.told(best.order)


def check_trajectory(
    region: Region, tasks: Sequence[str], *, limit: int
) -> Trajectory | Refusal:
    """Whether these tasks, in this order, are a trajectory within the limit.

    Sharing is not asked for: who names tasks has a reason.
    """
    earlier: set[str] = set()
    for task in tasks:
        waits = [one for one in region.candidates[task].waits_for if one not in earlier]
        if waits:
            return _out_of_order(region, tasks, task, waits[0])
        earlier.add(task)
    maps = _Maps(region)
    gap = maps.between(tasks) if len(tasks) > 1 else None
    if gap is not None:
        return _not_convex(region, tasks, gap)
    told = maps.told(tasks)
    if told.tokens > limit:
        return _too_large(told, limit)
    return told


class _State(Record, frozen=True, kw_only=True, gc=False):
    """The beginning of a trajectory."""

    order: tuple[str, ...]
    places: tuple[tuple[int, int, int], ...]
    members: int
    #: All above, and all below, of its members.
    above: int
    below: int
    #: The items that are there.
    there: int
    tokens: int
    saved: int

    @property
    def rank(self) -> tuple[int, int, tuple[tuple[int, int, int], ...]]:
        """The least is the best."""
        return (-self.saved, self.tokens, self.places)


class _Maps:
    """A region in bits: a place for each task, and one for each item."""

    def __init__(self, region: Region) -> None:
        self._region = region
        nodes = sorted(region.after.keys() | region.candidates.keys())
        order, _ = sort_topologically(nodes, region.after)
        self._names = order
        self._bit = {node: 1 << place for place, node in enumerate(order)}
        self._above: dict[str, int] = {}
        for node in order:
            found = 0
            for dep in region.after.get(node, ()):
                if dep in self._bit:
                    found |= self._bit[dep] | self._above[dep]
            self._above[node] = found
        self._below = dict.fromkeys(order, 0)
        for node in reversed(order):
            here = self._bit[node] | self._below[node]
            for dep in region.after.get(node, ()):
                if dep in self._bit:
                    self._below[dep] |= here
        self._unknown = self._mask(region.unknown)
        self._items: dict[Item, int] = {}
        given = {item for one in region.candidates.values() for item in one.items}
        for place, item in enumerate(sorted(given)):
            self._items[item] = 1 << place
        self._made_by: dict[str, int] = {}
        for item in sorted(given):
            kind, name = item
            maker = name.partition(":")[0] if kind == "artifact" else name
            if kind != "path":
                self._made_by[maker] = self._made_by.get(maker, 0) | self._items[item]

    def step(self, state: _State, each: Candidate, limit: int) -> _State | None:
        """A beginning with one more step, or null where that is no trajectory."""
        bit = self._bit[each.id]
        if state.members & bit:
            return None
        if any(not self._bit.get(one, 0) & state.members for one in each.waits_for):
            return None
        longer = self.extended(state, each)
        if longer.tokens > limit or longer.saved == state.saved:
            return None
        if self._gap(longer.members, longer.above, longer.below):
            return None
        return longer

    def extended(self, state: _State | None, each: Candidate) -> _State:
        """A beginning with one more step, whatever it is."""
        there = state.there if state else 0
        new, old = each.own, 0
        for item in each.items:
            tokens = self._region.tokens.get(item, 0)
            if there & self._items[item]:
                old += tokens
            else:
                new += tokens
        left = self._made_by.get(each.id, 0)
        for path in each.outputs:
            left |= self._items.get(("path", path), 0)
        for item in each.items:
            left |= self._items[item]
        return _State(
            order=((*state.order, each.id) if state else (each.id,)),
            places=((*state.places, each.order) if state else (each.order,)),
            members=(state.members if state else 0) | self._bit[each.id],
            above=(state.above if state else 0) | self._above[each.id],
            below=(state.below if state else 0) | self._below[each.id],
            there=there | left,
            tokens=(state.tokens if state else 0) + new,
            saved=(state.saved if state else 0) + old,
        )

    def told(self, tasks: Sequence[str]) -> Trajectory:
        """A trajectory with what each step is given."""
        state: _State | None = None
        steps = []
        for task in tasks:
            each = self._region.candidates[task]
            there = state.there if state else 0
            before = state.tokens if state else 0
            state = self.extended(state, each)
            is_there = [bool(there & self._items[item]) for item in each.items]
            steps.append(
                Step(
                    task=task,
                    receives=tuple(_named(each.items, is_there, wanted=False)),
                    shares=tuple(_named(each.items, is_there, wanted=True)),
                    tokens=state.tokens - before,
                )
            )
        assert state is not None
        return Trajectory(steps=tuple(steps), tokens=state.tokens, saved=state.saved)

    def between(self, tasks: Sequence[str]) -> str | None:
        """A task outside of these that lies between two of them."""
        above = below = 0
        for task in tasks:
            above |= self._above[task]
            below |= self._below[task]
        gap = self._gap(self._mask(tasks), above, below)
        return self._names[(gap & -gap).bit_length() - 1] if gap else None

    def _gap(self, members: int, above: int, below: int) -> int:
        """What lies between the members, and what may."""
        return (above & below & ~members) | ((above | members) & self._unknown)

    def _mask(self, tasks: Iterable[str]) -> int:
        found = 0
        for task in tasks:
            found |= self._bit.get(task, 0)
        return found


def _named(
    items: Sequence[Item], is_there: Sequence[bool], *, wanted: bool
) -> Iterator[str]:
    return (
        name
        for (_, name), there in zip(items, is_there, strict=True)
        if there is wanted
    )


def _out_of_order(region: Region, tasks: Sequence[str], task: str, dep: str) -> Refusal:
    if dep in tasks:
        waits = {one: region.candidates[one].waits_for for one in tasks}
        order, _ = sort_topologically(tasks, waits)
        return Refusal(
            message=f"{task} waits for {dep}, which comes after it",
            hint=f"in this order: {' '.join(order)}",
        )
    return Refusal(
        message=f"{task} waits for {dep}, which is not done and not among them",
        hint=f"name {dep}, too, before {task}; or wait until it is done",
    )


def _not_convex(region: Region, tasks: Sequence[str], gap: str) -> Refusal:
    if gap in region.unknown:
        return Refusal(
            message=f"too much lies above {gap} to tell whether they belong together",
            hint="name fewer tasks",
        )
    return Refusal(
        message=f"{gap} lies between them, and is not among them",
        hint=f"name {gap}, too; or end before what waits for it"
        f" ({', '.join(one for one in tasks if gap in region.after.get(one, ()))})",
    )


def _too_large(told: Trajectory, limit: int) -> Refusal:
    fits: list[str] = []
    tokens = 0
    for step in told.steps:
        if tokens + step.tokens > limit:
            break
        fits.append(step.task)
        tokens += step.tokens
    what = f"{' '.join(fits)} would fit, with {tokens}" if fits else "none would fit"
    return Refusal(
        message=f"they are {told.tokens} tokens, and at most {limit} may be", hint=what
    )
