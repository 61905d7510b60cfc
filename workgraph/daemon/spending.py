"""What an attempt has used, as it is written down: its price, and what follows from it.

Under budgets an end is more than an end: what was set aside is free for others, and a
task that was stopped by its budget waits for more of it.
"""

from msgspec.structs import replace

from workgraph.commands.context import budget_limits
from workgraph.daemon.launching import Host
from workgraph.graph.budgets import EXHAUSTED, Held
from workgraph.graph.decisions import MoveTask
from workgraph.graph.ends import Report
from workgraph.graph.model import Agent, Outcome, Usage
from workgraph.reactors.budgets import SHARES, overruns, reserve
from workgraph.settings.prices import price
from workgraph.store import budgets, reads, writes
from workgraph.store.database import Tx


def priced(agent: Agent, report: Report, host: Host) -> Report:
    """A report with its cost: the client's own word, else by the table of prices."""
    usage = report.usage
    if usage.cost_usd is not None:
        return report
    model = report.model or agent.model
    cost = price(usage, model, host.grounds.layered.settings)
    if cost is None:
        return report
    return replace(report, usage=replace(usage, cost_usd=cost))


def settle_end(tx: Tx, agent: Agent, host: Host) -> None:
    """An attempt has ended: what it used too much is told, what it left is free."""
    if agent.human:
        return
    limits = budget_limits(host.grounds.layered.settings)
    if agent.usage != Usage() and agent.outcome is not Outcome.BUDGET:
        for words in overruns(budgets.of_agent(tx, agent, limits, SHARES)):
            budgets.note_overrun(tx, agent, words)
    budgets.wake_after(tx, agent, limits, SHARES)


def park(tx: Tx, task_id: str, move: MoveTask, host: Host) -> None:
    """Keeps a task back; for want of a budget as its next start would be."""
    task = reads.task(tx, task_id)
    parked, until = move.parked, move.parked_until
    assert parked is not None
    if parked.code == EXHAUSTED:
        limits = budget_limits(host.grounds.layered.settings)
        under = budgets.of_start(tx, task, limits, SHARES)
        result = reserve(task_id, under, tx.now)
        if isinstance(result, Held):
            parked, until = result.parked, result.until
    writes.park(tx, task, parked, until)
