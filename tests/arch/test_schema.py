"""The schema: migrations lead to it, and the hot queries use its indexes."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing
from importlib import resources
from typing import Any

import pytest

from workgraph.store import (
    agent_reads,
    agents,
    artifacts,
    budgets,
    calibration,
    candidates,
    chat_limits,
    chats,
    choices,
    contexts,
    conversation,
    errands,
    history,
    holds,
    identities,
    inbox,
    judging,
    loops,
    messages,
    prompts,
    proposals,
    reads,
    reconciling,
    rewards,
    service,
    surroundings,
    trajectories,
    views,
    waits,
    writes,
)
from workgraph.store.database import SCHEMA_VERSION, migrate, migrations

SCHEMA = (resources.files("workgraph.store") / "schema.sql").read_text("utf-8")


def empty() -> AbstractContextManager[sqlite3.Connection]:
    """A database with nothing in it, closed after the block."""
    return closing(sqlite3.connect(":memory:", isolation_level=None))


@pytest.fixture
def migrated() -> Iterator[sqlite3.Connection]:
    """A database as a new project gets it."""
    with empty() as connection:
        migrate(connection)
        yield connection


def test_migrations_lead_to_the_schema(migrated: sqlite3.Connection) -> None:
    """Table by table, index by index, comments and blanks aside."""
    with empty() as reference:
        reference.executescript(SCHEMA)

        assert _objects(migrated) == _objects(reference)


def test_a_gate_is_added_to_what_is_there() -> None:
    """Rows, edges and indexes stay; the other gates are as they were."""
    with empty() as old:
        old.execute("pragma foreign_keys = on")
        for number, script in migrations()[:5]:
            old.executescript(f"{script}\npragma user_version = {number};")
        for task, gate in (("a", "human"), ("b", "verify")):
            old.execute(
                "insert into tasks (id, spec, status, gate, created_at, updated_at)"
                " values (?, '{}', 'pending-review', ?, 0, 0)",
                (task, gate),
            )
        old.execute("insert into edges values ('b', 'a', 'done')")

        migrate(old)

        old.execute("update tasks set gate = 'loop' where id = 'b'")
        with pytest.raises(sqlite3.IntegrityError):
            old.execute("update tasks set gate = 'soup' where id = 'a'")
        assert old.execute("select id, gate from tasks").fetchall() == [
            ("a", "human"),
            ("b", "loop"),
        ]
        assert old.execute("pragma integrity_check").fetchall() == [("ok",)]
        with pytest.raises(sqlite3.OperationalError):
            old.execute("update sqlite_schema set sql = ''")


def test_migrations_are_numbered_without_gaps(migrated: sqlite3.Connection) -> None:
    """The last one is the version; migrating twice does nothing."""
    assert [number for number, _ in migrations()] == list(range(1, SCHEMA_VERSION + 1))
    migrate(migrated)
    assert migrated.execute("pragma user_version").fetchone() == (SCHEMA_VERSION,)


def test_every_index_says_which_query_it_is_for() -> None:
    """A comment stands above each, or above the one before it."""
    lines = SCHEMA.splitlines()
    starts = [n for n, line in enumerate(lines) if line.startswith("create index")]
    assert len(starts) > 8
    for start in starts:
        above = start - 1
        while lines[above].strip() and not lines[above].startswith("--"):
            above -= 1
        assert lines[above].startswith("--"), lines[start]


TALK = {"task": "t", "agent": 1, "session": "s"}
CHAT = {"chat": 1, "told": 0, "kinds": "[]", "share": 9, "most": 9}
#: Tables that grow, by their names and as queries call them.
LARGE = (
    "tasks|agents|edges|changes|artifacts|consumed|rewards|standings"
    "|chat_messages|t|a|e|g|l|m|n|o|p|r|x"
)
SHARES = {"id": "t", "tokens": 1, "usd": 1}
#: The query, its parameters, and the indexes that must do the work.
HOT: dict[str, tuple[str, Any, set[str]]] = {
    "candidates": (views.CANDIDATES, (4,), {"tasks_dispatch"}),
    "look-again": (views.LOOK_AGAIN, (0, 4), {"tasks_parked"}),
    "due": (views.DUE, (0,), {"tasks_due"}),
    "overdue": (views.OVERDUE, (0,), {"agents_timeout"}),
    "expired": (views.EXPIRED, (0,), {"tasks_claim_ends"}),
    "is-late": (
        views.IS_LATE,
        {"now": 0},
        {"agents_timeout", "agents_stall", "agents_client", "tasks_claim_ends"},
    ),
    "ended": (views.ENDED, (), {"agents_ended"}),
    "gates": (views.GATES, (), {"tasks_gate", "loop_members_task"}),
    "loop-of": (loops.LIVE_OF, ("t",), {"loop_members_task"}),
    "loops-of": (loops.LATEST_OF, ('["t"]',), {"loop_members_all"}),
    "loop-is-over": (loops.UNFINISHED, (1, "t"), set()),
    "loop-word": (loops.TAKE_BACK, ("t",), {"loop_members_task"}),
    "loop-outsiders": (
        loops.OUTSIDERS,
        {"inner": '["t"]', "members": '["t"]', "last": "t"},
        {"edges_dep"},
    ),
    "next-moment": (
        views.NEXT_MOMENT,
        {"now": 0},
        {"tasks_due", "tasks_claim_ends", "agents_timeout", "tasks_parked"},
    ),
    "next-start": (views.NEXT_START, (), {"tasks_due"}),
    "look-at-all": (views.LOOK_AT_ALL, (0,), {"tasks_parked"}),
    "release": (writes.RELEASE_DEPENDENTS, ("t", "done", "settled"), {"edges_dep"}),
    "hold": (writes.HOLD_DEPENDENTS, ("t", "done", "settled"), {"edges_dep"}),
    "rewards-of-attempt": (rewards.OF_ATTEMPT, ("t", 1), set()),
    "rewards-of-task": (rewards.OF_TASK, ("t",), set()),
    "rewards-of-tasks": (rewards.OF_TASKS, ('["t"]',), set()),
    "reward-whose": (rewards.WHOSE, ("t", 1), set()),
    "reward-notes": (contexts.REWARD_NOTES, ("t",), set()),
    "standing": (rewards.STANDING, ("actor", "a", "1", "", ""), set()),
    "to-judge": (judging.TO_JUDGE, (), {"agents_to_judge"}),
    "scored": (judging.SCORED, {"task": None}, {"tasks_gate"}),
    "is-any-judged": (judging.IS_ANY, (), {"agents_to_judge", "tasks_gate"}),
    "errand-for": (judging.ERRAND_FOR, ("t", 1, "score"), {"errands_about"}),
    "among-errands": (errands.AMONG, ('["t"]',), set()),
    "by-token": (agent_reads.AGENT_BY_TOKEN, (b"",), {"agents_token"}),
    "live-agents": (agent_reads.LIVE_AGENTS, (), {"agents_live"}),
    "next": (agents.NEXT, ("t",), set()),
    "live-agent-of": (agent_reads.LIVE_AGENT_OF, ("t",), set()),
    "task": (reads.TASK_BY_ID, ("t",), set()),
    "dependencies": (reads.EDGES_WITH_STATUS, ("t",), set()),
    "dependents": (reads.DEPENDENTS_OF, ("t",), {"edges_dep"}),
    "added-by": (reads.ADDED_BY, ("agent-1",), {"tasks_added_by"}),
    "root-of": (reads.ROOT_OF, {"task": "t"}, set()),
    "below": (reads.COUNT_BELOW, {"root": "t", "most": 9}, {"tasks_added_by"}),
    "canary-answer": (calibration.ANSWER, ("{}", "t"), {"canary_cases_task"}),
    "canary-cases": (calibration.CASES, (1,), set()),
    "canary-earlier": (calibration.EARLIER, ("a", "1", 9), {"canary_runs_actor"}),
    "overrides": (calibration.OVERRIDES, ("eva", "1"), {"rewards_operator"}),
    "late": (history.LATE_RESULTS, ('["t"]',), {"changes_late"}),
    "used-by-task": (budgets.OF_TASK, SHARES, set()),
    "used-by-subtree": (budgets.OF_SUBTREE, SHARES, {"tasks_added_by"}),
    "used-on-a-day": (budgets.SPENT_ON, (0,), set()),
    "set-aside": (budgets.SET_ASIDE, SHARES, {"agents_live"}),
    "spending": (budgets.SPENDING, (), {"agents_live"}),
    "wake": (budgets.WAKE, {"now": 0, "budget": "b", "most": 9}, {"tasks_budget"}),
    "what-there-is": (
        contexts.WHAT_THERE_IS,
        {"task": "t"},
        {"edges_dep", "messages_task", "loop_members_task", "trajectory_steps_task"},
    ),
    "conclusions": (contexts.DEPENDENCIES, ("t",), set()),
    "notes": (contexts.NOTES_OF, ("t", 5), {"changes_task"}),
    "attempts": (contexts.ATTEMPTS, ("t", 5), set()),
    "log-of-attempts": (contexts.LOG_OF_ATTEMPTS, ("t", 9), {"changes_task"}),
    "added": (contexts.ADDED, ("t", 9), {"tasks_added_by"}),
    "waiting-dependents": (contexts.DEPENDENTS, ("t", 9), {"edges_dep"}),
    "of-session": (prompts.OF_SESSION, ("s",), {"agents_session"}),
    "unread": (messages.UNREAD, TALK, {"messages_task", "agents_session"}),
    "news": (messages.NEWS, TALK, {"messages_task", "agents_session"}),
    "messages": (messages.OF_TASK, ("t",), {"messages_task"}),
    "last-messages": (messages.LAST, ("t", 5), {"messages_task"}),
    "count-unread": (messages.COUNT_UNREAD, ("t",), {"messages_task"}),
    "count-sent": (messages.COUNT_SENT, ("t", "agent-1"), {"messages_task"}),
    "receipts": (messages.RECEIPTS_OF, ("t",), {"messages_task"}),
    "settle": (messages.SETTLE, TALK | {"now": 0}, {"messages_task"}),
    "questions": (inbox.QUESTIONS, (), {"tasks_status"}),
    "reviews": (inbox.REVIEWS, (), {"tasks_status"}),
    "of-persons": (inbox.OF_PERSONS, (), {"tasks_status"}),
    "held": (inbox.HELD, (), {"tasks_parked"}),
    "failed": (inbox.FAILED, (), {"tasks_status"}),
    "claimed": (inbox.CLAIMED, (), {"tasks_status"}),
    "wake-consumers": (artifacts.WAKE, ("t",), {"tasks_producer"}),
    "living-by-name": (
        identities.LIVING_BY_NAME,
        ("actor", "a"),
        {"identities_name"},
    ),
    "held-by": (identities.HELD_BY, ("a",), {"agents_live"}),
    "actor-by-name": (service.ACTOR_BY_NAME, ("a",), {"identities_name"}),
    "wake-every-consumer": (artifacts.WAKE_ALL, (), {"tasks_producer"}),
    "artifacts-of": (artifacts.OF_TASK, ("t",), set()),
    "artifact": (artifacts.NAMED, ("t", "n"), set()),
    "stale-of": (artifacts.STALE_OF, (1,), set()),
    "reserved": (trajectories.OF_TASK, ("t",), {"trajectory_steps_task"}),
    "every-reserved": (trajectories.EVERY, (), {"trajectory_steps_task"}),
    "continuing": (views.CONTINUING, (4,), {"trajectories_begun"}),
    "ready-free": (surroundings.READY, (9,), {"tasks_dispatch"}),
    "below-one": (surroundings.BELOW, ("t", 9), {"edges_dep"}),
    "above-one": (surroundings.ABOVE, ("t", 9), set()),
    "steps": (surroundings.STEPS, {"ids": "[]", "actor": None, "most": 8}, set()),
    "waits-to-judge": (
        waits.TO_JUDGE,
        {"now": 0},
        {"wait_terms_due", "wait_terms_words", "messages_task"},
    ),
    "waits-any": (waits.MAY_BE_OVER, (), {"wait_terms_due", "wait_terms_words"}),
    "messages-any": (messages.HAS_ANY, ("t",), {"messages_task"}),
    "waits-due": (waits.IS_DUE, (0,), {"wait_terms_due"}),
    "waits-mark": (waits.MARK, {"now": 0, "target": "t"}, {"wait_terms_target"}),
    "waits-files": (waits.FILES, (), {"wait_terms_file"}),
    "waits-by-themselves": (waits.WAKES_BY_ITSELF, (), {"wait_terms_due"}),
    "held-by-key": (holds.HELD, ("k", 9), {"tasks_held"}),
    "any-of-key": (holds.ANY_OF, ("k",), {"tasks_held"}),
    "keys": (candidates.KEYS, {"low": "actor:", "high": "actor;"}, {"tasks_held"}),
    "live-by-actor": (choices.LIVE, (), {"agents_live"}),
    "reserved-among": (candidates.RESERVED, ("[]",), {"trajectory_steps_task"}),
    "asked-for": (candidates.ASKED, ("[]",), {"errands_about"}),
    "trials": (proposals.TRIALS, (), {"proposals_open"}),
    "on-trial": (proposals.ON_TRIAL, (), {"proposals_open"}),
    "open-proposals": (proposals.OPEN, (), {"proposals_open"}),
    "judged-of-actor": (proposals.OF_ACTOR, ("a",), {"rewards_actor"}),
    "chat-changed": (conversation.CHANGED, CHAT, set()),
    "chat-running": (conversation.RUNNING, (9,), {"agents_live"}),
    "chat-failed": (conversation.FAILED, (9,), {"tasks_status"}),
    "chat-asked": (conversation.ASKED, (9,), {"tasks_status"}),
    "chat-to-review": (conversation.TO_REVIEW, (9,), {"tasks_status"}),
    "chat-added": (conversation.ADDED, ("t", 9), {"tasks_added_by"}),
    "chat-said": (conversation.SAID, CHAT, {"chat_messages_chat"}),
    "chat-count-said": (
        conversation.COUNT_SAID,
        CHAT,
        {"chat_messages_chat", "chat_messages_waiting"},
    ),
    "chats-needy": (
        reconciling.NEEDY,
        {"used": "[1]", "inputs": "[1]", "idle_after": 9, "turn_limit": 9},
        {"chats_handler", "chat_messages_waiting", "chats_open"},
    ),
    "chats-nodes": (reconciling.NODES, ('["t"]',), set()),
    "chats-of-handlers": (reconciling.HANDLERS, ("[1]",), set()),
    "chats-queues": (reconciling.QUEUES, ("[1]",), {"chat_messages_waiting"}),
    "chats-among": (chats.AMONG, ("[1]",), set()),
    "chats-live-handlers": (reconciling.LIVE_HANDLERS, (), {"chats_handler"}),
    "chats-ended-handlers": (reconciling.ENDED_HANDLERS, (), {"chats_handler"}),
    "chat-head": (chats.WAITING, (1,), {"chat_messages_waiting"}),
    "chat-count-waiting": (chats.COUNT_WAITING, (1,), {"chat_messages_waiting"}),
    "chat-taken": (
        chats.SET_TAKEN,
        {"agent": 1, "taken": 1},
        {"chats_handler", "chat_messages_waiting"},
    ),
    "chat-delivery": (chat_limits.LAST_DELIVERY, ("t",), {"chat_messages_chat"}),
    "chat-added-since": (chat_limits.ADDED_SINCE, ("a", 0), {"tasks_added_by"}),
    "chat-below": (
        chat_limits.UNFINISHED_BELOW,
        {"root": "t", "most": 9},
        {"tasks_added_by"},
    ),
    "live-wrappers": (agent_reads.LIVE_WRAPPERS, ("[1]",), {"agents_live"}),
}


@pytest.mark.parametrize("name", HOT)
def test_a_hot_query_reads_no_more_than_it_gives(
    migrated: sqlite3.Connection, name: str
) -> None:
    """It goes by the index that was made for it, and scans no table and sorts none."""
    sql, params, wanted = HOT[name]

    rows = migrated.execute(f"explain query plan {sql}", params).fetchall()
    steps = [str(row[3]) for row in rows]

    used = {
        m[1] for s in steps if (m := re.search(r"USING (?:COVERING )?INDEX (\w+)", s))
    }
    assert wanted <= used, steps
    for step in steps:
        scans = re.match(rf"SCAN ({LARGE})\b", step)
        assert scans is None or re.search(r"USING (COVERING )?INDEX", step), steps
    if name in {"candidates", "ended", "overdue", "held-by-key"}:
        assert not any("TEMP B-TREE" in step for step in steps), steps


def _objects(connection: sqlite3.Connection) -> dict[str, str]:
    return {
        name: re.sub(r"\s+", " ", re.sub(r"--[^\n]*", "", sql)).strip()
        for name, sql in connection.execute(
            "select name, sql from sqlite_schema where sql is not null"
        )
        if name != "sqlite_sequence"
    }
