"""Agents as people read them: what they do, what they have used, how they ended."""

from collections.abc import Mapping, Sequence
from typing import Final

from workgraph.commands.escape import escape_line, fit
from workgraph.commands.render_style import Style, as_lines, table
from workgraph.commands.render_usage import cost_of, tokens_of, usage_text
from workgraph.graph.replies import AgentData, ProviderData

#: Accounts of which `wg run` tells.
_TROUBLED: Final = frozenset({"limited", "broken"})
_ENDS: Final = ("failed", "abandoned")


def agent_table(agents: Sequence[AgentData], style: Style) -> str:
    """Agents, with what they work on and what has come of it."""
    rows = table(
        (
            "AGENT",
            "TASK",
            "TRY",
            "STATUS",
            "ACTOR",
            "EXECUTOR",
            "MODEL",
            "STARTED",
            "ACTIVE",
            "SIGN",
            "TOKENS",
            "COST",
            "DOES",
        ),
        [
            (
                agent.id,
                escape_line(agent.task),
                str(agent.attempt),
                agent.outcome or agent.status,
                escape_line(agent.actor or "-"),
                escape_line(agent.executor),
                escape_line(agent.model or "-"),
                style.moment(agent.started_at),
                style.moment(agent.ended_at or agent.last_activity_at),
                agent.last_sign or "-",
                tokens_of(agent.usage) or "-",
                cost_of(agent.usage) or "-",
                words_of(agent) or "-",
            )
            for agent in agents
        ],
        style,
        words=3,
    )
    left = [
        f"{agent.id} has left processes behind: {' '.join(map(str, agent.leftover))}"
        f" → wg kill {agent.id} --force"
        for agent in agents
        if agent.leftover
    ]
    return rows + as_lines(left)


def words_of(agent: AgentData) -> str:
    """What an agent does just now, or has said last, on one line; escaped."""
    if agent.trouble is not None:
        words = f"tries again: {agent.trouble.message}"
    else:
        words = agent.tool or agent.said or ""
    return escape_line(" ".join(words.split()))


def run_lines(runs: Sequence[AgentData], style: Style) -> list[str]:
    """A line for each attempt at a task."""
    return [_run_line(run, style) for run in runs]


def progress_line(
    counts: Mapping[str, int],
    running: int,
    agents: Sequence[AgentData],
    providers: Sequence[ProviderData],
    columns: int,
) -> str:
    """How far a run is: counts, accounts that hold work back, who was heard last.

    Args:
        counts: Tasks by status.
        running: How many agents run.
        agents: Those of them.
        providers: How accounts stand.
        columns: Of the terminal.
    """
    parts = [f"{counts['done']}/{sum(counts.values())} done", f"{running} running"]
    parts += [f"{counts[status]} {status}" for status in _ENDS if counts.get(status)]
    parts += [_held(one) for one in providers if one.state in _TROUBLED]
    heard = [one for one in agents if words_of(one)]
    if heard:
        last = max(heard, key=lambda one: (one.last_activity_at, one.id))
        parts.append(f"{last.id}: {words_of(last)}")
    return fit(", ".join(parts), max(columns - 1, 0))


def _held(provider: ProviderData) -> str:
    until = f" until {provider.until}" if provider.until else ""
    return escape_line(f"{provider.account} {provider.state}{until}")


def _run_line(run: AgentData, style: Style) -> str:
    client = ""
    if run.client_end is not None:
        client = f" ({run.client_end.kind}: {run.client_end.message})"
    session = ""
    if run.session is not None:
        session = f"{'resumed ' if run.resumed else ''}session {run.session}"
    who = f"{run.executor} {run.model}" if run.model else run.executor
    parts = (
        escape_line(who),
        escape_line(f"account {run.account}") if run.account else "",
        escape_line(session),
        usage_text(run.usage, run.cached_tokens),
        cost_of(run.usage),
        style.moment(run.started_at),
    )
    outcome = style.word(run.outcome or run.status)
    told = ", ".join(part for part in parts if part)
    return f"{run.attempt} {run.id}: {outcome}{escape_line(client)}; {told}"
