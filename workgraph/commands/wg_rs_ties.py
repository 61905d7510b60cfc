"""What ties a task of the predecessor to others and to time: its wait and its words."""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from msgspec import UNSET

from workgraph.commands import wg_rs_values as values
from workgraph.commands.foreign import speaker
from workgraph.commands.transfer_lines import LogLine
from workgraph.commands.wait_line import TermRef, WaitLine
from workgraph.graph.changes import ChangeKind
from workgraph.graph.times import parse_moment
from workgraph.graph.waits import MOST_TERMS, Term, write_term

#: The id that a task has here; null: it is nowhere.
Rename = Callable[[str], str | None]

_WAITED_FOR: Final = MappingProxyType(
    {
        "done": "done",
        "pending-review": "done",
        "failed": "failed",
        "abandoned": "abandoned",
    }
)


def read_wait(
    task: str, said: object, since: str, rename: Rename, now: int
) -> WaitLine | None:
    """What a task waits for, in our terms; null where that has no equal.

    Of several of which any would do, those that have one are enough.
    """
    if not isinstance(said, dict) or not isinstance(said.get("conditions"), list):
        return None
    is_any = said.get("mode") == "any"
    terms: list[Term] = []
    for number, one in enumerate(said["conditions"]):
        term = _term(one, number if is_any else 0, rename, now)
        if term is not None:
            terms.append(term)
        elif not is_any:
            return None
    if not 0 < len(terms) <= MOST_TERMS:
        return None
    joint = "|" if is_any else ","
    return WaitLine(
        task=task,
        condition=joint.join(write_term(term) for term in terms),
        since=since,
        terms=tuple(_ref(term) for term in terms),
    )


def read_log(
    task: str, old: Mapping[str, Any], added: LogLine
) -> Iterator[LogLine | None]:
    """The words that stand with a task, after the fact that it was added.

    Null stands for what can't be read.
    """
    entries = old.get("log")
    if not isinstance(entries, list) or not entries:
        return
    yield added
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("message"), str):
            yield None
            continue
        at = values.moment(entry.get("timestamp"))
        yield LogLine(
            task=task,
            at=added.at if at is UNSET else at,
            change=ChangeKind.TASK_LOGGED,
            by=speaker(values.ORIGIN, entry.get("actor"), entry.get("user")),
            reason=entry["message"],
        )


def _term(
    one: object,
    branch: int,
    rename: Rename,
    now: int,
) -> Term | None:
    if not isinstance(one, dict):
        return None
    match one:
        case {"type": "human-input" | "message"}:
            return Term(branch=branch, kind="message")
        case {"type": "timer", "resume_after": due}:
            at = values.moment(due)
            if at is UNSET:
                return None
            return Term(branch=branch, kind="timer", due=parse_moment(at, now))
        case {"type": "file-changed", "path": str(path)}:
            if not path.startswith("/") or "\0" in path:
                return None
            return Term(branch=branch, kind="file", target=path)
        case {"type": "task-status", "task_id": str(task), "status": str(status)}:
            known, target = _WAITED_FOR.get(status), rename(task)
            if known is None or target is None:
                return None
            return Term(branch=branch, kind="task", target=target, status=known)
        case _:
            return None


def _ref(term: Term) -> TermRef:
    due = None
    if term.kind == "timer":
        _, _, due = write_term(term).partition(":")
    return TermRef(
        branch=term.branch,
        kind=term.kind,
        target=term.target,
        status=term.status,
        due=due,
    )
