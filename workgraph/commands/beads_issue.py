"""One issue of beads: its fields as a task's, what is left of it as metadata."""

import json
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any, Final

from msgspec import UNSET, UnsetType

from workgraph.commands import wg_rs_values as values
from workgraph.commands.foreign import take_equals
from workgraph.graph.model import Record
from workgraph.graph.status import Status
from workgraph.graph.times import to_rfc3339

#: What has an equal that depends on nothing else: ours, and how it gets there.
_FIELDS: Final[Mapping[str, tuple[str, Callable[[Any], Any]]]] = MappingProxyType(
    {
        "labels": ("tags", values.texts),
        "close_reason": ("summary", values.text),
        "created_at": ("created_at", values.moment),
        "started_at": ("started_at", values.moment),
        "closed_at": ("completed_at", values.moment),
        "updated_at": ("updated_at", values.moment),
    }
)
#: Texts of their own there; here they are parts of the description.
_SECTIONS: Final = MappingProxyType(
    {
        "design": "Design",
        "acceptance_criteria": "Acceptance criteria",
        "notes": "Notes",
    }
)
#: What groups others, or asks somebody: no work for an agent.
FOR_PEOPLE: Final = frozenset({"epic", "milestone", "molecule", "gate"})
#: What the file says of the graph around an issue, or counts; dealt with elsewhere.
_AROUND: Final = frozenset(
    {
        "_type",
        "id",
        "dependencies",
        "comments",
        "parent",
        "dependency_count",
        "dependent_count",
        "comment_count",
        "content_hash",
        "source_repo",
    }
)
#: Statuses in which nobody works on an issue, though it is not over.
_HALTED: Final = frozenset({"blocked", "deferred", "pinned"})
_USUAL_TYPE: Final = "task"
_HIGHEST_PRIORITY: Final = 4
_LONGEST_NAME: Final = 64


class Place(Record, frozen=True, kw_only=True):
    """Where issues come in."""

    #: The moment of the import.
    now: int
    #: The names of the actors that are here.
    actors: Collection[str]
    #: Who gets what is for people and names nobody.
    importer: str


class Converted(Record, frozen=True, kw_only=True):
    """An issue in our terms."""

    fields: dict[str, Any]
    #: The names of what is kept as metadata because nothing here equals it.
    kept: tuple[str, ...]
    #: What is to be said of it besides.
    notes: tuple[str, ...]


def convert(issue: Mapping[str, Any], place: Place, *, is_held: bool) -> Converted:
    """Converts an issue, all but its id and what ties it to others.

    Args:
        issue: Its line.
        place: Where it comes in.
        is_held: Something that is not over keeps it from being worked on.
    """
    left = {key: one for key, one in issue.items() if key not in _AROUND}
    # What is empty, zero or no is the same there as not being there at all.
    left = {key: one for key, one in left.items() if one or key == "priority"}
    fields: dict[str, Any] = {}
    notes: list[str] = []
    take_equals(left, fields, _FIELDS)
    _take_texts(issue, left, fields)
    _take_type(left, fields)
    _take_numbers(left, fields)
    _take_status(left, fields, notes, place.now, is_held=is_held)
    notes += _take_people(issue, left, fields, place)
    own = left.pop("metadata", None)
    metadata = {**own, **left} if isinstance(own, dict) else left
    if own is not None and not isinstance(own, dict):
        metadata["metadata"] = own
    if metadata:
        fields["metadata"] = metadata
    return Converted(fields=fields, kept=tuple(left), notes=tuple(notes))


def _take_texts(
    issue: Mapping[str, Any], left: dict[str, Any], fields: dict[str, Any]
) -> None:
    title = left.pop("title", None)
    if isinstance(title, str) and title.strip():
        fields["title"] = title
    else:
        fields["title"] = str(issue["id"])
        if title is not None:
            left["title"] = title
    parts: list[str] = []
    if isinstance(left.get("description"), str):
        parts.append(left.pop("description"))
    for key, name in _SECTIONS.items():
        if isinstance(left.get(key), str):
            parts.append(f"## {name}\n\n{left.pop(key)}")
    if parts:
        fields["description"] = "\n\n".join(parts)


def _take_type(left: dict[str, Any], fields: dict[str, Any]) -> None:
    """What kind of work it is, is a tag here."""
    kind = left.get("issue_type")
    if isinstance(kind, str):
        del left["issue_type"]
        if kind != _USUAL_TYPE:
            fields["tags"] = list(dict.fromkeys([*fields.get("tags", ()), kind]))


def _take_numbers(left: dict[str, Any], fields: dict[str, Any]) -> None:
    priority = values.count(left.get("priority"))
    if not isinstance(priority, UnsetType) and priority <= _HIGHEST_PRIORITY:
        fields["priority"] = priority
        del left["priority"]
    elif left.get("priority") is None:
        left.pop("priority", None)
    minutes = values.count(left.get("estimated_minutes"))
    estimate = UNSET if isinstance(minutes, UnsetType) else values.hours(minutes / 60)
    if estimate is not UNSET:
        fields["estimate_s"] = estimate
        left.pop("estimated_minutes", None)


def _take_status(
    left: dict[str, Any],
    fields: dict[str, Any],
    notes: list[str],
    now: int,
    *,
    is_held: bool,
) -> None:
    given = left.pop("status", "open")
    said = given if isinstance(given, str) else json.dumps(given)
    fields["status"] = Status.DONE if said == "closed" else Status.OPEN
    if said == "closed":
        return
    until = values.moment(left.get("defer_until"))
    if not isinstance(until, UnsetType):
        del left["defer_until"]
        if until > to_rfc3339(now):
            fields["not_before"] = until
    if said in {"in_progress", "hooked"}:
        left["status"] = said  # a claim can't be taken along
    elif said in _HALTED:
        has_end = is_held if said == "blocked" else not isinstance(until, UnsetType)
        if said == "pinned" or not has_end:
            _pause(said, left, fields, notes)
    elif said != "open":
        fields["paused"] = True
        left["status"] = given
        notes.append(f"the status {said!r} is not known: it comes in paused")
    if left.get("pinned") is True and not fields.get("paused"):
        _pause("pinned", left, fields, notes)


def _pause(
    said: str, left: dict[str, Any], fields: dict[str, Any], notes: list[str]
) -> None:
    fields["paused"] = True
    left["status"] = said
    notes.append(f"it is {said} without an end: it comes in paused")


def _take_people(
    issue: Mapping[str, Any],
    left: dict[str, Any],
    fields: dict[str, Any],
    place: Place,
) -> list[str]:
    """Who has it there has it here; what groups others is for a person."""
    assignee = left.get("assignee")
    if isinstance(assignee, str) and _is_name(assignee):
        fields["actor"] = assignee
        del left["assignee"]
    if fields["status"] is Status.DONE:
        return []
    kind = issue.get("issue_type")
    if isinstance(kind, str) and kind in FOR_PEOPLE:
        if "actor" not in fields:
            names = (issue.get("owner"), issue.get("created_by"))
            fields["actor"] = next(
                (one for one in names if isinstance(one, str) and _is_name(one)),
                place.importer,
            )
        return [f"{kind}: it is for a person to close"]
    if "actor" in fields and assignee not in place.actors:
        who = f"{assignee}, who is no actor here, so a person"
        return [f"it is for {who}; wg assign ID --clear gives it to agents"]
    return []


def _is_name(text: str) -> bool:
    return bool(text.strip()) and len(text) <= _LONGEST_NAME and text.isprintable()
