"""The reactors as the tick runs them: each loads a view, decides, and applies.

A reactor is a coroutine that awaits nothing but its transaction, and everything in a
transaction happens at once in the database's thread; so it is driven to its end there,
with no loop (docs/adr/0002). The deciding is a plain function in `reactors/`.
"""

from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from msgspec import field
from msgspec.structs import replace

from workgraph.agents.choices import account_of, executor_of
from workgraph.commands import judging
from workgraph.commands.context import budget_limits, officials_of, retry_policy
from workgraph.daemon import apply, assigning, chatting, evolving
from workgraph.daemon.launching import Host
from workgraph.daemon.orders import Effect, ReadFiles, Spawn
from workgraph.graph.assigning import is_machinery, person_of
from workgraph.graph.decisions import (
    ClearTask,
    ConcludeAttempt,
    Decision,
    LaunchAgent,
    SetBreaker,
)
from workgraph.graph.errors import WorkgraphBug
from workgraph.graph.holds import SHELL_BREAKER, breaker_key
from workgraph.graph.model import Record, Task
from workgraph.graph.views import AssignView, DispatchView, Needs, Openings
from workgraph.reactors import (
    assign,
    budgets,
    chats,
    dispatch,
    evolve,
    gates,
    patrol,
    reward,
)
from workgraph.store import budgets as store_budgets
from workgraph.store import reads, service, trajectories, views
from workgraph.store.database import Tx
from workgraph.store.moments import Anchor

T = TypeVar("T")

#: `views.patrol` and `views.dispatch` may have left some for the next tick.
_MANY: Final = 100

#: The order in which reactors run in a tick. Later ones see what earlier ones did.
ORDER: Final = (
    "patrol",
    "chats",
    "budgets",
    "gates",
    "assign",
    "reward",
    "evolve",
    "dispatch",
)


class Surroundings(Record, frozen=True, kw_only=True):
    """What reactors are given besides the transaction and the time."""

    host: Host
    max_agents: int
    may_start: bool
    judging: frozenset[str]
    #: Agents whose output is being looked at.
    looking: frozenset[int]
    #: Paths that are looked out for.
    watching: frozenset[str] = frozenset()
    #: Tasks for whose prompts files are being read, and what their starts need.
    fetching: Mapping[str, Needs] = field(default_factory=dict)
    #: How many are connected to each chat, by its number.
    consumers: Mapping[int, int] = field(default_factory=dict)
    #: Handlers that can be written to.
    inputs: frozenset[int] = frozenset()
    #: Agents whose ends were found when this daemon started.
    found: frozenset[int] = frozenset()
    #: How the clock stands, where that is not known to the graph yet.
    anchor: Anchor | None = None


class Outcomes(Record, frozen=True, kw_only=True):
    """What a reactor has done in its savepoint."""

    effects: tuple[Effect, ...] = ()
    #: Agents that were concluded.
    concluded: tuple[int, ...] = ()
    #: It has decided something, so there may be more to decide.
    busy: bool = False
    #: When time alone makes something due that no row says.
    wake_at: int | None = None


class Reactor(Record, frozen=True, kw_only=True):
    """A reactor: `load` shows it the graph, `decide` is pure."""

    name: str
    load: Callable[[Tx, Surroundings], Any]
    decide: Callable[[Any, int], Sequence[Decision]]
    #: When time alone could change what it decides, where no row says that.
    wake_at: Callable[[Any, int], int | None] = lambda _view, _now: None

    async def react(self, tx: Tx, now: int, around: Surroundings) -> Outcomes:
        """Decides, and makes it true in this transaction."""
        view = self.load(tx, around)
        decisions = self.decide(view, now)
        wake_at = self.wake_at(view, now)
        if not decisions:
            return Outcomes(wake_at=wake_at)
        effects: list[Effect] = []
        with tx.savepoint():
            for decision in decisions:
                if _goes_behind(tx, decision, effects, around.host):
                    continue
                effects.extend(apply.apply_decision(tx, decision, around.host))
        return Outcomes(
            effects=tuple(_with_needs(tx, one, around.host) for one in effects),
            concluded=tuple(
                decision.agent
                for decision in decisions
                if isinstance(decision, ConcludeAttempt)
            ),
            busy=_is_more_likely(
                decisions,
                sum(isinstance(effect, Spawn) for effect in effects),
                is_reading=any(isinstance(effect, ReadFiles) for effect in effects),
            ),
            wake_at=wake_at,
        )


def _goes_behind(
    tx: Tx, decision: Decision, effects: Sequence[Effect], host: Host
) -> bool:
    """Whether a decision has to wait for a start whose files are read first.

    Another start would take what is left of a budget that both are under; a breaker
    would count a start that has not come yet, and not let it through when it does.
    """
    read = [effect.task for effect in effects if isinstance(effect, ReadFiles)]
    match decision:
        case LaunchAgent() if read:
            return decision.task.spec.exec is None and _has_common_budget(host)
        case SetBreaker() if read:
            tasks = (reads.task(tx, task) for task in read)
            keys = {_needs_of(tx, task, host).executor for task in tasks}
            return decision.breaker.key in keys
        case _:
            return False


def _has_common_budget(host: Host) -> bool:
    budget = host.grounds.layered.settings.budget
    return bool(budget.tokens_per_day or budget.usd_per_day)


def _is_more_likely(
    decisions: Sequence[Decision], spawns: int, *, is_reading: bool
) -> bool:
    """Whether another tick may find more to decide.

    Not after ends and starts alone, which are most of all decisions: those reactors
    that care come later in the same tick. A launch that parked its task has left a
    slot free, and many decisions may be a batch that was cut.
    """
    cleared = sum(isinstance(decision, ClearTask) for decision in decisions)
    if cleared == len(decisions):
        return False
    launches = sum(isinstance(decision, LaunchAgent) for decision in decisions)
    if is_reading:
        # What goes behind them is looked at again when the files are there.
        spawns = launches
    ends = sum(isinstance(decision, ConcludeAttempt) for decision in decisions)
    return (
        launches + ends < len(decisions) or spawns < launches or len(decisions) >= _MANY
    )


def _needs_of(tx: Tx, task: Task, host: Host) -> Needs:
    if task.spec.exec:
        return Needs(executor=SHELL_BREAKER)
    cleared = host.slate.find(task.id)
    if cleared is not None:
        actor = host.slate.actors.get(cleared.actor or "")
    else:
        name = trajectories.actor_for(tx, task.id, task.actor)
        actor = service.actor_by_name(tx, name)
    executor = executor_of(host.grounds, task, actor)
    return Needs(
        executor=None if executor is None else breaker_key(executor),
        account=account_of(host.grounds, task, actor),
    )


def _with_needs(tx: Tx, effect: Effect, host: Host) -> Effect:
    if not isinstance(effect, ReadFiles):
        return effect
    return replace(effect, needs=_needs_of(tx, reads.task(tx, effect.task), host))


def _openings(tx: Tx, around: Surroundings) -> Openings:
    """What could be started; those whose files are being read have a slot already."""
    settings = around.host.grounds.layered.settings
    found = views.openings(
        tx, around.max_agents, officials_of(settings), may_start=around.may_start
    )
    if not around.fetching:
        return found
    behind = _has_common_budget(around.host)
    return replace(
        found,
        free_slots=max(0, found.free_slots - len(around.fetching)),
        candidates=tuple(
            task
            for task in found.candidates
            if task.id not in around.fetching and (task.spec.exec or not behind)
        ),
    )


def _load_assign(tx: Tx, around: Surroundings) -> AssignView:
    slate = around.host.slate
    slate.openings = _openings(tx, around)
    seen = assigning.view(tx, slate.openings, around.host.grounds)
    slate.actors = {actor.name: actor for actor in seen.cast.actors}
    return seen


def _load_dispatch(tx: Tx, around: Surroundings) -> DispatchView:
    """What `assign` has cleared; where it has failed, what needed nobody chosen."""
    slate = around.host.slate
    openings = slate.openings
    if openings is None or slate.decided_after != len(tx.changes):
        openings = _openings(tx, around)
    cleared = slate.among(openings.candidates)
    if not slate.is_decided:
        cleared = tuple(
            task
            for task in openings.candidates
            if person_of(task) is not None or is_machinery(task)
        )
    view = views.dispatch(
        tx,
        replace(openings, candidates=cleared),
        {task.id: _needs_of(tx, task, around.host) for task in cleared},
        retry_policy(around.host.grounds.layered.settings).max_starts,
    )
    return _beside(view, around.fetching.values()) if around.fetching else view


def _beside(view: DispatchView, begun: Iterable[Needs]) -> DispatchView:
    """With those whose files are being read among those that were started."""
    young, live = Counter(view.young), Counter(view.on_account)
    for needs in begun:
        young.update([needs.executor] if needs.executor is not None else ())
        live.update([needs.account] if needs.account is not None else ())
    return replace(view, young=young, on_account=live)


def run_to_end(coroutine: Coroutine[Any, Any, T]) -> T:
    """Drives a coroutine that awaits nothing, without a loop.

    Raises:
        WorkgraphBug: It awaits something after all.
    """
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    coroutine.close()
    raise WorkgraphBug("a reactor has awaited something that is not its transaction")


class Assigner(Reactor, frozen=True, kw_only=True):
    """Dispatch goes by what it has decided, whole, or not at all."""

    async def react(self, tx: Tx, now: int, around: Surroundings) -> Outcomes:
        """As every reactor's; then it is known that all is decided."""
        outcomes = await super().react(tx, now, around)
        around.host.slate.decided_after = len(tx.changes)
        return outcomes


REACTORS: Final = (
    Reactor(
        name="patrol",
        load=lambda tx, around: views.patrol(
            tx,
            retry_policy(around.host.grounds.layered.settings),
            around.looking,
            around.watching if around.may_start else None,
        ),
        decide=patrol.decide,
    ),
    Reactor(
        name="chats",
        load=lambda tx, around: chatting.view(
            tx,
            around.host,
            consumers=around.consumers,
            inputs=around.inputs,
            found=around.found,
            may_start=around.may_start,
        ),
        decide=chats.decide,
        wake_at=chats.wake_at,
    ),
    Reactor(
        name="budgets",
        load=lambda tx, around: store_budgets.view(
            tx, budget_limits(around.host.grounds.layered.settings), budgets.SHARES
        ),
        decide=budgets.decide,
    ),
    Reactor(
        name="gates",
        load=lambda tx, around: views.gates(
            tx, around.judging, may_start=around.may_start
        ),
        decide=gates.decide,
    ),
    Assigner(
        name="assign",
        load=_load_assign,
        decide=assign.decide,
    ),
    Reactor(
        name="reward",
        load=lambda tx, around: judging.load(tx, around.host.grounds.layered.settings),
        decide=reward.decide,
    ),
    Reactor(
        name="evolve",
        load=lambda tx, around: evolving.load(tx, around.host.grounds.layered.settings),
        decide=evolve.decide,
    ),
    Reactor(
        name="dispatch",
        load=_load_dispatch,
        decide=dispatch.decide,
    ),
)
