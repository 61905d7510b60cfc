"""The graph of the predecessor, the Rust workgraph: its `graph.jsonl` as lines of ours.

Pure: text in, lines and warnings out; all or nothing is what takes the lines in. What
has an equal here gets there, the rest is kept as metadata of its task, and said.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

import msgspec

from workgraph.commands import wg_rs_loops, wg_rs_task, wg_rs_ties
from workgraph.commands import wg_rs_values as values
from workgraph.commands.foreign import Notes, free_id, objects_of
from workgraph.commands.line_errors import bad_line
from workgraph.commands.tie_lines import LoopLine, MemberRef
from workgraph.commands.transfer_lines import Line, LogLine, TaskLine, check_depth
from workgraph.commands.transfer_rows import is_id
from workgraph.graph.chats import TAG, chat_number
from workgraph.graph.legacy import LOOP_TAGS, old_number
from workgraph.graph.status import SETTLED, Status
from workgraph.graph.times import to_rfc3339

#: Lines that are no tasks.
_OTHERS: Final = frozenset({"actor", "resource"})
#: By this a chat's task says where it comes from, so that it comes in once.
ORIGIN: Final = "wg_rs"


class Predecessor:
    """A file of the predecessor.

    Args:
        text: What stands in it.
        now: The moment of the import.

    Raises:
        UserError: A line can't be read; it is named.
    """

    def __init__(self, text: str, now: int) -> None:
        self._now = now
        self._notes = Notes()
        #: The tasks by their ids there: the number of the line, and what it says.
        self._tasks: dict[str, tuple[int, dict[str, Any]]] = {}
        #: Their ids here; those of chats are made by whoever takes them in.
        self._names: dict[str, str] = {}
        self._waits: wg_rs_loops.Waits = {}
        self._lost: dict[str, list[str]] = {}
        self._known: Collection[str] = ()
        #: Chats that came in before: what their lines say.
        self._there: dict[str, dict[str, Any]] = {}
        self._read(text)

    def references(self) -> set[str]:
        """The ids that the graph may know already."""
        found = set(self._tasks)
        for _, old in self._tasks.values():
            found.update(_ids(old, "after", "blocked_by", "before", "blocks"))
        return {one for one in found if is_id(one)}

    def lines(
        self, known: Collection[str], came_in: Mapping[str, str]
    ) -> Iterator[tuple[int, Line]]:
        """The lines of ours, with the numbers of those of the file.

        Args:
            known: The ids that are in the graph.
            came_in: The chats that came in before, by where they come from.
        """
        self._known = known
        self._leave_out(came_in)
        self._name_all()
        self._tie()
        chats = {one for one in self._tasks if self._is_chat(one)}
        statuses: dict[str, Status] = {}
        made: list[tuple[int, TaskLine, str]] = []
        for old_id, (number, old) in self._tasks.items():
            line = self._task_line(number, old_id, old, is_chat=old_id in chats)
            statuses[old_id] = line.status
            made.append((number, line, old_id))
        # Cycles last: what is taken out of them decides what a task waits for.
        loops = self._loops(chats, statuses)
        for number, line, old_id in made:
            after = tuple(self._names.get(one, one) for one in self._waits[old_id])
            yield number, msgspec.structs.replace(line, after=after)
            yield from self._ties(number, line, self._tasks[old_id][1])
        yield from loops

    def warnings(self) -> Iterator[str]:
        """What could not come in as it was."""
        return self._notes.lines()

    def name_there(self, name: str) -> str:
        """What a task that came in as `name` was called there."""
        return next((old for old, new in self._names.items() if new == name), name)

    def _read(self, text: str) -> None:
        for number, old in objects_of(text):
            kind, task = old.get("kind", "task"), old.get("id")
            if isinstance(kind, str) and kind in _OTHERS:
                self._notes.add(
                    number, f"a line of the kind {kind} has no equal: left out"
                )
                continue
            if kind != "task":
                raise bad_line(number, f"the kind {kind!r} is not known")
            if not isinstance(task, str) or not task:
                raise bad_line(number, "it has no id")
            if task in self._tasks:
                self._notes.add(number, "its id was there before: the later line holds")
                del self._tasks[task]
            self._tasks[task] = (number, old)

    def _is_chat(self, task: str) -> bool:
        if chat_number(task) is not None or old_number(task) is not None:
            return True
        tags = self._tasks[task][1].get("tags")
        return isinstance(tags, list) and any(
            isinstance(tag, str) and tag in LOOP_TAGS for tag in tags
        )

    def _leave_out(self, came_in: Mapping[str, str]) -> None:
        """A chat that came in before is the one that it has become, as it is now."""
        for task in [one for one in self._tasks if self._is_chat(one)]:
            number, old = self._tasks[task]
            chat = came_in.get(_origin(task, old))
            if chat is None:
                continue
            self._names[task] = chat
            self._there[task] = old
            del self._tasks[task]
            self._notes.add(
                number, f"{task} is here already, as {chat}: it stays as it is"
            )

    def _name_all(self) -> None:
        """Gives ids that ours can have; a chat's that is taken goes by its old name."""
        taken = {one for one in self._tasks if is_id(one)}
        highest = max(
            (old_number(one) or chat_number(one) or 0 for one in taken), default=0
        )
        for old_id, (number, _) in self._tasks.items():
            is_named = old_number(old_id) is not None
            is_new = chat_number(old_id) is not None
            if self._is_chat(old_id) and not is_named:
                if is_new and old_id not in self._known:
                    continue
                found = f".coordinator-{chat_number(old_id)}" if is_new else ""
                if not found or found in taken:
                    highest += 1
                    found = f".coordinator-{highest}"
            elif is_id(old_id):
                continue
            else:
                found = free_id(number, old_id, taken, self._notes.add)
            taken.add(found)
            self._names[old_id] = found

    def _here(self, task: str) -> str | None:
        """The id of a task here; null: it is nowhere."""
        if task in self._tasks or task in self._there:
            return self._names.get(task, task)
        return task if task in self._known else None

    def _tie(self) -> None:
        """What each waits for, said from either end; what is nowhere is lost."""
        self._waits = {task: [] for task in self._tasks}
        for task, (number, old) in self._tasks.items():
            for dep in _ids(old, "after", "blocked_by"):
                if self._here(dep) is not None:
                    self._wait(task, dep)
                else:
                    self._lost.setdefault(task, []).append(dep)
            for back in _loop_edges(old):
                if back["target"] in self._tasks:
                    self._wait(back["target"], task)
            self._tie_later(number, task, old)
        for task, old in self._there.items():
            self._tie_later(None, task, old)

    def _tie_later(self, number: int | None, task: str, old: Mapping[str, Any]) -> None:
        """What waits for a task by its own word; the word of one that is here holds."""
        for later in _ids(old, "before", "blocks"):
            if later in self._tasks:
                self._wait(later, task)
            elif later not in self._there and number is not None:
                self._notes.add(number, "what comes after it is nowhere: left out")

    def _wait(self, task: str, dep: str) -> None:
        deps = self._waits[task]
        if dep not in deps:
            deps.append(dep)

    def _task_line(
        self, number: int, old_id: str, old: Mapping[str, Any], *, is_chat: bool
    ) -> TaskLine:
        machinery = not is_chat and _is_machinery(old_id, old)
        if is_chat:
            old = _as_chat(old)
        found = wg_rs_task.convert(old, self._now, machinery=machinery)
        fields = found.fields
        metadata: dict[str, Any] = dict(fields.get("metadata", {}))
        metadata |= {ORIGIN: _origin(old_id, old)} if is_chat else {}
        self._notes.add_all(number, found.notes, found.kept)
        if lost := self._lost.get(old_id):
            metadata["after"] = lost
            self._notes.add(number, "it waits for a task that is nowhere")
            if fields["status"] not in SETTLED and not is_chat:
                fields["paused"] = True
                self._notes.add(
                    number, "it comes in paused: what it waits for is not there"
                )
        self._take_heir(old, fields, metadata)
        if fields["status"] is not Status.WAITING and old.get("wait_condition"):
            metadata["wait_condition"] = old["wait_condition"]
        for key in ("cycle_config", "loops_to", "loop_iteration"):
            if old.get(key):
                metadata[key] = old[key]
        fields |= {"id": self._names.get(old_id, old_id), "metadata": metadata}
        check_depth(number, metadata)
        try:
            return msgspec.convert(fields, TaskLine)
        except msgspec.ValidationError as error:
            raise bad_line(number, str(error)) from error

    def _take_heir(
        self, old: Mapping[str, Any], fields: dict[str, Any], metadata: dict[str, Any]
    ) -> None:
        heirs = _ids(old, "superseded_by")
        known = [here for heir in heirs if (here := self._here(heir)) is not None]
        if fields["status"] is Status.ABANDONED and known:
            fields["superseded_by"] = known[0]
        if len(heirs) > 1 or (heirs and "superseded_by" not in fields):
            metadata["superseded_by"] = heirs

    def _ties(
        self, number: int, line: TaskLine, old: Mapping[str, Any]
    ) -> Iterator[tuple[int, Line]]:
        task, since = line.id or "", line.updated_at or to_rfc3339(self._now)
        if line.status is Status.WAITING:
            said = old.get("wait_condition")
            wait = wg_rs_ties.read_wait(task, said, since, self._here, self._now)
            if wait is not None:
                yield number, wait
            else:
                self._notes.add(number, "what it waits for has no equal: for a message")
        added = LogLine(
            task=task,
            at=line.created_at or to_rfc3339(self._now),
            change="task_added",
            by="wg-rs",
            to=line.status,
            reason=line.title,
        )
        for one in wg_rs_ties.read_log(task, old, added):
            if one is None:
                self._notes.add(number, "a line of its log can't be read: left out")
            else:
                yield number, one

    def _loops(
        self, chats: Collection[str], statuses: Mapping[str, Status]
    ) -> list[tuple[int, Line]]:
        inside = {
            task: [dep for dep in deps if dep in self._tasks]
            for task, deps in self._waits.items()
        }
        broken = wg_rs_loops.break_cycles(
            inside, self._configs(), chats, lambda one: self._tasks[one][0]
        )
        if not broken:
            return []
        for task, deps in self._waits.items():
            kept = set(inside[task])
            deps[:] = [dep for dep in deps if dep in kept or dep not in self._tasks]
        lines: list[tuple[int, Line]] = []
        for one in wg_rs_loops.keep_possible(broken, inside, statuses.__getitem__):
            number, _ = self._tasks[one.head]
            self._notes.add(number, one.note)
            if one.loop is not None:
                refs = [MemberRef(task=self._names.get(m, m)) for m in one.loop.members]
                lines.append(
                    (
                        number,
                        LoopLine(
                            members=tuple(refs),
                            max=one.loop.max,
                            until_converged=one.loop.until_converged,
                            iteration=one.loop.iteration,
                        ),
                    )
                )
        return lines

    def _configs(self) -> dict[str, dict[str, Any]]:
        """What is said of cycles, by the task that each begins with."""
        configs: dict[str, dict[str, Any]] = {}
        for task, (_, old) in self._tasks.items():
            config = old.get("cycle_config")
            if isinstance(config, dict):
                configs[task] = config
            for back in _loop_edges(old):
                if back["target"] in self._tasks:
                    configs.setdefault(back["target"], back)
        for task, config in configs.items():
            iteration = self._tasks[task][1].get("loop_iteration", 0)
            configs[task] = config | {"iteration": iteration}
        return configs


def _origin(task: str, old: Mapping[str, Any]) -> str:
    """Which of the predecessor's chats it is, in whatever state; not of another graph.

    A number says little: each of its graphs has had a first one.
    """
    return f"{task} {old.get('created_at') or old.get('title')}"


def _ids(old: Mapping[str, Any], *keys: str) -> list[str]:
    found: list[str] = []
    for key in keys:
        value = old.get(key)
        if isinstance(value, list):
            found += [one for one in value if isinstance(one, str)]
    return list(dict.fromkeys(found))


def _loop_edges(old: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    edges = old.get("loops_to")
    for edge in edges if isinstance(edges, list) else ():
        if isinstance(edge, dict) and isinstance(edge.get("target"), str):
            yield edge


def _is_machinery(task: str, old: Mapping[str, Any]) -> bool:
    """Whether the predecessor has made a task for its own purposes."""
    if task.startswith("."):
        return True
    tags = old.get("tags")
    return (
        task.startswith(("assign-", "evaluate-"))
        and isinstance(tags, list)
        and "agency" in tags
    )


def _as_chat(old: Mapping[str, Any]) -> dict[str, Any]:
    """A chat's task without what would run it: it is kept, and does nothing."""
    chat = dict(old)
    tags = chat.get("tags")
    if isinstance(tags, list):
        # Whoever takes it in sees by that tag that it is no chat yet.
        chat["tags"] = [tag for tag in tags if tag != TAG]
    if chat.get("exec"):
        chat["exec_mode"] = chat.get("exec_mode") or "chat"
    client = values.client(chat.get("executor_preset_name"))
    if client is not None and not chat.get("provider"):
        chat["provider"] = chat.pop("executor_preset_name")
    # No gate is for it, and nothing of it is to be tried again.
    for key in ("verify", "validation_commands", "wait_condition"):
        chat.pop(key, None)
    if chat.get("status") not in {"done", "failed", "abandoned"}:
        chat["status"] = "open"
    return chat
