"""The predecessor's histories of chats: where they stand, and what was said, in order.

They stand beside its file: `chat/<name>/inbox.jsonl` and `outbox.jsonl`, where the name
is a number, an alias or, by `chat/sessions.json`, a UUID. What had become too long was
moved to `chat/<name>/archive/inbox-20260501-093000.jsonl`. The caller reads them.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import UNSET

from workgraph.commands import wg_rs_values as values
from workgraph.commands.foreign import speaker
from workgraph.graph.chats import chat_number
from workgraph.graph.legacy import Said, old_number
from workgraph.graph.times import parse_moment

SESSIONS: Final = "chat/sessions.json"
_BOXES: Final = ("inbox.jsonl", "outbox.jsonl")
_IDS: Final = re.compile(r'"\.(?:(?:chat|coordinator)-([0-9]{1,9})|coordinator)"')
_ARCHIVE: Final = "archive/"
_ARCHIVED: Final = re.compile(r"(?:in|out)box-[0-9]{8}-[0-9]{6}\.jsonl")
_FOLDER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
_NO_ANSWER: Final = "it was not answered before it was imported, and is set aside"
_decode: Final = msgspec.json.Decoder().decode


def numbers_in(text: str) -> list[int]:
    """The numbers of the chats that a file names."""
    return sorted({int(match[1] or 0) for match in _IDS.finditer(text)})


def number_of(task: str) -> int | None:
    """The number under which a chat's history stands."""
    number = chat_number(task)
    return old_number(task) if number is None else number


def folders_of(number: int, sessions: str | None) -> list[str]:
    """Where a chat's history may be, from the file's folder; the newest kind first."""
    names = {f"chat-{number}", f"coordinator-{number}", str(number)}
    folders = [
        folder
        for name in _sessions_of(sessions, names)
        for folder in (f"{name}/", f".archive/{name}/")
    ]
    folders += [f"{name}/" for name in sorted(names, reverse=True)]
    if number == 0:
        folders.append("")  # where the only one had it
    return [f"chat/{folder}" for folder in folders]


def files_in(folder: str, archived: Iterable[str]) -> list[str]:
    """The files of a history in a folder of it.

    Args:
        folder: The folder, as `folders_of` gives it.
        archived: What is in its folder of archived parts.
    """
    moved = sorted(name for name in archived if _ARCHIVED.fullmatch(name))
    inside = [f"{_ARCHIVE}{name}" for name in moved]
    return [f"{folder}{name}" for name in (*inside, *_BOXES)]


def archive_of(folder: str) -> str:
    """The folder of archived parts, of one that `folders_of` gives."""
    return f"{folder}{_ARCHIVE}"


def read_history(number: int, files: Mapping[str, str]) -> tuple[list[Said], list[str]]:
    """What was said in a chat, in order, and what is to be said of the files.

    The same files may be found under two names: nothing is told twice.
    """
    notes: list[str] = []
    found: dict[tuple[object, ...], tuple[int, int, int, dict[str, Any]]] = {}
    for path in _files_there(number, files):
        is_out = path.rpartition("/")[2].startswith("outbox")
        at, bad = 0, 0
        for place, line in enumerate(files[path].split("\n")):
            if not line.strip():
                continue
            entry = _entry(line)
            if entry is None:
                bad += 1
                continue
            moment = values.moment(entry.get("timestamp"))
            at = at if moment is UNSET else parse_moment(moment, 0)
            key = (is_out, entry.get("id"), at, entry["content"])
            found.setdefault(key, (at, int(is_out), place, entry))
        if bad:
            notes.append(f"{path}: {bad} lines can't be read, and are left out")
    ordered = sorted(found.values(), key=lambda one: one[:3])
    return _told(ordered), notes


def _files_there(number: int, files: Mapping[str, str]) -> Iterator[str]:
    """Those of the files that have the history of a chat."""
    for folder in folders_of(number, files.get(SESSIONS)):
        moved = archive_of(folder)
        archived = [
            path.removeprefix(moved) for path in files if path.startswith(moved)
        ]
        for path in files_in(folder, archived):
            if path in files:
                yield path


def _told(entries: Sequence[tuple[int, int, int, dict[str, Any]]]) -> list[Said]:
    """Messages and their answers, one each and in order, as they have to be here.

    What was not answered when a later one was is set aside. What answers nothing, or
    once more, is a note.
    """
    told: list[Said] = []
    #: The places of those that wait, in order, and of requests.
    waiting: deque[int] = deque()
    places: dict[str, int] = {}
    for at, is_out, _, entry in entries:
        request = entry.get("request_id")
        if not is_out:
            if isinstance(request, str):
                places[request] = len(told)
            waiting.append(len(told))
            by = speaker(values.ORIGIN, entry.get("user"), entry.get("role"))
            told.append(Said(at=at, by=by, kind="message", text=_text(entry)))
            continue
        asked = places.pop(request, None) if isinstance(request, str) else None
        is_reply = asked is not None and bool(waiting) and waiting[0] <= asked
        while is_reply and asked is not None and waiting[0] < asked:
            told.append(_set_aside(waiting.popleft(), at))
        if is_reply:
            waiting.popleft()
        told.append(
            Said(
                at=at,
                by=speaker(values.ORIGIN, entry.get("role")),
                kind="reply" if is_reply else "note",
                text=_text(entry),
                reply_to=asked if is_reply else None,
            )
        )
    at = told[-1].at if told else 0
    told += [_set_aside(place, at) for place in waiting]
    return told


def _set_aside(place: int, at: int) -> Said:
    return Said(at=at, by="wg-rs", kind="error", text=_NO_ANSWER, reply_to=place)


def _text(entry: Mapping[str, Any]) -> str:
    text: str = entry["content"]
    full = entry.get("full_response")
    if not text and isinstance(full, str):
        text = full
    attachments = entry.get("attachments")
    for one in attachments if isinstance(attachments, list) else ():
        if isinstance(one, dict) and isinstance(one.get("path"), str):
            text += f"\n[attached: {one['path']}]"
    return text


def _entry(line: str) -> dict[str, Any] | None:
    try:
        entry = _decode(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    if not isinstance(entry, dict) or not isinstance(entry.get("content"), str):
        return None
    return entry


def _sessions_of(sessions: str | None, names: set[str]) -> Iterator[str]:
    """The folders of the sessions that go by one of these names."""
    try:
        known = _decode(sessions or "{}")
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return
    by_name = known.get("sessions") if isinstance(known, dict) else None
    for folder, meta in (by_name if isinstance(by_name, dict) else {}).items():
        aliases = meta.get("aliases") if isinstance(meta, dict) else None
        has_one = isinstance(aliases, list) and any(
            isinstance(one, str) and one in names for one in aliases
        )
        if has_one and _FOLDER.fullmatch(folder):
            yield folder
