"""Tasks and agents with boring defaults."""

from typing import Any

from tests.fake_clock import START
from workgraph.graph.chats import Chat, ChatMessage, ChatView
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


def a_chat(**changes: Any) -> Chat:
    """A chat that nobody has used yet."""
    values: dict[str, Any] = {
        "number": 1,
        "task": ".chat-1",
        "created_at": START,
        "by": "me",
    }
    return Chat(**(values | changes))


def a_message(**changes: Any) -> ChatMessage:
    """A message that waits in that chat."""
    values: dict[str, Any] = {
        "number": 7,
        "chat": 1,
        "at": START,
        "by": "me",
        "kind": "message",
        "text": "hello",
    }
    return ChatMessage(**(values | changes))


def a_handler(**changes: Any) -> Agent:
    """An agent that answers in that chat, and can be written to."""
    return an_agent(**({"task": ".chat-1"} | changes))


def a_chat_view(chat: Chat | None = None, **changes: Any) -> ChatView:
    """That chat as the reconciler is shown it; what waits is counted."""
    head = changes.get("head")
    values: dict[str, Any] = {
        "per_turn": False,
        "consumers": 0,
        "queued": int(head is not None),
    }
    return ChatView(chat=chat or a_chat(), **(values | changes))
