"""What the predecessor called its chats, and what they are called here.

There a chat was a task `.coordinator-N`, at first just `.coordinator`; later `.chat-N`.
"""

import re
from collections.abc import Callable, Iterable
from typing import Final

from workgraph.graph.chats import ARCHIVED_TAG, TAG, MessageKind, chat_id
from workgraph.graph.model import Record
from workgraph.graph.status import SETTLED, Status

#: What marked the tasks that were kept running, which chats are not.
LOOP_TAGS: Final = frozenset({"coordinator-loop", "chat-loop"})
#: What every such name begins with, and what comes right behind all of them.
FIRST: Final = ".coordinator"
BEHIND: Final = ".coordinator."

_OLD: Final = re.compile(r"\.coordinator(?:-([0-9]{1,9}))?")


class Said(Record, frozen=True, kw_only=True):
    """Something that was said in a chat of the predecessor."""

    at: int
    by: str
    kind: MessageKind
    text: str
    #: The place of what it answers, in the same history.
    reply_to: int | None = None


def old_number(task: str) -> int | None:
    """The number in `.coordinator-3`; that of `.coordinator` is 0; null for others."""
    match = _OLD.fullmatch(task)
    return None if match is None else int(match[1] or 0)


def new_numbers(
    old: Iterable[str], is_taken: Callable[[int], bool], free: Callable[[], int]
) -> dict[str, int]:
    """The numbers of what become chats: their own where they are free.

    Args:
        old: The names that they have.
        is_taken: Whether there is, or was, a chat of a number.
        free: A number above all that there ever were.
    """
    numbers: dict[str, int] = {}
    wanted = sorted((old_number(name) or 0, name) for name in old)
    others: list[str] = []
    for number, name in wanted:
        # `.coordinator` comes before `.coordinator-0`, which is the younger of both.
        if number in numbers.values() or is_taken(number):
            others.append(name)
        else:
            numbers[name] = number
    above = max((free() - 1, *numbers.values()))
    for name in others:
        above += 1
        numbers[name] = above
    return numbers


def is_usable(status: Status, tags: Iterable[str]) -> bool:
    """Whether a chat of the predecessor was one that could be talked to."""
    return status not in SETTLED and ARCHIVED_TAG not in tags


def new_tags(tags: Iterable[str], *, usable: bool) -> tuple[str, ...]:
    """The tags of a chat's node: those that it had, without what kept it running."""
    dropped = LOOP_TAGS | {TAG, ARCHIVED_TAG}
    kept = [tag for tag in tags if tag not in dropped]
    return (TAG, *kept) if usable else (TAG, *kept, ARCHIVED_TAG)


def new_condition(condition: str, names: Iterable[tuple[str, str]]) -> str:
    """A condition (`task:.coordinator-3=done`) with the new names in it."""
    for old, new in names:
        condition = re.sub(
            rf"\btask:{re.escape(old)}(?=[=,|]|$)", f"task:{new}", condition
        )
    return condition


def show(old: str, number: int, *, usable: bool) -> str:
    """What has become of one, in a line."""
    state = "" if usable else ", archived"
    return f"{old} is the chat {chat_id(number)}{state}"
