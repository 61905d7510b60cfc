"""What holds of the database after every step (DESIGN §10)."""

from itertools import pairwise

from tests.agency_invariants import every_check
from tests.chat_invariants import check_chats
from tests.identity_invariants import check_identities, check_person
from workgraph.graph.errands import TAGS
from workgraph.graph.holds import AccountState, account_key
from workgraph.graph.judging import CANARY, JUDGED
from workgraph.graph.model import Actor, Agent, AgentStatus, Task
from workgraph.graph.proposals import OPEN
from workgraph.graph.status import MEETS, SETTLED, Status, Verb
from workgraph.graph.topology import chains, sort_topologically
from workgraph.store import (
    accounts,
    agent_reads,
    artifacts,
    calibration,
    errands,
    history,
    holds,
    identities,
    judging,
    loops,
    message_transfer,
    messages,
    prompts,
    proposals,
    reads,
    rewards,
    service,
    trajectory_rows,
    waits,
)
from workgraph.store.database import Tx

Rows = dict[str, list[tuple[object, ...]]]

_TABLES = (
    "meta",
    "tasks",
    "edges",
    "agents",
    "artifacts",
    "consumed",
    "changes",
    "messages",
    "message_receipts",
    "accounts",
    "waits",
    "wait_terms",
    "identities",
    "trajectories",
    "trajectory_steps",
    "loops",
    "loop_members",
    "prompts",
    "proposals",
    "rewards",
    "standings",
    "choices",
    "errands",
    "canary_runs",
    "canary_cases",
    "choices",
    "errands",
    "chats",
    "chat_messages",
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

    for task in tasks.values():
        _check_inputs(tx, task)
        check_person(tx, task)
    check_identities(tx)
    _check_loops(tx, tasks, after)
    _check_log(tx, {task.id: task.status for task in tasks.values()})
    _check_accounts(tx)
    _check_prompts(tx, agents)
    _check_messages(tx)
    _check_waits(tx, tasks)
    _check_trajectories(tx, {task.id: task.status for task in tasks.values()})
    _check_circles(tx, tasks)
    _check_proposals(tx)
    _check_rewards(tx, agents)
    _check_judging(tx, tasks, agents)
    _check_canaries(tx)
    _check_actors(tx, live)
    check_chats(tx, tasks, agents)
    every_check(tx)


def _check_judging(tx: Tx, tasks: dict[str, Task], agents: list[Agent]) -> None:
    """The machinery's own is never judged; what is to be judged has ended."""
    own = errands.among(tx, list(tasks))
    for task in tasks.values():
        is_own = task.id in own or not TAGS.isdisjoint(task.spec.tags)
        assert task.gate != "verdict" or task.id in own, f"{task.id} has no verdict"
        assert not is_own or task.gate != "reward", f"{task.id} waits for a score"
    for agent in agents:
        if judging.is_marked(tx, agent.number):
            assert agent.status is AgentStatus.ENDED, f"{agent.id} still runs"
            assert agent.outcome in JUDGED, f"{agent.id}: {agent.outcome}"
            assert agent.task not in own, f"{agent.id} was an errand's"
    asked: set[tuple[object, ...]] = set()
    for name in own:
        errand = errands.find(tx, name)
        assert errand is not None
        if errand.kind != "reward" or tasks[name].status in SETTLED:
            continue
        if errand.part == CANARY:
            continue  # about nothing in the graph
        key = (errand.about, errand.attempt, errand.part)
        assert key not in asked, f"{key} is asked twice"
        asked.add(key)


def _check_canaries(tx: Tx) -> None:
    """Each case has an errand of its own, whose verdict is its answer."""
    for run in calibration.runs(tx):
        cases = calibration.cases(tx, run.number)
        assert [case.place for case in cases] == list(range(1, len(cases) + 1))
        for case in cases:
            errand = errands.find(tx, case.task)
            assert errand is not None
            assert (errand.part, errand.about) == (CANARY, None)
            assert (case.answer is None) == (errand.verdict is None), case


def _check_rewards(tx: Tx, agents: list[Agent]) -> None:
    """What is judged was tried; the record is what counts of the judgements."""
    attempts = {(agent.task, agent.attempt): agent for agent in agents}
    for one in rewards.every(tx):
        judged = attempts.get((one.task, one.attempt))
        assert judged is not None, f"{one} is of no attempt"
        assert one.actor_id in {None, judged.actor_id}, f"{one} is not of {judged}"
    wrong = rewards.recount(tx)
    assert not wrong, f"the record is not what counts: {wrong}"


def _check_actors(tx: Tx, live: list[Agent]) -> None:
    """No process is a person's.

    What those that are started can do, and on how much they work, is asked at their
    start (`tests.agency_invariants`): actors are changed while they work.
    """
    actors = {actor.name: actor for actor in service.actors(tx)}
    for agent in live:
        actor = actors.get(agent.actor or "")
        started_as = actor is not None and actor.id == agent.actor_id
        if agent.human or actor is None or not started_as:
            continue
        edited = any(
            change.kind == "identity_changed" and change.at >= agent.started_at
            for change in history.changes_since(tx, 0, None, 1_000_000)
        )
        assert edited or not actor.human, f"{agent.id} is {actor.name}'s, a person"


def _check_inputs(tx: Tx, task: Task) -> None:
    """What is parked for want of an artifact wants it still, or waits for a task."""
    if task.parked is not None and task.parked.producer is not None:
        missing = {one.producer for one in artifacts.missing_of(tx, task)}
        assert task.unmet or task.parked.producer in missing, (
            f"{task.id} is parked for {task.parked.producer}, and lacks {missing}"
        )


def _check_loops(tx: Tx, tasks: dict[str, Task], after: dict[str, list[str]]) -> None:
    """Members are in order, in one loop each, and nobody starts in its middle."""
    members: set[str] = set()
    last: set[str] = set()
    for loop in loops.every(tx):
        assert 1 <= loop.iteration <= loop.most, loop
        if loop.ended_at is not None:
            continue
        assert not members & set(loop.ids), f"{loop.ids} are in two loops"
        members |= set(loop.ids)
        last.add(loop.last)
        for before, task in pairwise(loop.ids):
            assert before in after[task], f"{task} does not come after {before}"
        for task in set(tasks) - set(loop.ids):
            inner = set(after[task]) & set(loop.ids[:-1])
            assert not inner or loop.last in after[task], f"{task} waits for {inner}"
        at = {task: tasks[task].status for task in loop.ids}
        assert Status.ABANDONED not in at.values(), at
        assert at[loop.last] is not Status.DONE, f"{loop.last} is done, {loop} is not"
        for task in loop.converged:
            said = {Status.IN_PROGRESS, Status.PENDING_REVIEW, Status.DONE}
            assert at[task] in said, f"{task} is {at[task]} and has converged"
    at_gate = {task.id for task in tasks.values() if task.gate == "loop"}
    assert at_gate <= last, f"{at_gate - last} wait for no loop"
    _check_iterations(tx)


def _check_iterations(tx: Tx) -> None:
    """What was done is opened by an operator, or with all others of a live loop."""
    live: dict[str, int] = {}
    members: dict[int, tuple[str, ...]] = {}
    every = iter(loops.every(tx))
    due: set[str] = set()
    for change in history.changes_since(tx, 0, None, 1_000_000):
        task = change.task or ""
        if change.kind == "loop_started":
            loop = next(every)
            assert loop.last == task
            live |= dict.fromkeys(loop.ids, loop.number)
            members[loop.number] = loop.ids
        elif change.kind == "loop_ended":
            live = {one: n for one, n in live.items() if n != live[task]}
        elif change.kind == "loop_iterated":
            assert not due
            assert members[live[task]][-1] == task
            due = set(members[live[task]])
        elif change.verb == Verb.ITERATE:
            assert change.by == "workgraph"
            is_last = change.from_ == "pending-review"
            assert is_last == (len(due) == 1), f"{due} are to run again: {change}"
            due.remove(task)
        else:
            assert not due, f"{due} are to run again"
        if change.kind == "status_changed" and change.from_ == Status.DONE:
            assert change.verb in {Verb.RETRY, Verb.ITERATE}, change
    assert not due


def _check_prompts(tx: Tx, agents: list[Agent]) -> None:
    """What a process was told is known, is in its limit, and adds up."""
    for agent in agents:
        kept = prompts.find(tx, agent.number)
        assert kept is None or not agent.human, f"{agent.id} was told something"
        if kept is not None and kept.blocks:
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


def _check_trajectories(tx: Tx, statuses: dict[str, Status]) -> None:
    """A task is reserved once, and not when it is settled; the log tells by whom."""
    held: dict[str, int] = {}
    for one in trajectory_rows.every(tx):
        left = [at for _, at in one.steps]
        assert (one.ended_at is not None) == (None not in left), one
        for task, left_at in one.steps:
            if left_at is None:
                assert task not in held, f"{task} is reserved twice"
                assert statuses[task] not in SETTLED, f"{task} is reserved and settled"
                held[task] = one.number
    told: dict[str, int] = {}
    for change in history.changes_since(tx, 0, None, 1_000_000):
        if change.kind == "trajectory_claimed":
            told[change.task or ""] = int(change.to or 0)
        is_done = change.kind == "status_changed" and change.to == Status.DONE
        if is_done or change.kind == "trajectory_released":
            told.pop(change.task or "", None)
    assert told == held, f"the log tells {told}"


def _check_waits(tx: Tx, tasks: dict[str, Task]) -> None:
    """A task in waiting has one wait that lasts, and nobody else has."""
    every = {wait.task: wait for wait in waits.every(tx)}
    last = {task for task, wait in every.items() if wait.woken_at is None}
    waiting = {task.id for task in tasks.values() if task.status is Status.WAITING}
    assert last == waiting, f"waits that last: {last}, in waiting: {waiting}"
    for task, wait in every.items():
        assert wait.terms or wait.woken_at is not None, wait
        met = [term.met_at is not None for term in wait.terms]
        assert task in last or all(met), f"{wait} is over"
        claims = tasks[task].claimed_by
        assert task not in last or claims is None, f"{task} waits for {claims}"


def _check_circles(tx: Tx, tasks: dict[str, Task]) -> None:
    """Whatever waits could go on, if all that it needs were done in some order."""
    every = {wait.task: wait for wait in waits.every(tx)}
    needs: dict[str, list[set[str]]] = {}
    for task in tasks.values():
        if task.status in SETTLED:
            continue
        first = {
            edge.id
            for edge, at in reads.dependencies(tx, task.id)
            if at not in MEETS[edge.on]
        }
        branches: dict[int, set[str]] = {}
        if task.status is Status.WAITING:
            for term in every[task.id].terms:
                there = branches.setdefault(term.branch, set())
                if term.kind == "task":
                    there.add(term.target)
        needs[task.id] = [first | one for one in branches.values()] or [first]
    for path in trajectory_rows.every(tx):
        left = [step for step, at in path.steps if at is None]
        for place, step in enumerate(left):
            if not path.human and tasks[step].status is Status.OPEN:
                needs[step] = [need | set(left[:place]) for need in needs[step]]
    stuck, before = set(needs), -1
    while len(stuck) != before:
        before = len(stuck)
        stuck = {one for one in stuck if all(need & stuck for need in needs[one])}
    assert not stuck, f"{stuck} wait for each other: {needs}"


def _check_proposals(tx: Tx) -> None:
    """Whoever is on trial lives, one at a time beside each parent, and is unfinished.

    What is over has a moment and words; nobody who is retired is on trial.
    """
    parents: set[str] = set()
    for one in proposals.every(tx):
        assert (one.ended_at is None) == (one.status in OPEN), one
        assert one.ended_at is None or one.result, one
        counts = [look.child_count for look in one.looks]
        assert counts == sorted(set(counts)), one
        if one.status == "trial":
            assert one.child is not None, one
            assert one.started_at is not None, one
        if one.has_trial:
            assert one.subject not in parents, f"two trials of {one.subject}"
            parents.add(one.subject)
        if one.child is not None and one.status in {"retired", "rejected"}:
            kept = identities.by_id(tx, Actor, one.child)
            assert kept is not None, one
            assert kept.retired_at is not None, f"{kept.identity.name} is still there"


def _is_concluded(tx: Tx, number: int) -> bool:
    return bool(tx.value("select concluded from agents where number = ?", (number,)))
