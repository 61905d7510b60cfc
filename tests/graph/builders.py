"""Tasks and agents with boring defaults."""

from typing import Any

from tests.fake_clock import START
from workgraph.graph.model import (
    Agent,
    AgentStatus,
    ProcessId,
    Task,
    TaskSpec,
    Usage,
)
from workgraph.graph.status import Status


def a_task(title: str = "a task", **changes: Any) -> Task:
    """An open task; what is no column is taken for a part of its spec."""
    columns: dict[str, Any] = {
        "seq": 1,
        "id": "t",
        "status": Status.OPEN,
        "priority": 2,
        "paused": False,
        "unmet": 0,
        "chain": 1,
        "actor": None,
        "actor_matched": False,
        "claimed_by": None,
        "claimed_at": None,
        "reserved_for": None,
        "attempts": 0,
        "starts": 0,
        "not_before": None,
        "retry_at": None,
        "start_after": None,
        "parked": None,
        "gate": None,
        "failure": None,
        "progress": None,
        "usage": Usage(),
        "summary": None,
        "superseded_by": None,
        "added_by": None,
        "depth": 0,
        "last_agent": None,
        "created_at": START,
        "started_at": None,
        "completed_at": None,
        "updated_at": START,
    }
    spec = {name: changes.pop(name) for name in list(changes) if name not in columns}
    return Task(spec=TaskSpec(title=title, **spec), **(columns | changes))


def a_claimed_task(title: str = "a task", **changes: Any) -> Task:
    """A task that agent-1 works on, in its first attempt."""
    held: dict[str, Any] = {
        "status": Status.IN_PROGRESS,
        "claimed_by": "agent-1",
        "claimed_at": START,
        "last_agent": "agent-1",
        "attempts": 1,
        "starts": 1,
    }
    return a_task(title, **(held | changes))


def an_agent(**changes: Any) -> Agent:
    """A process that works on `t`."""
    values: dict[str, Any] = {
        "number": 1,
        "task": "t",
        "attempt": 1,
        "actor": None,
        "executor": "shell",
        "model": None,
        "endpoint": None,
        "status": AgentStatus.WORKING,
        "human": False,
        "outcome": None,
        "exit_code": None,
        "signal": None,
        "process": ProcessId(pid=1, boot_id="b", start_ticks=1),
        "folder_inode": 1,
        "verdict": None,
        "reason": None,
        "stop": None,
        "counted": True,
        "workspace": None,
        "timeout_at": None,
        "started_at": START,
        "ended_at": None,
        "last_activity_at": START,
        "usage": Usage(),
    }
    return Agent(**(values | changes))


def an_ended_agent(**changes: Any) -> Agent:
    """The same, gone."""
    gone: dict[str, Any] = {"status": AgentStatus.ENDED, "ended_at": START}
    return an_agent(**(gone | changes))
