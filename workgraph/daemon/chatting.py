"""Chats in the tick: what the reconciler is shown, and what it decides made true."""

from collections.abc import Collection, Mapping
from typing import Final, assert_never

from msgspec.structs import replace

from workgraph.agents.choices import SHELL, PlanError, account_of, executor_of
from workgraph.agents.redact import redact
from workgraph.agents.talk import HandlerKind, encode_message
from workgraph.daemon.handling import handler_kind, launch_handler
from workgraph.daemon.launching import Host, OverBudgetError
from workgraph.daemon.orders import AwaitHost, Effect, StopProcess, WriteInput
from workgraph.daemon.telling import compile_turn
from workgraph.graph.chats import (
    ArchiveChat,
    Chat,
    ChatDecision,
    ChatsView,
    ChatView,
    DeliverMessage,
    SettleHandler,
    StartHandler,
    StopHandler,
)
from workgraph.graph.facts import ChatHeard
from workgraph.graph.holds import (
    AccountState,
    allowance,
    breaker_key,
    is_troubled,
)
from workgraph.graph.model import Outcome, Stop, StopThen, Task
from workgraph.graph.times import Duration, to_rfc3339
from workgraph.store import (
    accounts,
    agent_reads,
    agents,
    breakers,
    chats,
    reads,
    reconciling,
    service,
)
from workgraph.store.database import Tx

#: What keeps a chat back is looked at after a minute, then two, up to half an hour.
_FIRST_LOOK: Final = Duration(60)
_LAST_LOOK: Final = Duration(1800)
#: An account that is being tried is known again soon.
_SOON: Final = Duration(10)
_MAX_DOUBLINGS: Final = 10


def view(  # noqa: PLR0913 - what the graph does not know, all of it by keyword
    tx: Tx,
    host: Host,
    *,
    consumers: Mapping[int, int],
    inputs: Collection[int],
    found: Collection[int],
    may_start: bool,
) -> ChatsView:
    """The chats that may need something now, and until when the others rest.

    Most handlers that are there answer, or wait for somebody to say something: of them
    all a tick reads one row each, in one query.

    Args:
        tx: The transaction.
        host: What plans are made from.
        consumers: How many are connected to each chat, by its number.
        inputs: The agents that this daemon can write to.
        found: The agents whose ends were found at its start.
        may_start: Neither draining nor offline.
    """
    settings = host.grounds.layered.settings
    used = reconciling.Used(
        consumers=consumers,
        inputs=inputs,
        idle_after=settings.chat.idle_after,
        turn_limit=settings.agents.timeout,
    )
    needy = reconciling.needy(tx, used)
    if needy == reconciling.Needy():
        return ChatsView()
    return ChatsView(
        chats=tuple(
            ChatView(
                chat=one.chat,
                per_turn=_is_per_turn(host, one),
                consumers=consumers.get(one.chat.number, 0),
                queued=one.queued,
                head=one.head,
                handler=one.handler,
                has_input=one.handler is not None and one.handler.number in inputs,
                is_found=one.handler is not None and one.handler.number in found,
                has_node=one.node is not None,
            )
            for one in reconciling.look_up(tx, needy.due)
        ),
        rest_until=needy.rest_until,
        idle_after=used.idle_after,
        turn_limit=used.turn_limit,
        may_start=may_start and service.frozen_since(tx) is None,
    )


def carry_out(tx: Tx, decision: ChatDecision, host: Host) -> list[Effect]:
    """Makes a decision about a chat true."""
    chat = chats.by_number(tx, decision.chat)
    match decision:
        case StartHandler():
            return _start(tx, chat, host)
        case StopHandler():
            return [order_stop(tx, decision, host)]
        case DeliverMessage():
            return _deliver(tx, chat, decision, host)
        case SettleHandler():
            reconciling.settle(tx, chat, decision)
        case ArchiveChat():
            chats.archive(tx, chat, "workgraph", purged=False, reason=decision.reason)
        case _:
            assert_never(decision)
    return []


def note_heard(tx: Tx, fact: ChatHeard, host: Host) -> None:
    """Writes down what a handler has said, with how far that goes in its output."""
    secrets = host.grounds.secrets
    events = [
        event
        if event.kind == "session"
        else replace(event, text=redact(event.text, secrets))
        for event in fact.events
    ]
    agent = agent_reads.by_number(tx, fact.agent)
    reconciling.hear(tx, agent, fact.output_read, events)


def order_stop(tx: Tx, decision: StopHandler, host: Host) -> StopProcess:
    """Orders the end of a handler, and says what has to be done for it."""
    agent = agent_reads.by_number(tx, decision.agent)
    stop = Stop(then=StopThen.NOTHING, by="workgraph", reason=decision.reason)
    verdict = Outcome.TIMED_OUT if decision.is_late else None
    agents.order_stop(tx, agent, stop, verdict)
    return StopProcess(
        agent=agent.number,
        folder=host.folder(agent.number),
        process=agent.process,
        grace_s=float(host.grounds.layered.settings.agents.kill_grace),
        force=False,
    )


def _is_per_turn(host: Host, found: reconciling.Found) -> bool:
    """Whether the handler that is there, or the next one, runs once for a message."""
    if found.handler is not None:
        return not found.is_kept_open
    if found.node is None:
        return False
    try:
        return handler_kind(host.grounds, found.node) == "turn"
    except PlanError:
        return False  # its start says so


def _start(tx: Tx, chat: Chat, host: Host) -> list[Effect]:
    gap, head = _gap(chat), chats.head(tx, chat.number)
    task = reads.task(tx, chat.task)
    held = _held_by_executor(tx, task, host) or _held_by_account(
        tx, task, host, speaks=head is not None
    )
    awaited: list[Effect] = []
    if held is None:
        try:
            spawn = launch_handler(tx, chat, head, host)
        except PlanError as error:
            until = tx.now + gap
            if isinstance(error, OverBudgetError) and error.held.until is not None:
                until = error.held.until
            held = reconciling.Hold(
                problem=error.message, remedy=error.hint, until=until
            )
            awaited = [AwaitHost(awaited=error.awaits)] if error.awaits else []
        else:
            agent = spawn.order.agent
            reconciling.note_start(tx, chat, agent)
            if not spawn.order.keeps_input:
                chats.note_taken(tx, agent, taken=True)
            return [spawn]
    reconciling.hold(tx, chat, held)
    return awaited


def _held_by_executor(tx: Tx, task: Task, host: Host) -> reconciling.Hold | None:
    """What does not run for others is not tried for a chat before its time either."""
    name = executor_of(host.grounds, task, None)
    if task.spec.exec is not None or name is None:
        return None
    key = breaker_key(name)
    breaker = breakers.find(tx, (key,)).get(key)
    if breaker is None or breaker.opened_at is None:
        return None
    if breaker.until is None or breaker.until <= tx.now:
        return None
    return reconciling.Hold(
        problem=f"executor {name} is held back: its starts have failed, the last:"
        f" {breaker.reason}",
        remedy="mend it, then: wg service reload; or wait",
        until=breaker.until,
    )


def _held_by_account(
    tx: Tx, task: Task, host: Host, *, speaks: bool
) -> reconciling.Hold | None:
    """What an account keeps back is started when its moment has come.

    One that has nothing to answer would be no probe, and keep others from being one.
    """
    account = account_of(host.grounds, task, None)
    known = None if account is None else accounts.find(tx, (account,)).get(account)
    if known is None or not is_troubled(known):
        return None
    if speaks and allowance(known, accounts.live(tx, known), tx.now) != 0:
        return None
    until = known.until or 0
    # Another one tries it just now, or a few at a time are sent there.
    is_tried = until <= tx.now
    problem = f"account {known.key} is {known.state}"
    remedy = "wait: it is looked at again in a moment"
    if known.at_once is None:
        problem += f": {known.reason}" if known.reason else ""
        if known.state is AccountState.BROKEN:
            remedy = "log in, or mend its key; then: wg service reload"
        elif not is_tried:
            remedy = f"wait: it goes on by itself at {to_rfc3339(until)}"
    else:
        problem = f"account {known.key} answers again: a few at a time are sent there"
    return reconciling.Hold(
        problem=problem,
        remedy=remedy,
        until=tx.now + _SOON.micros if is_tried else until,
    )


def _gap(chat: Chat) -> int:
    doublings = min(chat.looks, _MAX_DOUBLINGS)
    return min(_FIRST_LOOK.micros << doublings, _LAST_LOOK.micros)


def _deliver(tx: Tx, chat: Chat, decision: DeliverMessage, host: Host) -> list[Effect]:
    message = chats.message(tx, decision.message)
    assert message is not None
    if not chats.deliver(tx, message.number, decision.agent):
        return []
    # It reads what it was started to read, whatever the chat's task says by now.
    handler = agent_reads.by_number(tx, decision.agent)
    kind: HandlerKind = "exec" if handler.executor == SHELL else "open"
    text = message.text
    if kind != "exec":
        text = compile_turn(tx, chat, message, host.grounds)
    data = encode_message(kind, message.number, text, decision.agent)
    return [WriteInput(agent=decision.agent, data=data)]
