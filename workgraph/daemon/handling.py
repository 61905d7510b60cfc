"""From a chat to the handler that answers in it: its row, its plan, and its start.

A handler is an agent of the chat's task that holds no claim (docs/adr/0022). All of it
are rows before there is a process, as of every agent.
"""

from msgspec.structs import replace

from workgraph.agents.choices import (
    SHELL,
    Flags,
    Grounds,
    choose_account,
    choose_endpoint,
    choose_executor,
    choose_model,
    choose_working_dir,
)
from workgraph.agents.executor import goes_on, keeps_open
from workgraph.agents.plan import AgentFacts, plan_spawn
from workgraph.agents.streams.reader import client_home
from workgraph.agents.talk import HandlerKind, encode_interrupt
from workgraph.daemon.launching import Host, set_aside
from workgraph.daemon.orders import Hearing, Listen, Spawn
from workgraph.daemon.planned import add_agent
from workgraph.daemon.telling import compile_opening
from workgraph.graph.budgets import Reservation
from workgraph.graph.chats import Chat, ChatMessage
from workgraph.graph.model import Task, Usage
from workgraph.store import agent_reads, agents, chats, clients, prompts, reads
from workgraph.store.database import Tx


def handler_kind(grounds: Grounds, task: Task) -> HandlerKind:
    """How a chat is answered: by a command, a client kept open, or one for each turn.

    Raises:
        PlanError: Its executor is not there.
    """
    if task.spec.exec is not None:
        return "exec"
    _, executor = choose_executor(grounds, task, None, Flags())
    return "open" if keeps_open(executor) else "turn"


def launch_handler(tx: Tx, chat: Chat, head: ChatMessage | None, host: Host) -> Spawn:
    """Adds a handler's row with its frozen plan; from then on it holds the session.

    A client that runs once for each message has the head of the queue from here on.

    Args:
        tx: The transaction.
        chat: What is to be answered in; it has no handler.
        head: The first message that waits; only a client for each turn needs one.
        host: What plans are made from.

    Raises:
        PlanError: No plan can be made, or a budget has nothing left; nothing was
            written.
    """
    with tx.savepoint():
        return _launch(tx, chat, head, host)


def _launch(tx: Tx, chat: Chat, head: ChatMessage | None, host: Host) -> Spawn:
    task = reads.task(tx, chat.task)
    kind = handler_kind(host.grounds, task)
    aside = set_aside(tx, task, host)
    number, attempt = agents.next_agent(tx, task.id)
    session = "" if kind == "exec" else session_of_chat(chat, task, host.grounds)
    opening = None
    if kind != "open" or not session:
        opening = compile_opening(
            tx,
            chat,
            host.grounds,
            resumed=bool(session),
            message=head if kind == "turn" else None,
        )
    prompt = opening.text if opening is not None else ""
    facts = AgentFacts(
        id=f"agent-{number}",
        attempt=attempt,
        token=host.new_token(),
        folder=host.folder(number),
        session=session,
        new_session=host.new_session(),
        prompt=prompt,
        # its replies are seen while they are written
        metered=aside != Reservation() or kind == "open",
        kept_open=kind != "turn",
    )
    plan = plan_spawn(host.grounds, task=task, agent=facts)
    settings = host.grounds.layered.settings.agents
    planned = add_agent(tx, task, plan, facts, aside=aside, settings=settings)
    if opening is not None:
        prompts.keep(tx, number, opening)
    chats.set_handler(tx, chat.number, number)
    if kind == "turn" and head is not None:
        chats.deliver(tx, head.number, number)
    return Spawn(
        # what it says aloud are answers, whatever its stream is
        order=replace(planned.order, stderr_apart=True),
        line=planned.line,
        may_be_too_fast=plan.executor.value != SHELL,
        listen=listen_to_handler(tx, chat.number, kind, planned.live),
    )


def line_to_stop(tx: Tx, message: ChatMessage) -> bytes | None:
    """What the handler that has a message reads to end its turn, and to stay.

    Null where it can't be told: a command, and a client that runs once for each
    message, are ended. The session stays in any case.
    """
    if message.agent is None:
        return None
    agent = agent_reads.by_number(tx, message.agent)
    if agent.executor == SHELL or not clients.is_kept_open(tx, agent.number):
        return None
    return encode_interrupt(agent.number, message.number)


def listen_to_handler(
    tx: Tx, chat: int, kind: HandlerKind, live: clients.LiveStream, read: int = 0
) -> Listen:
    """What is to be followed of a handler: its stream, and what it answers.

    Args:
        tx: The transaction.
        chat: In which chat it answers.
        kind: How it answers.
        live: What it prints.
        read: How much of its output has been taken in before.
    """
    earlier = Usage()
    if live.resumed is not None:
        earlier = clients.usage_of_session(tx, live.resumed, live.agent)
    return Listen(
        stream=live.stream,
        earlier=earlier,
        since=live.started_at,
        home=client_home(live.stream, live.env),
        hearing=Hearing(kind=kind, chat=chat, read=read),
    )


def listens(tx: Tx) -> dict[int, Listen]:
    """What is to be followed of the handlers that an earlier daemon has started."""
    found = {}
    for one in clients.live_handlers(tx):
        kind: HandlerKind = "turn"
        if one.kept_open:
            kind = "exec" if one.live.stream == "text" else "open"
        chat = chats.of_handler(tx, one.live.agent)
        number = 0 if chat is None else chat.number
        found[one.live.agent] = listen_to_handler(tx, number, kind, one.live, one.read)
    return found


def session_of_chat(chat: Chat, task: Task, grounds: Grounds) -> str:
    """The session that the next handler goes on with; empty: a new one.

    A session belongs to a client, a login and a folder.
    """
    if chat.session is None:
        return ""
    chosen, executor = choose_executor(grounds, task, None, Flags())
    model = choose_model(grounds, task, None, Flags(), executor)
    endpoint, _ = choose_endpoint(grounds, task, Flags(), executor)
    account = choose_account(grounds.layered, executor, model.value, endpoint.value)
    here = (
        chosen.value,
        account.value,
        choose_working_dir(grounds.host, task).value,
    )
    there = (chat.session_executor, chat.session_account, chat.session_workspace)
    resumes = goes_on(executor, kept_open=keeps_open(executor))
    return chat.session if resumes and here == there else ""
