"""Runs of the native agent against the mock of a model's API."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from tests.mock_model_api import MockModelAPI
from workgraph.native.agent import Order, run
from workgraph.native.sessions import Sessions
from workgraph.native.stream import Stream
from workgraph.native.tools import Posture, Workplace

SESSION = "6f1c2f9e-4b5e-4a51-9a55-2f0f3c3b7f10"
#: Comes with every plain answer of the mock that says nothing else.
TOKENS = {"input_tokens": 100, "cache_read_input_tokens": 0, "output_tokens": 20}


class Told(Struct, kw_only=True):
    """What a run has printed, how it ended, and how long it would have waited."""

    lines: list[dict[str, Any]] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    status: int = -1

    @property
    def result(self) -> dict[str, Any]:
        """The last line."""
        return self.lines[-1]

    def blocks(self, kind: str) -> list[dict[str, Any]]:
        """The parts of all messages that are of a kind."""
        return [
            block
            for line in self.lines
            if line["type"] in {"assistant", "user"}
            for block in line["message"]["content"]
            if block["type"] == kind
        ]

    def results(self) -> list[tuple[str, bool]]:
        """What the tools gave back, each with whether it is an error."""
        return [(b["content"], b["is_error"]) for b in self.blocks("tool_result")]

    def retries(self) -> list[tuple[int, int, int | None, str]]:
        """The retries that were told: ordinal, delay in ms, HTTP status, kind."""
        return [
            (
                line["attempt"],
                line["retry_delay_ms"],
                line["error_status"],
                line["error"],
            )
            for line in self.lines
            if line.get("subtype") == "api_retry"
        ]


class Desk:
    """A working directory, a place for sessions, and a mock to ask."""

    def __init__(self, folder: Path, mock: MockModelAPI) -> None:
        self.cwd = folder / "work"
        self.cwd.mkdir(exist_ok=True)
        self.sessions = Sessions(folder / "sessions")
        self.mock = mock

    def order(self, **other: Any) -> Order:
        """A run as it usually is."""
        usual: dict[str, Any] = {
            "prompt": "do it",
            "model": "m",
            "endpoint": f"{self.mock.url}/v1",
            "key": "",
            "session": SESSION,
            "resume": False,
            "posture": "edits",
            "max_turns": 20,
            "request_timeout_s": 10.0,
            "place": self.place(),
        }
        return Order(**(usual | other))

    def place(self, limit: int = 20_000) -> Workplace:
        """Where the tools work."""
        env = {"PATH": "/usr/bin:/bin"}
        return Workplace(cwd=str(self.cwd), env=env, limit=limit, longest_s=10.0)

    async def run(self, **other: Any) -> Told:
        """Runs the agent to its end; it waits for nothing."""
        told = Told()
        order = self.order(**other)

        def take(line: bytes) -> None:
            told.lines.append(json.loads(line))

        async def wait(seconds: float) -> None:
            told.waits.append(seconds)

        stream = Stream(take, order.session, order.key)
        told.status = await run(order, stream, self.sessions, wait)
        return told

    def asked(self) -> list[dict[str, Any]]:
        """The requests for an answer that the mock has got."""
        return [note for note in self.mock.requests if "step" in note]


@contextmanager
def a_desk(folder: Path, steps: str | Sequence[Mapping[str, Any]]) -> Iterator[Desk]:
    """A desk with a mock that answers from a scenario's name or steps."""
    with MockModelAPI(steps, keep_bodies=True, max_hang=5) as mock:
        yield Desk(folder, mock)


def tool(name: str, **arguments: Any) -> dict[str, Any]:
    """A step in which the model calls a tool."""
    return {"tool": name, "args": arguments}


__all__ = ["SESSION", "TOKENS", "Desk", "Posture", "Told", "a_desk", "tool"]
