"""How much may be said: sizes of texts and lists for all, a rate for attempts.

Each is far above what anybody needs who means it; it is there for what runs in a loop.
"""

from collections.abc import Iterator
from typing import Final

from workgraph.commands.access import Reach, reach_of
from workgraph.graph import requests as r
from workgraph.graph.canary_requests import RunCanaries
from workgraph.graph.errors import TryLaterError, UserError
from workgraph.graph.model import Agent

#: As long as a whole line of the socket may be.
MAX_TEXT_BYTES: Final = 1024 * 1024
MAX_ITEMS: Final = 10_000
#: What an attempt may say at once, and what it may go on saying each second: requests,
#: with one more for each piece of text of `PIECE_BYTES`.
BURST: Final = 1000.0
PER_SECOND: Final = 100.0
PIECE_BYTES: Final = 10 * 1024
#: Attempts that are kept in mind; those that rest longest are forgotten.
_MOST_KNOWN: Final = 10_000
#: What is never refused for that: an attempt has one verdict.
_VERDICTS: Final = (r.FinishTask, r.SubmitTask, r.FailTask)


def check_sizes(request: r.AnyRequest) -> None:
    """Refuses to keep texts and lists that are too long; files may be as they are.

    Raises:
        UserError: One is; the message says which.
    """
    is_file = isinstance(request, r.ImportGraph | RunCanaries)
    if is_file or reach_of(request) is Reach.READ:
        return
    for name in request.__struct_fields__:
        value = getattr(request, name)
        if isinstance(value, tuple) and len(value) > MAX_ITEMS:
            raise UserError(
                f"{name}: {len(value)} are too many", hint=f"at most {MAX_ITEMS}"
            )
        for text in _texts(value):
            if len(text) > MAX_TEXT_BYTES or _size(text) > MAX_TEXT_BYTES:
                raise UserError(
                    f"{name} is {_size(text)} bytes long",
                    hint=f"at most {MAX_TEXT_BYTES}: keep the rest in a file",
                )


class Rates:
    """How much each attempt may still say at this moment."""

    def __init__(self) -> None:
        self._left: dict[int, tuple[float, float]] = {}

    def spend(self, agent: Agent, request: r.AnyRequest, now_s: float) -> None:
        """Counts a request of an attempt.

        Args:
            agent: Who says it.
            request: What is said; reading and verdicts are not counted.
            now_s: Of a clock that never goes back.

        Raises:
            TryLaterError: It has said too much in too short a time.
        """
        if reach_of(request) is Reach.READ or isinstance(request, _VERDICTS):
            return
        left, at = self._left.pop(agent.number, (BURST, now_s))
        left = min(left + (now_s - at) * PER_SECOND, BURST)
        said = sum(
            _size(text)
            for name in request.__struct_fields__
            for text in _texts(getattr(request, name))
        )
        cost = 1 + said / PIECE_BYTES
        may = left >= cost
        self._left[agent.number] = (left - cost if may else left, now_s)
        while len(self._left) > _MOST_KNOWN:
            del self._left[next(iter(self._left))]
        if not may:
            raise TryLaterError(
                f"{agent.id} says more than it may in a second",
                hint=f"at most {PER_SECOND:g} requests a second for long",
            )


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        yield from (item for item in value if isinstance(item, str))


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))
