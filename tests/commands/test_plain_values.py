"""What makes parsing quick: of every command, the same as the long way."""

from collections.abc import Iterator
from typing import Any, Final

import pytest
from typer._click.core import Command, Context
from typer._click.exceptions import BadParameter
from typer.core import TyperArgument, TyperOption
from typer.main import get_command

from workgraph.commands.app import build_app
from workgraph.commands.cli_call import Call, HelpAsked, ParseContext
from workgraph.commands.parse import one_command, whole_command
from workgraph.commands.plain_values import is_read, plain_value, typers_value

#: What parsing hands over: one word, or several for what may be repeated.
WORDS: Final = (
    *("", "-", "a", "0", "1", "5", "007", "-1", "+1", "1_000", " 1", "1.5", "\u0661"),
    *("999999999", "9999999999", "true", "open", "done", "OPEN", "clean", "simple"),
    *("human", "crash", "jsonl", "task", "verified", "caf\u00e9", "Status.OPEN"),
)


def parameters() -> Iterator[tuple[str, TyperArgument | TyperOption]]:
    """Each parameter, with its command's path."""
    waiting: list[tuple[str, Command]] = [("wg", get_command(build_app()))]
    while waiting:
        path, command = waiting.pop()
        for one in command.get_params(Context(command)):
            if isinstance(one, TyperArgument | TyperOption):
                yield path, one
        commands = getattr(command, "commands", {})
        waiting += ((f"{path} {name}", one) for name, one in commands.items())


def test_they_are_read_as_typer_reads_them() -> None:
    """Where the quick way says anything, typer says the same."""
    ctx = Context(get_command(build_app()))
    seen: set[tuple[Any, ...]] = set()
    read = 0
    for path, param in parameters():
        many = param.multiple or param.nargs == -1
        info = param.type_descriptor.parameter_info
        kind = (param.type_descriptor.annotation, many, info.min, info.max)
        if kind in seen:
            continue
        seen.add(kind)
        given: list[Any] = [None]
        if not getattr(param, "is_bool_flag", False):
            given += [(word,) for word in WORDS] if many else WORDS
            given += [(), ("open", "done"), ("1", "x")] if many else []
        for value in given:
            plain = plain_value(value, param)
            if not is_read(plain):
                continue
            read += 1
            theirs = typers_value(value, param, ctx)
            assert (plain, type(plain)) == (theirs, type(theirs)), (path, param, value)
    assert read > 100


@pytest.mark.parametrize("word", ["x", "1.5", "-1", "99999999999999999999"])
def test_what_is_wrong_is_left_to_typer(word: str) -> None:
    """An error is in its words."""
    params = {f"{path} {one.name}": one for path, one in parameters()}
    priority = params["wg add priority"]
    assert not is_read(plain_value(word, priority))
    with pytest.raises(BadParameter):
        typers_value(word, priority, Context(get_command(build_app())))


def test_one_command_alone_is_the_same() -> None:
    """A process that parses once builds what it is asked for, and nothing else."""
    whole = whole_command()
    context = ParseContext(cwd="/", env={})
    for word in whole.commands:
        alone = one_command(word)
        if word == "help":
            assert alone is None, "it tells of all of them"
            continue
        assert alone is not None
        assert list(alone.commands) == [word]
        texts = []
        for program in (whole, alone):
            with (
                pytest.raises(HelpAsked) as asked,
                program.make_context("wg", [word, "-h"], obj=Call(context)) as ctx,
            ):
                program.invoke(ctx)
            texts.append(asked.value.text)
        assert texts[0] == texts[1]
    assert one_command("lits") is None
