"""What all commands share while one call is parsed: the caller, and common options.

A command's function returns a request and keeps nothing. What is not part of the
request (`--json`, files to move, the shared options of `add` and `edit`) is gathered in
the `Call`, which travels as the parser's context object.
"""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from itertools import islice
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Annotated, Any

import typer
from typer._click.core import Command, Context, Parameter
from typer._click.formatting import HelpFormatter
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.main import get_command

from workgraph.commands.escape import escape_line
from workgraph.commands.plain_values import read_plainly
from workgraph.graph.errors import UsageError
from workgraph.graph.model import Record


class ParseContext(Record, frozen=True, kw_only=True):
    """Where a call comes from: its folder, and the `WG_*` of its environment."""

    cwd: str
    env: Mapping[str, str]


class Call:
    """One call while it is being parsed."""

    def __init__(self, context: ParseContext) -> None:
        self.context = context
        self.json = False
        #: The command that was reached, for the hint of an error: `wg config get`.
        self.path = "wg"
        #: What the options gave that `add` and `edit` share, by field.
        self.fields: dict[str, Any] = {}
        self.read_file: str | None = None
        self.write_file: str | None = None

    def absolute(self, path: str) -> str:
        """Joins a path that the caller named to the caller's folder."""
        if not path:
            raise UsageError("a path is empty")
        # Not normalised: `..` after a link leads elsewhere than the text says.
        return require_text(str(PurePosixPath(self.context.cwd, path)))


def require_text(word: str) -> str:
    """The word itself, if it can be stored and sent.

    Raises:
        UsageError: It holds bytes that are not UTF-8.
    """
    try:
        word.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"not valid UTF-8: {escape_line(word)}") from error
    return word


class HelpAsked(Exception):  # noqa: N818 - not an error: somebody asked for it
    """The call asks for a text and nothing else."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


TaskArgument = Annotated[
    str | None,
    typer.Argument(metavar="[ID]", show_default=False, help="The task."),
]
TaskOption = Annotated[
    str | None,
    typer.Option(
        "--task",
        metavar="ID",
        help="The task, where WG_TASK_ID is set and it is another one.",
    ),
]


def the_call(ctx: typer.Context) -> Call:
    """The call that a command belongs to."""
    call = ctx.obj
    assert isinstance(call, Call)
    return call


def own_task(ctx: typer.Context) -> str | None:
    """The task of the agent that calls, or null for anybody else."""
    return the_call(ctx).context.env.get("WG_TASK_ID") or None


def the_task(ctx: typer.Context, word: str | None, option: str | None) -> str:
    """The one task that a command is about: by word, by `--task`, or the agent's own.

    Raises:
        UsageError: None is named, or two are.
    """
    if word is not None and option is not None:
        raise UsageError(f"two tasks are named: {word} and --task {option}")
    task = next((name for name in (word, option) if name is not None), own_task(ctx))
    if not task:
        raise UsageError("the id of a task is missing")
    return task


def _show_help(ctx: typer.Context, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        raise HelpAsked(ctx.get_help() + "\n")


def _keep_json(ctx: typer.Context, value: bool) -> None:
    call = the_call(ctx)
    call.json = call.json or value


def _common_options(
    _json: Annotated[
        bool,
        typer.Option(
            "--json",
            callback=_keep_json,
            expose_value=False,
            help="Answer as one JSON document.",
        ),
    ] = False,
    _dir: Annotated[
        str | None,
        typer.Option(
            "--dir",
            metavar="DIR",
            expose_value=False,
            help="The project's folder, or its .wg.",
        ),
    ] = None,
    _help: Annotated[
        bool,
        typer.Option(
            "--help",
            "-h",
            callback=_show_help,
            expose_value=False,
            is_eager=True,
            help="Show this text.",
        ),
    ] = False,
) -> None:
    """Options of every command; only their parameters are used."""


def parameters_of(function: Callable[..., None]) -> list[Parameter]:
    """The parser's parameters for a function's arguments, for other commands."""
    carrier = typer.Typer(add_completion=False, rich_markup_mode=None)
    carrier.command(add_help_option=False)(function)
    return list(get_command(carrier).params)


_COMMON = parameters_of(_common_options)


class WgCommand(TyperCommand):
    """A command with the common options."""

    extra_parameters: tuple[Parameter, ...] = ()
    #: Options that are a number or a choice, and their fields: an empty text, which is
    #: neither, takes the value away.
    not_texts: Mapping[str, str] = MappingProxyType({})

    def get_params(self, ctx: Context) -> list[Parameter]:
        """Its own parameters, then those that it shares."""
        del ctx
        return [*self.params, *self.extra_parameters, *_COMMON]

    def collect_usage_pieces(self, ctx: Context) -> list[str]:
        """The usage line: arguments as their metavars say, without more brackets."""
        return ["[OPTIONS]", *(name for name, _ in self._arguments(ctx))]

    def format_options(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Arguments and options, without the names of Python's types."""
        if arguments := self._arguments(ctx):
            with formatter.section("Arguments"):
                formatter.write_dl(arguments)
        options = (
            param.get_help_record(ctx)
            for param in self.get_params(ctx)
            if isinstance(param, TyperOption)
        )
        with formatter.section("Options"):
            formatter.write_dl([record for record in options if record is not None])

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Notes which command was reached, then parses as usual."""
        _note_path(ctx)
        read_plainly(self.get_params(ctx))
        return super().parse_args(ctx, self._without_taken_away(ctx, args))

    def _without_taken_away(self, ctx: Context, args: list[str]) -> list[str]:
        kept: list[str] = []
        left = iter(args)
        for argument in left:
            name, equals, value = argument.partition("=")
            field = self.not_texts.get(name)
            if argument == "--" or field is None or value:
                kept.append(argument)
                if argument == "--":
                    kept.extend(left)
                continue
            following = [value] if equals else list(islice(left, 1))
            if following == [""] and isinstance(ctx.obj, Call):
                ctx.obj.fields[field] = None
            else:
                kept += [argument, *following]
        return kept

    def _arguments(self, ctx: Context) -> list[tuple[str, str]]:
        return [
            (param.metavar or "", param.help or "")
            for param in self.get_params(ctx)
            if isinstance(param, TyperArgument)
        ]


class WgGroup(TyperGroup):
    """A group of commands with the common options; it offers the nearest command."""

    def get_params(self, ctx: Context) -> list[Parameter]:
        """Its own parameters, then those that it shares."""
        del ctx
        return [*self.params, *_COMMON]

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Notes which group was reached, then parses as usual."""
        _note_path(ctx)
        read_plainly(self.get_params(ctx))
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: Context, args: list[str]
    ) -> tuple[str | None, Command | None, list[str]]:
        """Finds the command that the first word names.

        Raises:
            UsageError: There is none; the hint names the nearest.
        """
        word = args[0]
        if word in self.commands or ctx.resilient_parsing or word.startswith("-"):
            return super().resolve_command(ctx, args)
        raise self.unknown(ctx, word)

    def unknown(self, ctx: Context, word: str) -> UsageError:
        """The error for a word that names no command of this group."""
        near = get_close_matches(word, self.commands, n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        return UsageError(
            f"no such command: {ctx.command_path} {word}",
            hint=f"{meant}{ctx.command_path} --help lists all commands",
        )


def new_app(name: str | None = None, text: str | None = None) -> typer.Typer:
    """An application, or a group of commands of one, in the ways of this program."""
    return typer.Typer(
        name=name,
        help=text,
        cls=WgGroup,
        add_completion=False,
        add_help_option=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": []},
    )


def _note_path(ctx: Context) -> None:
    call = ctx.obj
    assert isinstance(call, Call)
    call.path = ctx.command_path
