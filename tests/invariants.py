"""What holds of the database after every step (DESIGN §10)."""

from workgraph.graph.holds import AccountState, account_key
from workgraph.graph.model import Agent, AgentStatus
from workgraph.graph.status import MEETS, Status
from workgraph.graph.topology import chains, sort_topologically
from workgraph.store import (
    accounts,
    agent_reads,
    history,
    holds,
    message_transfer,
    messages,
    prompts,
    reads,
)
from workgraph.store.database import Tx

Rows = dict[str, list[tuple[object, ...]]]

_TABLES = (
    "meta",
    "tasks",
    "edges",
    "agents",
    "artifacts",
    "changes",
    "messages",
    "message_receipts",
    "accounts",
    "identities",
    "prompts",
)


def dump(tx: Tx) -> Rows:
    """Every row of every table, so that two moments can be compared."""
    return {table: tx.all(f"select * from {table} order by 1, 2") for table in _TABLES}


def check_invariants(tx: Tx) -> None:
    """Asserts everything that must be true of the graph, at any instant."""
    tasks = {task.id: task for task in reads.every_task(tx)}
    agents = agent_reads.list_agents(tx)
    live = [agent for agent in agents if agent.status is not AgentStatus.ENDED]
    processes: dict[str, int] = {}
    for agent in live:
        if not agent.human:
            processes[agent.task] = processes.get(agent.task, 0) + 1
    assert all(count == 1 for count in processes.values()), "two live agents of a task"

    after: dict[str, list[str]] = {}
    for task in tasks.values():
        dependencies = reads.dependencies(tx, task.id)
        after[task.id] = [edge.id for edge, _ in dependencies]
        unmet = sum(at not in MEETS[edge.on] for edge, at in dependencies)
        assert task.unmet == unmet, f"{task.id}: unmet {task.unmet}, counted {unmet}"
        held = task.status is Status.IN_PROGRESS
        assert held == (task.claimed_by is not None), f"{task.id}: claim and status"
        if held:
            holder = agent_reads.by_id(tx, task.claimed_by or "")
            assert holder.task == task.id
            assert (
                holder.status is not AgentStatus.ENDED
                or holder.outcome is None
                or (not _is_concluded(tx, holder.number))
            ), f"{task.id} is held by {holder.id}, which was concluded"
        attempts = [a.attempt for a in agents if a.task == task.id]
        assert attempts == sorted(set(attempts)), f"{task.id}: attempts {attempts}"

    order, cycle = sort_topologically(sorted(tasks), after)
    assert not cycle, f"the graph has a cycle: {cycle}"
    measured = chains(order, after)
    stored = {task.id: task.chain for task in tasks.values()}
    assert stored == measured, "chains"

    _check_log(tx, {task.id: task.status for task in tasks.values()})
    _check_accounts(tx)
    _check_prompts(tx, agents)
    _check_messages(tx)


def _check_prompts(tx: Tx, agents: list[Agent]) -> None:
    """What a process was told is known, is in its limit, and adds up."""
    for agent in agents:
        kept = prompts.find(tx, agent.number)
        assert kept is None or not agent.human, f"{agent.id} was told something"
        if kept is not None:
            total = sum(block.tokens for block in kept.blocks)
            assert total == kept.tokens <= kept.limit, f"{agent.id}: {kept}"


def _check_log(tx: Tx, statuses: dict[str, Status]) -> None:
    """The change log has no holes, and replayed from nothing gives the statuses."""
    changes = history.changes_since(tx, 0, None, 1_000_000)
    assert [change.seq for change in changes] == list(range(1, len(changes) + 1))
    replayed: dict[str, str] = {}
    for change in changes:
        if change.kind == "task_added":
            assert change.task is not None
            replayed[change.task] = change.to or ""
        elif change.kind == "status_changed":
            assert change.task is not None
            assert replayed[change.task] == change.from_, change
            replayed[change.task] = change.to or ""
    assert replayed == {task: str(status) for task, status in statuses.items()}


def _check_accounts(tx: Tx) -> None:
    """The log tells how accounts stand; what one holds waits for one that holds."""
    told = {
        change.to: change.kind.removeprefix("account_")
        for change in history.changes_since(tx, 0, None, 1_000_000)
        if change.kind.startswith("account_")
    }
    found = accounts.every(tx)
    stood = {one.key: str(one.state) for one in found}
    assert told == {key: stood[key or ""] for key in told}, f"{told}, but {stood}"
    assert set(stood.values()) <= {"ok", *told.values()}, f"{told}, but {stood}"
    for account in found:
        since = accounts.live(tx, account)
        if account.at_once is None and account.state is AccountState.OK:
            assert not holds.is_any_held(tx, account_key(account.key)), account
        else:
            most = account.at_once or 1
            assert since <= most, f"{since} agents of {account}"


def _check_messages(tx: Tx) -> None:
    """Receipts are of attempts at the task; the log tells of all but of the telling."""
    told: dict[str, list[int]] = {"sent": [], "read": [], "acknowledged": []}
    for change in history.changes_since(tx, 0, None, 1_000_000):
        what = change.kind.removeprefix("message_")
        if what in told and what != change.kind:
            told[what] += map(int, (change.to or "").split())
    there = tx.all("select number from messages order by number")
    assert told["sent"] == [row[0] for row in there]
    read, acknowledged = set(), set()
    for message, receipts in message_transfer.receipts_by_message(tx).items():
        found = messages.find(tx, message)
        assert found is not None
        for one in receipts:
            assert agent_reads.by_number(tx, one.agent).task == found.task, one
            assert one.read_at is not None or one.acknowledged_at is None, one
            assert one.told_at is not None or one.read_at is not None, one
            read |= {message} if one.read_at is not None else set()
            acknowledged |= {message} if one.acknowledged_at is not None else set()
    assert read == {*told["read"], *told["acknowledged"]}, f"read: {read}, {told}"
    assert acknowledged == set(told["acknowledged"]), f"{acknowledged}, {told}"


def _is_concluded(tx: Tx, number: int) -> bool:
    return bool(tx.value("select concluded from agents where number = ?", (number,)))
