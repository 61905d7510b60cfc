"""From a plan to an agent's row and the order to start it, whatever the agent is for.

The row is there before the process is; who it works for, and what is claimed for that,
is written beside it (`launching`, `handling`).
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Final

import msgspec

from workgraph.agents.plan import AgentFacts, PlanError, SpawnPlan
from workgraph.agents.planned import log_line, visible
from workgraph.agents.process import LaunchOrder
from workgraph.graph.budgets import Reservation
from workgraph.graph.model import Actor, Record, Task
from workgraph.settings.schema import AgentsSettings
from workgraph.store import agents, clients, leftovers
from workgraph.store.database import Tx

_encode: Final = msgspec.json.Encoder().encode


class Planned(Record, frozen=True, kw_only=True):
    """An agent whose row is there, and what is known of it before it runs."""

    order: LaunchOrder
    #: Its plan in one line.
    line: str
    live: clients.LiveStream


def add_agent(  # noqa: PLR0913 - what an attempt has is not for a handler
    tx: Tx,
    task: Task,
    plan: SpawnPlan,
    facts: AgentFacts,
    *,
    aside: Reservation,
    settings: AgentsSettings,
    actor: Actor | None = None,
    timeout_at: int | None = None,
    stall_after: int | None = None,
) -> Planned:
    """Adds the row of an agent with its frozen plan, and says how it is started.

    Args:
        tx: The transaction.
        task: What it works on, or the chat in which it answers.
        plan: How it is started.
        facts: What the plan was made from; the number is the next one.
        aside: What is set aside for it of its budgets.
        settings: How agents are started.
        actor: Who works; a handler has none.
        timeout_at: When it has had its time; a handler has that for each message.
        stall_after: How long it may be silent, in microseconds; null is for ever.

    Raises:
        PlanError: Something of an earlier agent still runs where it would.
    """
    refuse_beside_leftover(tx, task, plan.working_dir.value)
    line = log_line(plan, facts.id)
    shown = _encode(visible(plan)).decode()
    resumed = plan.session if plan.resumes else None
    number = agents.insert_agent(
        tx,
        agents.NewAgent(
            task=task.id,
            attempt=facts.attempt,
            actor=actor.name if actor else None,
            actor_id=actor.id if actor else None,
            executor=plan.executor.value,
            model=plan.model.value,
            endpoint=plan.endpoint.value,
            workspace=plan.working_dir.value,
            timeout_at=timeout_at,
            plan=shown,
            plan_line=line,
            token_sha256=sha256(facts.token.encode()).digest(),
            account=plan.account.value,
            session=plan.session,
            resumed=resumed,
            sandbox=None if plan.sandbox.value == "none" else plan.sandbox.value,
            stall_after=stall_after,
            reserved_tokens=aside.tokens,
            reserved_usd=aside.usd,
        ),
    )
    files = {"prompt.md": facts.prompt, "plan.json": shown}
    return Planned(
        order=order_for(number, facts.folder, plan, files, settings),
        line=line,
        live=clients.LiveStream(
            agent=number,
            stream=plan.stream.value,
            resumed=resumed,
            started_at=tx.now,
            env={name: chosen.value for name, chosen in plan.env.items()},
        ),
    )


def order_for(
    number: int,
    folder: str,
    plan: SpawnPlan,
    files: Mapping[str, str],
    settings: AgentsSettings,
) -> LaunchOrder:
    """What a launcher is told of a plan: nothing is added to it."""
    return LaunchOrder(
        agent=number,
        folder=folder,
        argv=plan.argv.value,
        env={name: chosen.value for name, chosen in plan.env.items()},
        cwd=plan.working_dir.value,
        stdin=f"{folder}/prompt.md" if plan.stdin.value == "prompt" else None,
        keeps_input=plan.stdin.value == "pipe",
        stderr_apart=plan.stream.value != "text",
        files=files,
        nice=settings.nice,
        sandboxed=plan.sandbox.value != "none",
        cgroup=settings.cgroups == "auto",
    )


def refuse_beside_leftover(tx: Tx, task: Task, workspace: str) -> None:
    """What still runs of an attempt would change the next one's files under it."""
    for agent in leftovers.of_task(tx, task.id):
        if agent.workspace == workspace:
            pids = " ".join(str(process.pid) for process in agent.leftover)
            raise PlanError(
                f"{task.id}: processes of {agent.id} are not gone: {pids}",
                hint=f"wg kill {agent.id} --force",
                code="leftover",
            )
