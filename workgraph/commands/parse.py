"""From argv to a request: the one place that knows typer's errors; no tracebacks.

Text that is `-` stays in the request as it is; `Parsed` says which field the caller is
to fill from standard input, and which files the client is to read or write.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Final

from msgspec import structs
from typer._click.shell_completion import CompletionItem, split_arg_string
from typer._completion_classes import BashComplete
from typer._completion_shared import get_completion_script
from typer.core import TyperGroup
from typer.exceptions import TyperException
from typer.main import get_command

from workgraph.commands.app import build_app
from workgraph.commands.cli_call import Call, HelpAsked, ParseContext, require_text
from workgraph.commands.escape import escape_line
from workgraph.commands.local import InstallCompletion, LocalCommand
from workgraph.graph.errors import UsageError, WorkgraphBug
from workgraph.graph.model import Record
from workgraph.graph.requests import AnyRequest

__all__ = [
    "Completion",
    "Help",
    "ParseContext",
    "Parsed",
    "complete",
    "parse_argv",
    "wants_json",
    "warm",
]

COMPLETE_VARIABLE: Final = "_WG_COMPLETE"
SHELLS: Final = ("bash", "zsh", "fish")
#: As typer escapes: it is inside double quotes inside single quotes, and evaluated.
_ZSH: Final = str.maketrans({'"': '""', "'": "''", "$": "\\$", "`": "\\`", ":": r"\\:"})
#: Fields that take `-` for standard input.
_LONG_TEXTS: Final = (
    "description",
    "prompt",
    "reason",
    "summary",
    "message",
    "question",
    "text",
    "notes",
)
#: Pydantic's and typer's words in errors, and ours.
_WORDINGS: Final = (
    (": Value error, ", ": "),
    (": Input should be ", ": it must be "),
    (", unable to parse string as an integer", ""),
    (", unable to parse string as a number", ""),
    ("got unexpected extra argument(s)", "too many arguments:"),
    ("Got unexpected extra argument(s)", "too many arguments:"),
)
_DEFAULT_COLUMNS: Final = 88
_MOST_COLUMNS: Final = 100
_LEAST_COLUMNS: Final = 40
#: More are surely more than the most; a long number is slow to read.
_DIGITS: Final = 9


class Parsed(Record, frozen=True, kw_only=True):
    """What a command line asks for.

    `stdin_field` is the field of the request that standard input fills. `read_file` and
    `write_file` are absolute paths of files that the client reads (into `text` of an
    import) or writes (the lines of an export, the copy of a backup).
    """

    request: AnyRequest | LocalCommand
    json: bool = False
    stdin_field: str | None = None
    read_file: str | None = None
    write_file: str | None = None


class Help(Record, frozen=True, kw_only=True):
    """A text to print, exit 0: help, the version, a script for completion."""

    text: str


class Completion(Record, frozen=True, kw_only=True):
    """What a shell is told; fish asks with the exit status, too."""

    text: str
    exit_code: int = 0


def warm() -> None:
    """Builds the parser and parses once, so that the first caller need not wait."""
    whole_command()
    with suppress(UsageError):  # what is wrong is what takes the longest to read
        parse_argv(("list", "--status", "?"), ParseContext(cwd="/", env={}))


def wants_json(argv: Sequence[str]) -> bool:
    """Tells how to show an error, when there is no `Parsed` to tell it."""
    words = list(argv)
    return "--json" in (words[: words.index("--")] if "--" in words else words)


def parse_argv(argv: Sequence[str], context: ParseContext) -> Parsed | Help:
    """Reads a command line, without the program's name.

    Raises:
        UsageError: It was not understood; the hint says where help is.
    """
    for word in (*argv, *map(context.env.get, ("WG_TASK_ID", "WG_TOKEN"))):
        if word is not None:
            require_text(word)
    if argv and argv[0].partition("=")[0] in {
        "--install-completion",
        "--show-completion",
    }:
        return _completion_command(argv, context)
    call = Call(context)
    try:
        request = _run(list(argv), call)
    except HelpAsked as asked:
        return Help(text=asked.text)
    except TyperException as error:
        reached = getattr(error, "ctx", None)
        path = reached.command_path if reached else call.path
        hint = f"{path} --help"
        if any(word.startswith("-") and " " in word for word in argv):
            hint += "; texts that begin with - go after --"
        raise UsageError(_one_line(error.format_message()), hint=hint) from error
    except UsageError as error:
        if error.hint:
            raise
        raise UsageError(error.message, hint=f"{call.path} --help") from error
    return _finish(request, call)


def complete(argv: Sequence[str], env: Mapping[str, str]) -> Completion:
    """Answers a shell that asks, by `_WG_COMPLETE`, how a line could go on.

    Args:
        argv: Not looked at: shells hand the line over in their variables.
        env: The variables of the shell's completion function.
    """
    del argv
    instruction, _, shell = env.get(COMPLETE_VARIABLE, "").partition("_")
    if shell not in SHELLS or instruction not in {"complete", "source"}:
        return Completion(text="", exit_code=1)
    if instruction == "source":
        return Completion(text=_script(shell))
    items = _completions(shell, env)
    if shell == "fish" and env.get("_TYPER_COMPLETE_FISH_ACTION") == "is-args":
        return Completion(text="", exit_code=0 if items else 1)
    return Completion(text=_SHOWN[shell](items))


def _completions(shell: str, env: Mapping[str, str]) -> list[CompletionItem]:
    call = Call(ParseContext(cwd="/", env={}))
    completer = BashComplete(whole_command(), {"obj": call}, "wg", COMPLETE_VARIABLE)
    try:
        words, incomplete = _words_to_complete(shell, env)
        return completer.get_completions(words, incomplete)
    except (TyperException, UsageError, HelpAsked, ValueError):
        # A line that can't be parsed has no completions; the shell must not see why.
        return []


def _show_for_bash(items: Sequence[CompletionItem]) -> str:
    return "".join(f"{item.value}\n" for item in items)


def _show_for_zsh(items: Sequence[CompletionItem]) -> str:
    """What typer's script for zsh evaluates: an `_arguments` with a help for each."""
    if not items:
        return "_files\n"
    texts = [(item.value, item.help) if item.help else (item.value,) for item in items]
    listed = (":".join(f'"{text.translate(_ZSH)}"' for text in pair) for pair in texts)
    return "_arguments '*: :((" + "\n".join(listed) + "))'\n"


def _show_for_fish(items: Sequence[CompletionItem]) -> str:
    return "".join(
        f"{item.value}\t{' '.join(item.help.split())}\n"
        if item.help
        else f"{item.value}\n"
        for item in items
    )


_SHOWN: Final = {
    "bash": _show_for_bash,
    "zsh": _show_for_zsh,
    "fish": _show_for_fish,
}


@cache
def whole_command() -> TyperGroup:
    """The program with all its commands; built once."""
    command = get_command(build_app())
    assert isinstance(command, TyperGroup)
    return command


@cache
def one_command(word: str) -> TyperGroup | None:
    """The program with this one command in it, which is a quarter of the work.

    Null where there is no such command, or it tells of the others.
    """
    if word == "help":
        return None
    app = build_app()
    app.registered_commands = [
        one for one in app.registered_commands if one.name == word
    ]
    app.registered_groups = [
        one
        for one in app.registered_groups
        if one.typer_instance is not None and one.typer_instance.info.name == word
    ]
    if not (app.registered_commands or app.registered_groups):
        return None
    command = get_command(app)
    assert isinstance(command, TyperGroup)
    return command


def _run(argv: list[str], call: Call) -> object:
    command = None
    if argv and not whole_command.cache_info().currsize:
        # one call, and this process ends
        command = one_command(argv[0])
    command = command or whole_command()
    columns = _columns(call.context.env.get("COLUMNS", ""))
    with command.make_context("wg", argv, obj=call, terminal_width=columns) as ctx:
        return command.invoke(ctx)


def _finish(request: object, call: Call) -> Parsed:
    if isinstance(request, AnyRequest):
        token = call.context.env.get("WG_TOKEN") or None
        request = structs.replace(request, token=token)
    elif not isinstance(request, LocalCommand):
        raise WorkgraphBug(f"{call.path} returned {request!r}")
    from_stdin = [
        field for field in _LONG_TEXTS if getattr(request, field, None) == "-"
    ]
    read_file = call.read_file
    if read_file == "-":
        from_stdin.append("text")
        read_file = None
    if len(from_stdin) > 1:
        named = " and ".join(from_stdin)
        raise UsageError(f"only one text can be read from standard input, not {named}")
    return Parsed(
        request=request,
        json=call.json,
        stdin_field=from_stdin[0] if from_stdin else None,
        read_file=read_file,
        write_file=call.write_file,
    )


def _completion_command(argv: Sequence[str], context: ParseContext) -> Parsed | Help:
    option, has_value, value = argv[0].partition("=")
    given = [value] if has_value else []
    given += [word for word in argv[1:] if word != "--json"]
    if len(given) > 1:
        raise UsageError(f"unexpected argument: {given[1]}", hint="wg --help")
    shell = given[0] if given else context.env.get("SHELL", "").rpartition("/")[2]
    if shell not in SHELLS:
        message = f"no completion for {shell}" if shell else "which shell?"
        raise UsageError(message, hint=f"wg {option} {'|'.join(SHELLS)}")
    script = _script(shell)
    if option == "--show-completion":
        return Help(text=script)
    return Parsed(
        request=InstallCompletion(shell=shell, script=script), json=wants_json(argv)
    )


def _script(shell: str) -> str:
    script = get_completion_script(
        prog_name="wg", complete_var=COMPLETE_VARIABLE, shell=shell
    )
    return f"{script}\n"


def _words_to_complete(shell: str, env: Mapping[str, str]) -> tuple[list[str], str]:
    """The words before the cursor, and the one it is in."""
    if shell == "bash":
        words = split_arg_string(env.get("COMP_WORDS", ""))
        position = int(env.get("COMP_CWORD") or 0)
        return words[1:position], "".join(words[position : position + 1])
    line = env.get("_TYPER_COMPLETE_ARGS", "")
    words = split_arg_string(line)[1:]
    if words and not line.endswith(" "):
        return words[:-1], words[-1]
    return words, ""


def _columns(text: str) -> int:
    columns = int(text[:_DIGITS]) if text.isascii() and text.isdigit() else 0
    return max(_LEAST_COLUMNS, min(columns or _DEFAULT_COLUMNS, _MOST_COLUMNS))


def _one_line(message: str) -> str:
    """Writes typer's message as ours: one line, no capital, no full stop."""
    line = escape_line(" ".join(message.split())).rstrip(".")
    for theirs, ours in _WORDINGS:
        line = line.replace(theirs, ours)
    return line[:1].lower() + line[1:]
