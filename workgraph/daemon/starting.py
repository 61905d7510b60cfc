"""`wg spawn`, `plan`, `context`: what is started or would be, and what it is told."""

import os
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

import anyio.to_thread
from msgspec.structs import replace

from workgraph.agents.choices import PlanError, choose_executor
from workgraph.agents.plan import Flags, SpawnPlan, before_the_claim, plan_spawn
from workgraph.agents.planned import visible
from workgraph.commands import shapes
from workgraph.commands.chat_tasks import refuse_work
from workgraph.commands.context import Caller, Context
from workgraph.daemon import freezing, launching
from workgraph.daemon.assigning import choose_now
from workgraph.daemon.engine import Engine
from workgraph.daemon.fetching import read_files
from workgraph.daemon.handling import handler_kind, session_of_chat
from workgraph.daemon.hiding import hide_secrets
from workgraph.daemon.launching import Host
from workgraph.daemon.orders import Spawn
from workgraph.daemon.prompting import FilesWantedError, compile_prompt, draft_prompt
from workgraph.daemon.slate import Slate
from workgraph.daemon.startable import check_no_person, check_startable
from workgraph.daemon.telling import preview_opening
from workgraph.graph import requests as r
from workgraph.graph.chats import Chat
from workgraph.graph.context_view import Compiled, Files, FileText, KeptPrompt
from workgraph.graph.errors import (
    ConflictError,
    NeedsDaemonError,
    NotFoundError,
    UserError,
)
from workgraph.graph.model import Actor, Agent, Task
from workgraph.graph.prompt_requests import BlockData, ContextData, GetContext
from workgraph.graph.replies import Reply
from workgraph.store import (
    agent_reads,
    artifacts,
    chats,
    prompts,
    reads,
)
from workgraph.store.database import Tx
from workgraph.store.identities import find_actor

T = TypeVar("T")

#: How often files are read for one request, as the task may be edited meanwhile.
_TRIES: Final = 5
_HIDDEN: Final = FileText(problem="it is not shown to an agent in a sandbox")
_MOST_PROMPT: Final = 8 * 1024 * 1024


class Starting:
    """Answers what is about the start of an agent.

    Args:
        engine: The engine.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def spawn(self, request: r.SpawnAgent, caller: Caller) -> Reply:
        """Starts an agent by the same path as the dispatcher, whatever the slots."""
        if not self._engine.mode.is_daemon:
            await self._engine.read(lambda c: _check_there(c.tx, request), caller)
            raise needs_daemon("to start an agent")

        def start(host: Host, context: Context) -> tuple[int, Spawn]:
            tx = context.tx
            task = reads.task(tx, request.task or "")
            refuse_work(tx, request)
            freezing.check_not_frozen(tx, f"{task.id} can't be started")
            check_startable(context, task)
            task, actor, slate = _for_whom(context, task, request.actor, host)
            if request.actor is None or (actor is not None and actor.human):
                check_no_person(tx, task, actor)
            own = replace(host, slate=slate)
            return launching.launch(tx, task, actor, _flags(request), own)

        number, spawn = await self._with_files(start, caller)
        self._engine.perform([spawn])
        return await self._engine.read(
            lambda c: Reply(
                data=shapes.agent_data(agent_reads.by_number(c.tx, number))
            ),
            caller,
        )

    async def plan(self, request: r.GetPlan, caller: Caller) -> Reply:
        """The plan that would be used; starts nothing."""

        def plan(host: Host, context: Context) -> Reply:
            grounds = host.grounds
            task = reads.task(context.tx, request.task or "")
            if (chat := chats.of_task(context.tx, task.id)) is not None:
                return Reply(data=visible(_plan_of(chat, task, request, host)))
            task, actor = _preview(context, task, request.actor, host)
            flags = _flags(request)
            session = launching.session_to_go_on(
                context.tx, task, actor, flags, grounds
            )
            made = plan_spawn(
                grounds,
                task=task,
                actor=actor,
                flags=flags,
                inputs=artifacts.inputs_of(context.tx, task),
                agent=before_the_claim(grounds.host, session),
                preview=True,
            )
            _, executor = choose_executor(grounds, task, actor, flags)
            draft = draft_prompt(context.tx, task, actor, executor, grounds, session)
            try:
                compile_prompt(draft, grounds, host.files)
            except PlanError as error:
                made = replace(made, problems=(*made.problems, error.message))
            return Reply(data=visible(made))

        return await self._with_files(plan, caller, reads_only=True)

    async def context(self, request: GetContext, caller: Caller) -> Reply:
        """What the next attempt would be told, or what one was told."""
        if request.agent is not None:
            return await self._given(request, request.agent, caller)

        def compile_now(host: Host, context: Context) -> Compiled:
            tx, grounds = context.tx, host.grounds
            task = reads.task(tx, request.task or "")
            if (chat := chats.of_task(tx, task.id)) is not None:
                return _for_a_chat(tx, chat, task, host)
            task, actor = _preview(context, task, request.actor, host)
            flags = Flags(actor=request.actor)
            _, executor = choose_executor(grounds, task, actor, flags)
            session = launching.session_to_go_on(tx, task, actor, flags, grounds)
            draft = draft_prompt(tx, task, actor, executor, grounds, session)
            return compile_prompt(draft, grounds, host.files)

        agent = caller.agent
        made = await self._with_files(
            compile_now,
            caller,
            reads_only=True,
            # What is outside of its sandbox is not read for it.
            is_hidden=agent is not None
            and agent.sandbox is not None
            and agent.task != request.task,
        )
        return Reply(data=_context_data(request.task or "", made, made.text))

    async def _given(self, request: GetContext, agent_id: str, caller: Caller) -> Reply:
        def find(context: Context) -> tuple[Agent, KeptPrompt | None]:
            agent = agent_reads.by_id(context.tx, agent_id)
            if request.task is not None and agent.task != request.task:
                raise NotFoundError(
                    f"{agent.id} has worked on {agent.task}, not on {request.task}",
                    hint=f"wg context {agent.task} --agent {agent.id}",
                )
            return agent, prompts.find(context.tx, agent.number)

        agent, kept = await self._engine.read(find, caller)
        if agent.human:
            raise UserError(
                f"{agent.id} is a person's claim: it was told nothing",
                hint=f"wg context {agent.task}",
            )
        folder = self._engine.effects.folder(agent.number)
        text = await anyio.to_thread.run_sync(_read_prompt, folder)
        notes = [] if text is not None else [f"the prompt of {agent.id} is gone"]
        if kept is None:
            notes.append(f"the blocks of the prompt of {agent.id} are not known")
            kept = KeptPrompt(limit=0, tokens=0)
        hidden = hide_secrets(self._engine.host.grounds)(text) if text else text
        data = _context_data(agent.task, kept, hidden)
        return Reply(data=replace(data, agent=agent.id), notes=tuple(notes))

    async def _with_files(
        self,
        job: Callable[[Host, Context], T],
        caller: Caller,
        *,
        reads_only: bool = False,
        is_hidden: bool = False,
    ) -> T:
        """Does what may need files, which are read before its transaction.

        Args:
            job: It is given a host with the files that were read for it.
            caller: Who asks.
            reads_only: It changes nothing.
            is_hidden: Whoever asks may not see what is in files.
        """
        files: Files = {}
        for _ in range(_TRIES):
            host = replace(self._engine.host, files=files)
            try:
                return await self._engine.ask(
                    partial(job, host), caller, reads=reads_only
                )
            except FilesWantedError as error:
                if is_hidden:
                    files = dict.fromkeys(error.wishes, _HIDDEN)
                else:
                    env = host.grounds.host.env
                    files = await read_files(error.wishes, env=env)
        raise ConflictError("the task is being changed", hint="try again")


def _check_there(tx: Tx, request: r.SpawnAgent) -> None:
    """What a daemon could not start either is said without one."""
    reads.task(tx, request.task or "")
    refuse_work(tx, request)


def needs_daemon(what: str) -> NeedsDaemonError:
    """The error for what can't be done without a daemon."""
    return NeedsDaemonError(
        f"a daemon is needed {what}, and none is running", hint="wg service start"
    )


def _context_data(
    task: str, made: Compiled | KeptPrompt, text: str | None
) -> ContextData:
    return ContextData(
        task=task,
        limit=made.limit,
        tokens=made.tokens,
        text=text,
        blocks=tuple(
            BlockData(
                name=one.name,
                source=one.source,
                tokens=one.tokens,
                cut=one.cut,
                sha256=one.sha256,
                whole=one.whole,
            )
            for one in made.blocks
        ),
    )


def _read_prompt(folder: str) -> str | None:
    try:
        with open(os.path.join(folder, "prompt.md"), "rb") as file:
            return file.read(_MOST_PROMPT).decode("utf-8", "replace")
    except OSError:
        return None


def _flags(request: r.PlanOptions) -> Flags:
    return Flags(
        executor=request.executor,
        model=request.model,
        endpoint=request.endpoint,
        actor=request.actor,
    )


def _for_whom(
    context: Context, task: Task, name: str | None, host: Host
) -> tuple[Task, Actor | None, Slate]:
    """A task with whoever would work on it: who is named, else as the tick has it.

    Raises:
        NotFoundError: There is no such actor.
        PlanError: Nobody can do it, or has room.
    """
    slate = Slate()
    if name is None:
        return (*choose_now(context.tx, task, host.grounds, slate), slate)
    return task, find_actor(context.tx, name), slate


def _plan_of(chat: Chat, task: Task, request: r.GetPlan, host: Host) -> SpawnPlan:
    """How the chat's next handler would be started."""
    grounds = host.grounds
    kind = handler_kind(grounds, task)
    session = "" if kind == "exec" else session_of_chat(chat, task, grounds)
    facts = before_the_claim(grounds.host, session)
    return plan_spawn(
        grounds,
        task=task,
        flags=_flags(request),
        agent=replace(facts, kept_open=kind != "turn"),
        preview=True,
    )


def _for_a_chat(tx: Tx, chat: Chat, task: Task, host: Host) -> Compiled:
    kind = handler_kind(host.grounds, task)
    session = "" if kind == "exec" else session_of_chat(chat, task, host.grounds)
    message = chats.head(tx, chat.number) if kind == "turn" else None
    return preview_opening(
        tx, chat, host.grounds, resumed=bool(session), message=message
    )


def _preview(
    context: Context, task: Task, name: str | None, host: Host
) -> tuple[Task, Actor | None]:
    """The same where nothing is started: nobody, where nobody can do it."""
    try:
        mine, actor, _ = _for_whom(context, task, name, host)
    except PlanError:
        return task, None
    return mine, actor
