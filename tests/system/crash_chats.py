"""Stages at which a daemon is killed while people talk in its chats.

As those of `crash_stages`. A message is there or it is not, and what is there is
answered once, in the database and in the files; what is put away stays so.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.system.crash_lives import Lives
from tests.system.crash_points import Point
from tests.system.project import wait_for, whole_lines

#: What answers in a chat; the first of `chat-dies` dies of its first message.
KINDS = r"""
chat*) while read -r line; do
        [ "$kind" = chat ] || ! first || die 9
        text=${line#*'"text":"'}; printf '{"text":"%s\n' "$text"
    done; leave 0 ;;
"""


def send(lives: Lives, name: str, point: Point) -> Iterator[None]:
    """A message of which nobody was told: it is there, or it is sent again."""
    chat = _new(lives, name)
    lives.arm()
    assert lives.project.run("chat", "send", chat, "one").returncode == 1
    yield
    there = [one["text"] for one in _said(lives, chat) if one["kind"] == "message"]
    assert there == (["one"] if point.when == "after" else [])
    if not there:
        lives.project.wg("chat", "send", chat, "one")
    _expect_answered(lives, chat, "one")


def talk(lives: Lives, name: str, point: Point) -> Iterator[None]:
    """From a message to its answer, and to the line in the file."""
    del point
    chat = _new(lives, name)
    lives.arm()
    # its answer may be lost; what it has said is not
    lives.project.run("chat", "send", chat, "one")
    yield
    _expect_answered(lives, chat, "one")


def crash(lives: Lives, name: str, point: Point) -> Iterator[None]:
    """The handler dies of the message; the next one answers it."""
    del point
    chat = _new(lives, name, "chat-dies")
    lives.arm()
    lives.project.run("chat", "send", chat, "one")
    yield
    _expect_answered(lives, chat, "one")
    assert len(lives.evidence.of_task(chat)) >= 2


def archive(lives: Lives, name: str, point: Point) -> Iterator[None]:
    """It is put away with its handler, or it is as it was."""
    yield from _put_away(lives, [_new(lives, name)], point, "chat", "archive")


def purge(lives: Lives, name: str, point: Point) -> Iterator[None]:
    """All of them are, or none is."""
    made = [_new(lives, f"{name}-{number}") for number in range(3)]
    yield from _put_away(lives, made, point, "service", "purge-chats")


def _put_away(
    lives: Lives, made: list[str], point: Point, *words: str
) -> Iterator[None]:
    for chat in made:
        lives.project.wg("chat", "send", chat, "one")
        _wait_answered(lives, chat, 1)
    command = (*words, *(made if words[0] == "chat" else ()))
    lives.arm()
    assert lives.project.run(*command).returncode == 1
    yield
    there = {one["state"] == "archived" for one in map(_shown(lives), made)}
    assert there == {point.when == "after"}
    lives.project.wg(*command)
    for chat in made:
        wait_for(
            lambda chat=chat: all(  # type: ignore[misc]
                one["status"] == "ended" for one in lives.agents(chat)
            ),
            "the end of its handler",
        )
        assert _shown(lives)(chat)["state"] == "archived"
        assert lives.project.run("chat", "send", chat, "two").returncode == 1
        assert [one["text"] for one in _said(lives, chat)] == ["one", "one"]
    lives.wait_alone()


def _new(lives: Lives, name: str, kind: str = "chat") -> str:
    command = lives.evidence.agent(kind)
    return lives.project.wg("chat", "new", name, "--exec", command).strip()


def _said(lives: Lives, chat: str) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = lives.read("chat_history", task=chat)
    return found


def _shown(lives: Lives) -> Any:
    return lambda chat: lives.read("chat_show", task=chat)


def _wait_answered(lives: Lives, chat: str, count: int) -> None:
    def is_answered() -> bool:
        said = _said(lives, chat)
        return sum(one["reply_to"] is not None for one in said) >= count

    try:
        wait_for(is_answered, f"an answer in {chat}")
    except AssertionError as error:
        told = (_said(lives, chat), _shown(lives)(chat), lives.agents(chat))
        raise AssertionError(f"{error}: {told}") from error


def _expect_answered(lives: Lives, chat: str, text: str) -> None:
    """It is answered once, and so is what comes after it; both are in the files."""
    _wait_answered(lives, chat, 1)
    lives.project.wg("chat", "send", chat, "and then")
    _wait_answered(lives, chat, 2)
    said = _said(lives, chat)
    assert [(one["kind"], one["text"]) for one in said] == [
        *(("message", text), ("reply", text)),
        *(("message", "and then"), ("reply", "and then")),
    ], said
    assert [one["reply_to"] for one in said[1::2]] == [one["id"] for one in said[::2]]
    folder = lives.project.folder / ".wg" / "chat" / chat.removeprefix(".chat-")
    for name, there in (("inbox.jsonl", said[::2]), ("outbox.jsonl", said[1::2])):
        wait_for(
            lambda name=name, there=there: (  # type: ignore[misc]
                _numbers(folder / name) == [one["id"] for one in there]
            ),
            f"{name} to be whole",
        )
    lives.project.wg("chat", "archive", chat)
    lives.wait_alone()


def _numbers(file: Path) -> list[int]:
    return [json.loads(line)["id"] for line in whole_lines(file)]
