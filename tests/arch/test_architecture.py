"""What exists once exists once (DESIGN §4), and the parts know of each other."""

import re
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from tests.arch.tree import CHECKS, ROOT
from workgraph.commands.app import build_app
from workgraph.commands.handlers import READS, WRITES
from workgraph.daemon.special import COMMANDS
from workgraph.graph import requests as r
from workgraph.graph.status import CAUSES, SETTLED, TRANSITIONS, Status, Verb


@pytest.mark.timeout(120)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_tree_keeps_to_it(check: Callable[[Path], list[str]]) -> None:
    """Each check names every place that breaks it."""
    assert check(ROOT) == []


def test_every_request_has_a_handler() -> None:
    """In the engine, in the daemon, or as a stream of its connection."""
    special = (ROOT / "workgraph/daemon/special.py").read_text("utf-8")
    daemons = set(re.findall(r"\b(?:r\.)?(\w+): self\._", special))
    answered = {kind.__name__ for kind in (*READS, *WRITES)} | daemons
    kinds = {kind.__name__ for kind in typing.get_args(r.AnyRequest)}

    assert kinds - answered == {"Watch"}
    assert answered <= kinds
    assert len(COMMANDS) == len(kinds), "two requests with one tag"


def test_every_status_and_every_verb_is_in_the_table() -> None:
    """Each status is reached from `open`, each verb leads somewhere and has a cause."""
    reached, new = {Status.OPEN}, {Status.OPEN}
    while new:
        new = {to for at in new for to in TRANSITIONS[at].values()} - reached
        reached |= new
    verbs = {verb for moves in TRANSITIONS.values() for verb in moves}

    assert reached == set(Status) == set(TRANSITIONS)
    assert verbs == set(Verb) == set(CAUSES)
    assert all(CAUSES.values())
    assert {at for at in Status if not set(TRANSITIONS[at]) - {Verb.RETRY}} <= SETTLED


def test_every_command_is_documented() -> None:
    """Each command of the command line has its words in docs/commands.md."""
    text = (ROOT / "docs/commands.md").read_text("utf-8")
    names = list(_names(get_command(build_app()), ""))

    assert len(names) > 30
    assert [name for name in names if f"wg{name}" not in text] == []


def _names(command: Any, path: str) -> Iterator[str]:
    """Every command that does something, groups and hidden ones aside."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path
        return
    for name, below in inner.items():
        if not below.hidden:
            yield from _names(below, f"{path} {name}")
