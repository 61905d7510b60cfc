"""Defects that are planted into a daemon, to see that the matrix finds them."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from msgspec import structs

from workgraph.agents import record
from workgraph.agents.process import Ended, Fate, RealLauncher
from workgraph.daemon.engine import Engine
from workgraph.store import reconciling


def _ignore_locks() -> None:
    """What an earlier daemon left is said never to have started."""

    async def settle(*args: Any) -> Ended:
        return Ended(agent=args[1], fate=Fate.NEVER_STARTED)

    RealLauncher.settle = settle  # type: ignore[method-assign, assignment]


def _ignore_records() -> None:
    """What the wrapper wrote of the end is not read."""
    ordinary = record.parse_record

    def parse_record(run: bytes, exit_file: bytes = b"") -> record.Record:
        del exit_file
        return structs.replace(ordinary(run), status=None)

    record.parse_record = parse_record


def _forget_stops() -> None:
    """Orders to end agents that an earlier daemon has committed are forgotten."""

    async def perform_stops(*_: Any) -> None:
        return

    Engine.perform_stops = perform_stops  # type: ignore[method-assign, assignment]


def _leave_the_rest() -> None:
    """What an agent leaves behind is nobody's business."""

    async def sweep(*_: Any) -> dict[int, tuple[int, ...]]:
        return {}

    RealLauncher.sweep = sweep  # type: ignore[method-assign, assignment]


def _believe_in_pids_alone() -> None:
    """What has no pid in its record is said never to have started."""
    ordinary = record.look

    def look(folder: str, inode: int | None = None) -> record.Look:
        seen = ordinary(folder, inode)
        return structs.replace(seen, was_started=seen.record.pid is not None)

    record.look = look


def _drop_what_is_undelivered() -> None:
    """What a handler had is taken for answered when that handler has ended."""
    reconciling.chats.give_back = lambda *_, **__: None  # type: ignore[attr-defined]


def _forget_the_place() -> None:
    """What was read of a handler's output is read again by the next daemon."""
    reconciling.NOTE_READ = (  # type: ignore[misc]
        "update agents set output_read = 0 where number = :agent and :read >= 0"
    )


#: By the name of a point at which it is found.
PLANTS: Final[Mapping[str, Callable[[], None]]] = MappingProxyType(
    {
        "wrapper-forked": _ignore_locks,
        "boot-opened": _ignore_records,
        "attack-pipe-unrecorded": _believe_in_pids_alone,
        "kill-after-commit": _forget_stops,
        "sweep-found": _leave_the_rest,
        "deliver-after-commit": _drop_what_is_undelivered,
        "answer-after-commit": _forget_the_place,
    }
)
