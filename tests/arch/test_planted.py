"""Tests of the tests: a defect planted in a copy of the tree must be found."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

import pytest

from tests.arch import tree
from tests.arch.tree import CHECKS, ROOT


class Plant(NamedTuple):
    """A defect: a text in a file, and by what it is replaced."""

    file: str
    #: Empty: what is new stands at the end.
    old: str
    new: str


def at_the_end(file: str, text: str) -> Plant:
    """A defect that is added to a module."""
    return Plant(file, "", dedent(text))


Check = Callable[[Path], list[str]]

PLANTED: dict[str, tuple[Check, Plant]] = {
    "a status written by another statement": (
        tree.status_written_elsewhere,
        Plant(
            "workgraph/store/writes.py",
            "update tasks set paused = ?, ",
            "update tasks set paused = ?, status = ?, ",
        ),
    ),
    "a status written in another module of the store": (
        tree.status_written_elsewhere,
        at_the_end(
            "workgraph/store/edges.py",
            '''
            RESET = """
            update tasks
            set unmet = 0,
                status = ?
            where id = ?
            """
            ''',
        ),
    ),
    "the one statement used by another function": (
        tree.status_written_elsewhere,
        at_the_end(
            "workgraph/store/writes.py",
            """
            def force(tx, values):
                tx.run(CHANGE_STATUS, values)
            """,
        ),
    ),
    "a status written outside the store": (
        tree.status_written_elsewhere,
        at_the_end(
            "workgraph/daemon/apply.py",
            """
            def force(tx, task):
                tx.run("update tasks set status = 'done' where id = ?", (task,))
            """,
        ),
    ),
    "SQL outside the store": (
        tree.sql_outside_store,
        at_the_end(
            "workgraph/daemon/recover.py",
            'LIVE = "select number from agents where ended_at is null"\n',
        ),
    ),
    "SQL built by a format, outside the store": (
        tree.sql_outside_store,
        at_the_end(
            "workgraph/commands/queries.py",
            """
            def count(table):
                return f"select count(*) from {table}"
            """,
        ),
    ),
    "a second start of processes": (
        tree.starts_of_processes,
        at_the_end(
            "workgraph/daemon/recover.py",
            """
            import asyncio

            async def start(argv):
                await asyncio.create_subprocess_exec(*argv)
            """,
        ),
    ),
    "a second start in the same module": (
        tree.starts_of_processes,
        at_the_end(
            "workgraph/agents/process.py",
            """
            async def start(argv):
                await asyncio.create_subprocess_exec(*argv)
            """,
        ),
    ),
    "a second place that builds argv": (
        tree.makers_of_orders,
        at_the_end(
            "workgraph/daemon/special.py",
            """
            def order(task):
                return process.LaunchOrder(agent=1, argv=(task.spec.exec,))
            """,
        ),
    ),
    "a second place that makes plans": (
        tree.makers_of_plans,
        at_the_end(
            "workgraph/commands/moves.py",
            """
            def plan(task):
                return SpawnPlan(argv=(task.spec.exec,))
            """,
        ),
    ),
    "a module that has grown": (
        tree.long_modules,
        at_the_end("workgraph/graph/status.py", "#\n" * tree.MOST_LINES),
    ),
}


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_defect_is_found(name: str, tmp_path: Path) -> None:
    """The check that is there for it names the file, and the others stay quiet."""
    check, plant = PLANTED[name]
    a_copy(tmp_path)

    plant_in(tmp_path, plant)

    found = {c: c(tmp_path) for c in CHECKS}
    assert any(plant.file in place for place in found[check]), found[check]
    others = {c for c in CHECKS if found[c] != _without_defect(c)} - {check}
    assert others <= {tree.sql_outside_store}


@cache
def _without_defect(check: Check) -> list[str]:
    """What a check finds in the tree that all copies are made of."""
    return check(ROOT)


#: Defects of behaviour, what the simulation has to say of each, and from which seed on:
#: the first that finds it, of which there has to be one among so many.
STORIES = 20
SEQUENCES: dict[str, tuple[str, int, tuple[Plant, ...]]] = {
    "a spawn before the commit": (
        "is started before its claim is committed",
        0,
        (
            Plant(
                "workgraph/daemon/engine.py",
                "            result, changes = await self.store.transaction(\n",
                """\
            early = await self.store.read(
                lambda tx: tick(tx, facts, around), self.clock.now()
            )
            if early.effects and self._group is not None:
                self.effects.perform(early.effects, self._group)
                await anyio.wait_all_tasks_blocked()
            result, changes = await self.store.transaction(
""",
            ),
        ),
    ),
    "a task that is started while it is paused": (
        "is started and paused",
        1,
        (
            Plant(
                "workgraph/store/views.py",
                "indexed by tasks_dispatch\nwhere t.status = 'open' and t.paused = 0",
                "\nwhere t.status = 'open'",
            ),
        ),
    ),
    "a dependency's end that is not counted": (
        ": unmet ",
        4,
        (
            Plant(
                "workgraph/store/writes.py",
                "if (task.status in met) != (new in met):",
                'if (task.status in met) != (new in met) and new != "abandoned":',
            ),
        ),
    ),
    "an ended token that is listened to": (
        "has ended, and was listened to",
        5,
        (
            Plant(
                "workgraph/commands/access.py",
                "if agent.status is AgentStatus.ENDED:",
                "if agent.status is None:",
            ),
        ),
    ),
    "an end that is made up": (
        ", was Ended(",
        0,
        (
            Plant(
                "workgraph/daemon/fates.py",
                "exit_code=ended.exit_code)",
                "exit_code=0)",
            ),
        ),
    ),
    "a change that the log does not tell": (
        "Error",
        0,
        (
            Plant(
                "workgraph/store/writes.py",
                "    _pass_on(tx, task, new)\n",
                "    _pass_on(tx, task, new)\n"
                "    if verb in (Verb.RELEASE, Verb.REQUEUE):\n"
                "        return new\n",
            ),
        ),
    ),
    "a breaker that never opens": (
        "after three failures",
        182,
        (
            Plant(
                "workgraph/reactors/breakers.py",
                "(*(t for t in breaker.failed if t != agent.task), agent.task)",
                "(agent.task,)",
            ),
        ),
    ),
    "a breaker that lets through while it is open": (
        "after three failures",
        182,
        (
            Plant(
                "workgraph/reactors/breakers.py",
                "return int((breaker.until or 0) <= now)",
                "return 1",
            ),
        ),
    ),
    "an account that is tried while it is limited": (
        " is started on Account(",
        8,
        (
            Plant(
                "workgraph/graph/holds.py",
                "return max(1 - live, 0) if (account.until or 0) <= now else 0",
                "return max(1 - live, 0)",
            ),
        ),
    ),
    "two probes at a time": (
        " agents of Account(",
        21,
        (Plant("workgraph/graph/holds.py", "max(1 - live, 0) if", "1 if"),),
    ),
    "a provider's limit that uses up an attempt": (
        ": an attempt is used up",
        8,
        (
            Plant(
                "workgraph/reactors/clients.py",
                "        outcome=outcome,\n        counted=False,\n",
                "        outcome=outcome,\n        counted=True,\n",
            ),
        ),
    ),
    "a limit that the log does not tell": (
        ", but {",
        21,
        (
            Plant(
                "workgraph/store/accounts.py",
                "    if account.state is not before.state or ",
                "    if ",
            ),
        ),
    ),
    "a wait that lasts when its task does not": (
        "waits that last: ",
        11,
        (
            Plant(
                "workgraph/store/writes.py",
                "if task.status is Status.WAITING:",
                'if new == "open" and task.status is Status.WAITING:',
            ),
        ),
    ),
    "a backoff that each start begins anew": (
        ": a gap of ",
        1,
        (
            Plant(
                "workgraph/reactors/patrol.py",
                "doublings = min(max(times - 1, 0), _MAX_DOUBLINGS)",
                "doublings = 0",
            ),
        ),
    ),
    "a limit that is reached while agents are frozen": (
        "is late while frozen",
        2,
        (
            Plant(
                "workgraph/store/views.py",
                "and service.frozen_since(tx) is None:",
                "and tx is not None:",
            ),
        ),
    ),
    "frozen time that counts": (
        "is late after",
        2,
        (
            Plant(
                "workgraph/store/moments.py",
                "    _shift_limits(tx, max(tx.now - since, 0), 0)\n",
                "",
            ),
        ),
    ),
    "a sleep that counts": (
        "is late after",
        5,
        (
            Plant(
                "workgraph/store/moments.py",
                "_shift_limits(tx, by, 0 if frozen is not None else tx.now + GRACE)",
                "pass",
            ),
        ),
    ),
    "a restart that lets frozen agents stand as they are": (
        "AssertionError: frozen",
        0,
        (
            Plant(
                "workgraph/daemon/recover.py", "    if frozen:\n", "    if not live:\n"
            ),
        ),
    ),
    "a task that is started without its input": (
        "lacks an input",
        1,
        (
            Plant(
                "workgraph/agents/lacks.py",
                "        if one.missing:\n",
                "        if one.missing and not one.ref:\n",
            ),
        ),
    ),
    "a consumer that is not told": (
        "is parked for",
        49,
        (
            Plant(
                "workgraph/store/artifacts.py",
                "    wake_consumers(tx, task_id)\n",
                "",
            ),
        ),
    ),
    "a choice that does not ask what is required": (
        # by the plan, which looks again whether who was chosen can do it
        " could do it now",
        29,
        (
            Plant(
                "workgraph/graph/assigning.py",
                "            and not missing_skills(actor, requires)\n",
                "",
            ),
        ),
    ),
    "a gate that takes the score of an earlier attempt": (
        " is done with",
        93,
        (
            Plant(
                "workgraph/store/judging.py",
                "where r.task = t.id and r.attempt = a.attempt)",
                "where r.task = t.id)",
            ),
            Plant(
                "workgraph/store/judging.py",
                "effective(rewards.of_attempt(tx, row[1], row[-1]))",
                "rewards.latest(tx, row[1])",
            ),
        ),
    ),
    "a reactor that has failed and keeps what it did": (
        "Error",
        7,
        (
            Plant(
                "workgraph/daemon/reactors.py",
                "        with tx.savepoint():\n            for decision",
                "        if decisions:\n            for decision",
            ),
        ),
    ),
    "an assigner that is asked twice": (
        "assigned twice: ",
        27,
        (
            Plant(
                "workgraph/daemon/assigning.py",
                "candidates.asked(tx, tasks) if is_asking else frozenset()",
                "frozenset()",
            ),
        ),
    ),
    "a record that an operator's word does not correct": (
        "Difference(",
        13,
        (
            Plant(
                "workgraph/store/rewards.py",
                "    _move(tx, effective(there), effective([*others, reward]))\n",
                "    _move(tx, None, effective([*others, reward]))\n",
            ),
        ),
    ),
    "a handler for a chat that is archived": (
        " is archived, and gets a handler",
        47,
        (
            Plant(
                "workgraph/graph/chats.py",
                "    if view.chat.archived_at is not None or not view.has_node:\n",
                "    if not view.has_node:\n",
            ),
        ),
    ),
    "a message that is answered twice": (
        "AssertionError: [1, 1], [1]",
        15,
        (
            Plant(
                "workgraph/store/chats.py",
                "    return say(tx, chat, kind, text, by=by, reply_to=number)",
                "    say(tx, chat, kind, text, by=by, reply_to=number)\n"
                "    return say(tx, chat, kind, text, by=by, reply_to=number)",
            ),
        ),
    ),
    "an answer to what was not given yet": (
        " answers what it was never given",
        239,
        (
            Plant(
                "workgraph/store/reconciling.py",
                "    if head is None or head.agent != agent.number:",
                "    if head is None:",
            ),
        ),
    ),
    "a chat's backoff that a restart forgets": (
        " s too early",
        95,
        (
            Plant(
                "workgraph/store/reconciling.py",
                "where archived_at is null and problem is not null",
                "where archived_at is null",
            ),
        ),
    ),
    "a handler that stays for nobody": (
        " is kept for nobody",
        95,
        (
            Plant(
                "workgraph/store/reconciling.py",
                "    else coalesce(c.last_consumer_at, 0) + :idle_after",
                "    else null",
            ),
        ),
    ),
}


#: What stories seldom come upon, and a file of tests has to find: defect to both.
BY_TESTS: dict[str, tuple[str, tuple[Plant, ...]]] = {
    "an iteration that leaves a member as it is": (
        "tests/engine/test_loops.py",
        (
            Plant(
                "workgraph/commands/iterations.py",
                "    for member in loop.ids:\n",
                "    for member in loop.ids[-1:]:\n",
            ),
        ),
    ),
    "a wait that ends in vain": (
        "tests/engine/test_waits.py",
        (
            Plant(
                "workgraph/daemon/tick.py",
                "any(outcome.busy for outcome in outcomes) or _may_wake(tx, failed)",
                "any(outcome.busy for outcome in outcomes)",
            ),
            Plant(
                "workgraph/store/writes.py",
                "        waits.mark(tx, task.id)\n",
                "        pass\n",
            ),
        ),
    ),
    "tasks that are not told of a new actor": (
        "tests/engine/test_identities.py",
        (
            Plant(
                "workgraph/commands/identities.py",
                "    candidates.wake_parked(tx, officials_of(context.settings))\n"
                "    return _reply(context, new,",
                "    return _reply(context, new,",
            ),
        ),
    ),
}


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", SEQUENCES)
def test_the_simulation_finds_a_planted_defect(name: str, tmp_path: Path) -> None:
    """In a few stories, that are the same each time."""
    says, first, plants = SEQUENCES[name]
    a_copy(tmp_path)
    shutil.copytree(ROOT / "tests", tmp_path / "tests", ignore=_IGNORED)
    plant_in(tmp_path, *plants)

    found = subprocess.run(
        [sys.executable, "-m", "tests.engine.simulation", f"{STORIES}", f"{first}"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert found.returncode == 1, found.stderr[-3000:]
    assert found.stdout.startswith("seed ")
    assert says in found.stderr


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", BY_TESTS)
def test_a_planted_defect_fails_its_tests(name: str, tmp_path: Path) -> None:
    """Those of the engine that are about it."""
    file, plants = BY_TESTS[name]
    a_copy(tmp_path)
    shutil.copytree(ROOT / "tests", tmp_path / "tests", ignore=_IGNORED)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    plant_in(tmp_path, *plants)

    found = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-n0", file],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert found.returncode == 1, found.stdout[-3000:]
    assert f"FAILED {file}" in found.stdout


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_start_before_the_earlier_agents_are_settled_is_found(tmp_path: Path) -> None:
    """What the first tick starts would be taken for what an earlier daemon left."""
    a_copy(tmp_path)
    shutil.copytree(ROOT / "tests", tmp_path / "tests", ignore=_IGNORED)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    await_settled = "            await self._settled.wait()\n"
    plant_in(tmp_path, Plant("workgraph/daemon/engine.py", await_settled, ""))

    found = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n0", "tests/engine/test_restart.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert found.returncode == 1, found.stdout[-3000:]
    # Which of them depends on how the first tick and the settling happen to meet.
    names = ("test_ready_work_at_the_start", "test_an_end_before_the_timeout")
    assert any(
        f"FAILED tests/engine/test_restart.py::{n}" in found.stdout for n in names
    )


#: What is compiled is copied, so that not each copy has to be: copies have the times of
#: their originals. Not what another worker is just writing.
_IGNORED = shutil.ignore_patterns("bench", "system", "*.pyc.*")


def a_copy(folder: Path) -> None:
    """Makes a copy of the package."""
    shutil.copytree(ROOT / "workgraph", folder / "workgraph", ignore=_IGNORED)


def plant_in(folder: Path, *plants: Plant) -> None:
    """Plants defects in a copy."""
    for plant in plants:
        file = folder / plant.file
        text = file.read_text("utf-8")
        assert plant.old in text, f"{plant.file} has changed: plant the defect anew"
        planted = (
            text.replace(plant.old, plant.new, 1)
            if plant.old
            else f"{text}\n\n{plant.new}"
        )
        file.write_text(planted, encoding="utf-8")
        for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*.pyc"):
            compiled.unlink()
