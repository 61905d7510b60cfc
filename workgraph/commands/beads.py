"""The issues of beads, the JSON lines of `bd export`, as lines of ours.

Pure: text in, lines and warnings out; all or nothing is what takes the lines in. What
has an equal here gets there, the rest is kept as metadata of its task, and said.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

import msgspec

from workgraph.commands import beads_issue
from workgraph.commands import wg_rs_values as values
from workgraph.commands.foreign import Notes, free_id, objects_of, speaker
from workgraph.commands.line_errors import bad_line
from workgraph.commands.transfer_lines import (
    EdgeRef,
    Line,
    LogLine,
    TaskLine,
    check_depth,
)
from workgraph.commands.transfer_rows import is_id
from workgraph.graph import topology
from workgraph.graph.changes import ChangeKind
from workgraph.graph.model import EdgeKind, Record
from workgraph.graph.times import to_rfc3339

#: Issues that are no work: what agents there write down for themselves.
_NO_WORK: Final = frozenset({"message", "event", "agent", "rig", "role"})
_BLOCKS: Final = "blocks"
_PARENT: Final = "parent-child"
_FANOUT: Final = "waits-for"
_IF_FAILED: Final = "conditional-blocks"
#: Who has done what the file tells of.
_BEADS: Final = "beads"

_WAITING: Final = frozenset({_BLOCKS, _FANOUT, _IF_FAILED})

Issue = Mapping[str, Any]


class _Dependency(Record, frozen=True, kw_only=True):
    """What an issue depends on, and how; `detail` is JSON in a text."""

    kind: str
    on: str
    detail: str


class Beads:
    """A file of `bd export`.

    Args:
        text: What stands in it.
        place: Where it comes in.

    Raises:
        UserError: A line can't be read; it is named.
    """

    def __init__(self, text: str, place: beads_issue.Place) -> None:
        self._place = place
        self._notes = Notes()
        #: By their ids there: the number of the line, and what it says.
        self._issues: dict[str, tuple[int, Issue]] = {}
        #: Those that are left out: what names them loses that.
        self._left_out: set[str] = set()
        self._names: dict[str, str] = {}
        self._known: Collection[str] = ()
        #: What each waits for by its own words, and by what groups it.
        self._own: dict[str, dict[str, EdgeKind]] = {}
        self._made: dict[str, dict[str, None]] = {}
        self._parents: dict[str, list[str]] = {}
        self._children: dict[str, list[str]] = {}
        self._lost: dict[str, list[str]] = {}
        self._links: dict[str, dict[str, list[str]]] = {}
        self._read(text)

    def references(self) -> set[str]:
        """The ids that the graph may know already."""
        found = set(self._issues)
        for _, issue in self._issues.values():
            found.update(one.on for one in _dependencies(issue))
        return {one for one in found if is_id(one)}

    def lines(self, known: Collection[str]) -> Iterator[tuple[int, Line]]:
        """The lines of ours, with the numbers of those of the file.

        Args:
            known: The ids that are in the graph.
        """
        self._known = known
        taken = {one for one in self._issues if is_id(one)}
        for old_id, (number, _) in self._issues.items():
            if not is_id(old_id):
                found = free_id(number, old_id, taken, self._notes.add)
                taken.add(found)
                self._names[old_id] = found
        self._tie()
        self._inherit()
        self._break_cycles()
        for old_id, (number, issue) in self._issues.items():
            yield number, self._task_line(number, old_id, issue)
            yield from self._log_lines(number, old_id, issue)

    def warnings(self) -> Iterator[str]:
        """What could not come in as it was."""
        return self._notes.lines()

    def _read(self, text: str) -> None:
        for number, issue in objects_of(text):
            if "_schema" in issue:
                continue
            kind, task = issue.get("_type", "issue"), issue.get("id")
            if kind != "issue":
                self._notes.add(number, f"a line of the type {kind} is left out")
                continue
            if not isinstance(task, str) or not task:
                raise bad_line(number, "it has no id")
            why = _why_left_out(issue)
            if why is not None:
                self._notes.add(number, f"{why}: left out")
                self._left_out.add(task)
                continue
            if task in self._issues:
                raise bad_line(number, f"the id {task} was there before")
            self._issues[task] = (number, issue)

    def _tie(self) -> None:
        """Sorts out what waits, what groups, and what only belongs together."""
        self._own = {task: {} for task in self._issues}
        self._made = {task: {} for task in self._issues}
        for task, (number, issue) in self._issues.items():
            for one in _dependencies(issue):
                if one.on == task:
                    continue
                if one.kind == _PARENT and one.on in self._issues:
                    self._parents.setdefault(task, []).append(one.on)
                    self._children.setdefault(one.on, []).append(task)
                elif one.kind in _WAITING:
                    self._wait(number, task, one)
                else:
                    links = self._links.setdefault(task, {}).setdefault(one.kind, [])
                    links.append(self._names.get(one.on, one.on))
        for parent, children in self._children.items():
            self._made[parent] |= dict.fromkeys(children)
        for task, (number, issue) in self._issues.items():
            for one in _dependencies(issue):
                if one.kind == _FANOUT:
                    self._wait_for_children(number, task, one)

    def _wait_for_children(self, number: int, task: str, gate: _Dependency) -> None:
        """What waits for a group's parts waits for those that there are."""
        for child in self._children.get(gate.on, ()):
            if child != task:
                self._own[task].setdefault(child, "done")
        if "any-children" in gate.detail:
            self._notes.add(number, "it waits for one of several: here for all of them")

    def _wait(self, number: int, task: str, dependency: _Dependency) -> None:
        target = dependency.on
        if target in self._left_out:
            self._notes.add(number, "what it waits for was left out")
        elif target not in self._issues and target not in self._known:
            self._lost.setdefault(task, []).append(target)
        elif dependency.kind == _IF_FAILED:
            self._own[task].setdefault(target, "settled")
        else:
            self._own[task][target] = "done"

    def _inherit(self) -> None:
        """What keeps a group from being worked on keeps what is in it."""
        for task in self._issues:
            if self._is_closed(task):
                continue
            above, seen = list(self._parents.get(task, ())), {task}
            while above:
                parent = above.pop()
                if parent in seen:
                    continue
                seen.add(parent)
                above += self._parents.get(parent, ())
                for dep, on in self._own[parent].items():
                    is_free = on != "done" or self._is_closed(dep)
                    if dep not in self._own[task] and not is_free:
                        self._made[task][dep] = None
            self._made[task].pop(task, None)

    def _break_cycles(self) -> None:
        """Takes out what only grouping has made; a cycle of their words is refused."""
        waits = {task: [*own, *self._made[task]] for task, own in self._own.items()}
        for part in topology.components(waits, waits):
            inside = set(part)
            for task in part:
                made = self._made[task]
                for dep in inside.intersection(made).difference(self._own[task]):
                    del made[dep]
                    self._notes.add(
                        self._issues[task][0],
                        "it groups what it waits for: the latter holds",
                    )

    def _is_closed(self, task: str) -> bool:
        found = self._issues.get(task)
        return found is not None and found[1].get("status") == "closed"

    def _task_line(self, number: int, old_id: str, issue: Issue) -> TaskLine:
        waits: dict[str, EdgeKind] = dict.fromkeys(self._made[old_id], "done")
        waits |= self._own[old_id]
        found = beads_issue.convert(
            issue,
            self._place,
            is_held=any(not self._is_closed(dep) for dep in waits),
        )
        fields = found.fields
        metadata: dict[str, Any] = dict(fields.get("metadata", {}))
        self._notes.add_all(number, found.notes, found.kept)
        if links := self._links.get(old_id):
            metadata["links"] = links
        is_open = not self._is_closed(old_id)
        if lost := self._lost.get(old_id):
            metadata["after"] = lost
            if is_open:
                fields["paused"] = True
                self._notes.add(
                    number, "it waits for what is not there: it comes in paused"
                )
        if "settled" in waits.values() and is_open:
            fields["paused"] = True
            self._notes.add(
                number, "it is only for when another fails: it comes in paused"
            )
        after = tuple(
            name if on == "done" else EdgeRef(id=name, on=on)
            for dep, on in waits.items()
            for name in (self._names.get(dep, dep),)
        )
        check_depth(number, metadata)
        fields |= {"id": self._names.get(old_id, old_id), "metadata": metadata}
        try:
            line = msgspec.convert(fields, TaskLine)
        except msgspec.ValidationError as error:
            raise bad_line(number, str(error)) from error
        return msgspec.structs.replace(line, after=after)

    def _log_lines(
        self, number: int, old_id: str, issue: Issue
    ) -> Iterator[tuple[int, Line]]:
        """That it was added, and by whom; what people have said of it."""
        task = self._names.get(old_id, old_id)
        created = values.moment(issue.get("created_at"))
        at = created if isinstance(created, str) else to_rfc3339(self._place.now)
        yield (
            number,
            LogLine(
                task=task,
                at=at,
                change=ChangeKind.TASK_ADDED,
                by=speaker(_BEADS, issue.get("created_by")),
                to="open",
            ),
        )
        comments = issue.get("comments")
        for one in comments if isinstance(comments, list) else ():
            if not isinstance(one, dict) or not isinstance(one.get("text"), str):
                self._notes.add(number, "a comment can't be read: left out")
                continue
            said = values.moment(one.get("created_at"))
            yield (
                number,
                LogLine(
                    task=task,
                    at=said if isinstance(said, str) else at,
                    change=ChangeKind.TASK_LOGGED,
                    by=speaker(_BEADS, one.get("author")),
                    reason=one["text"],
                ),
            )


def _why_left_out(issue: Issue) -> str | None:
    if issue.get("status") == "tombstone":
        return "it was deleted"
    if issue.get("is_template") is True:
        return "a template is no work"
    if issue.get("ephemeral") is True or issue.get("wisp") is True:
        return "it was not meant to last"
    kind = issue.get("issue_type")
    if isinstance(kind, str) and kind in _NO_WORK:
        return f"what is of the type {kind} is no work"
    return None


def _dependencies(issue: Issue) -> Iterator[_Dependency]:
    """What an issue depends on; in the file each stands with the issue that does."""
    found = issue.get("dependencies")
    for one in found if isinstance(found, list) else ():
        if not isinstance(one, dict) or one.get("issue_id", issue["id"]) != issue["id"]:
            continue
        on, kind, detail = (
            one.get("depends_on_id"),
            one.get("type", _BLOCKS),
            one.get("metadata"),
        )
        if isinstance(on, str) and isinstance(kind, str):
            detail = detail if isinstance(detail, str) else ""
            yield _Dependency(kind=kind, on=on, detail=detail)
