"""The transaction of a tick: facts written down, then the reactors in their order."""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from workgraph.daemon import apply
from workgraph.daemon.launching import Host
from workgraph.daemon.orders import Effect
from workgraph.daemon.reactors import REACTORS, Outcomes, Surroundings, run_to_end
from workgraph.daemon.slate import Slate
from workgraph.graph.facts import Fact, FilesRead
from workgraph.graph.model import Record
from workgraph.store import moments, views, waits
from workgraph.store.database import Tx
from workgraph.store.failures import is_of_the_machine


class TickResult(Record, frozen=True, kw_only=True):
    """What a tick has done."""

    effects: tuple[Effect, ...]
    concluded: tuple[int, ...]
    #: The next moment at which something is due.
    wake_at: int | None
    busy: bool
    failed: dict[str, str]
    #: Facts that could not be written down; they are tried again.
    unwritten: tuple[Fact, ...] = ()


def _write_facts(
    tx: Tx, facts: Sequence[Fact], host: Host, failed: dict[str, str]
) -> list[Fact]:
    """Writes down what the world has answered; gives those that can't be written."""
    try:
        with tx.savepoint():
            for fact in facts:
                apply.apply_fact(tx, fact, host)
    except Exception as error:
        if is_of_the_machine(error) or not tx.is_open:
            raise
    else:
        return []
    unwritten: list[Fact] = []
    # One by one, so that those that can be written are.
    for fact in facts:
        try:
            with tx.savepoint():
                apply.apply_fact(tx, fact, host)
        except Exception as error:
            if is_of_the_machine(error) or not tx.is_open:
                raise
            failed["facts"] = f"{type(fact).__name__}: {error!r}"
            unwritten.append(fact)
    return unwritten


def _may_wake(tx: Tx, failed: Mapping[str, str]) -> bool:
    """Whether a task has settled in this tick that others wait for."""
    return "patrol" not in failed and waits.is_any_due(tx)


def _with_files(around: Surroundings, facts: Sequence[Fact]) -> Surroundings:
    """What was read for prompts is used in this tick or not at all."""
    read = [fact.files for fact in facts if isinstance(fact, FilesRead)]
    if not read:
        return around
    files = {wish: text for one in read for wish, text in one.items()}
    return replace(around, host=replace(around.host, files=files))


def _earliest(tx: Tx, outcomes: Sequence[Outcomes]) -> int | None:
    """The first moment that a row names, or a reactor."""
    moments = [views.next_moment(tx), *(outcome.wake_at for outcome in outcomes)]
    return min((moment for moment in moments if moment is not None), default=None)


def tick(tx: Tx, facts: Sequence[Fact], around: Surroundings) -> TickResult:
    """The transaction of a tick. A reactor that raises contributes nothing to it.

    A database that can't be written fails all of it: no part may stand alone.
    """
    failed: dict[str, str] = {}
    if around.anchor is not None:
        moments.follow_clock(tx, around.anchor)
    unwritten = _write_facts(tx, facts, around.host, failed)
    host = replace(around.host, slate=Slate())
    around = _with_files(replace(around, host=host), facts)
    outcomes: list[Outcomes] = []
    for reactor in REACTORS:
        try:
            outcomes.append(run_to_end(reactor.react(tx, tx.now, around)))
        except Exception as error:
            if is_of_the_machine(error) or not tx.is_open:
                raise
            failed[reactor.name] = repr(error)
    return TickResult(
        effects=tuple(effect for outcome in outcomes for effect in outcome.effects),
        concluded=tuple(n for outcome in outcomes for n in outcome.concluded),
        wake_at=_earliest(tx, outcomes),
        busy=any(outcome.busy for outcome in outcomes) or _may_wake(tx, failed),
        failed=failed,
        unwritten=tuple(unwritten),
    )
