"""Completion for bash, zsh and fish, asked as their scripts ask."""

import pytest

from workgraph.commands.local import InstallCompletion
from workgraph.commands.parse import (
    Completion,
    Help,
    ParseContext,
    Parsed,
    complete,
    parse_argv,
)
from workgraph.graph.errors import UsageError


def bash(line: str) -> list[str]:
    """What bash is offered for a line with the cursor at its end."""
    position = len(line.split()) - (0 if line.endswith(" ") else 1)
    answer = complete(
        [],
        {
            "_WG_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(position),
        },
    )
    assert answer.exit_code == 0
    return answer.text.splitlines()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("wg ser", ["service"]),
        ("wg task", ["task-status"]),
        ("wg service re", ["restart", "resume", "reload"]),
        ("wg config ", ["get", "set", "list"]),
        ("wg add T --pr", ["--priority", "--prefer", "--prompt"]),
        ("wg add T --review ", ["human", "reward", "none"]),
        ("wg list --status f", ["failed"]),
        ("wg --json li", ["link", "list"]),
        ("wg add 'unclosed", []),
    ],
)
def test_commands_and_options_are_offered(line: str, offered: list[str]) -> None:
    """Commands, options and the values of options with a choice."""
    assert bash(line) == offered


def test_zsh_is_given_what_it_evaluates() -> None:
    """Each offer has its help, quoted for `_arguments`."""
    env = {"_WG_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "wg config ge"}

    assert complete([], env).text == (
        '_arguments \'*: :(("get":"Print a setting."))\'\n'
    )


def test_zsh_falls_back_to_files() -> None:
    """Where nothing is offered, files are."""
    env = {"_WG_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "wg import "}

    assert complete([], env).text == "_files\n"


def test_quotes_in_a_help_do_not_end_what_zsh_evaluates() -> None:
    """A backtick would run a command."""
    env = {"_WG_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "wg resu"}

    assert "\\`pause\\`" in complete([], env).text


def test_fish_is_given_offers_with_help() -> None:
    """One line each, a tab before the help."""
    env = {
        "_WG_COMPLETE": "complete_fish",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "_TYPER_COMPLETE_ARGS": "wg config ge",
    }

    assert complete([], env) == Completion(text="get\tPrint a setting.\n")


@pytest.mark.parametrize(("line", "status"), [("wg config ", 0), ("wg import ", 1)])
def test_fish_asks_by_exit_status_whether_there_are_offers(
    line: str, status: int
) -> None:
    """No offers: fish completes files."""
    env = {
        "_WG_COMPLETE": "complete_fish",
        "_TYPER_COMPLETE_FISH_ACTION": "is-args",
        "_TYPER_COMPLETE_ARGS": line,
    }

    assert complete([], env) == Completion(text="", exit_code=status)


@pytest.mark.parametrize("instruction", ["", "complete_tcsh", "nonsense"])
def test_what_is_not_known_is_refused(instruction: str) -> None:
    """Silently: a shell in the middle of a line has no use for a message."""
    assert complete([], {"_WG_COMPLETE": instruction}) == Completion(
        text="", exit_code=1
    )


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_calls_back_with_our_variable(shell: str) -> None:
    """What is shown is what is installed, and what the shell asks for itself."""
    context = ParseContext(cwd="/", env={"SHELL": f"/usr/bin/{shell}"})

    shown = parse_argv(["--show-completion", shell], context)
    installed = parse_argv(["--install-completion"], context)

    assert isinstance(shown, Help)
    assert f"_WG_COMPLETE=complete_{shell}" in shown.text
    assert installed == Parsed(
        request=InstallCompletion(shell=shell, script=shown.text)
    )
    assert complete([], {"_WG_COMPLETE": f"source_{shell}"}).text == shown.text


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--install-completion"], "which shell?"),
        (["--install-completion", "tcsh"], "no completion for tcsh"),
        (["--show-completion=ksh"], "no completion for ksh"),
        (["--show-completion", "bash", "x"], "unexpected argument: x"),
    ],
)
def test_other_shells_are_refused(argv: list[str], message: str) -> None:
    """With the ones that there are."""
    with pytest.raises(UsageError) as caught:
        parse_argv(argv, ParseContext(cwd="/", env={}))

    assert caught.value.message == message
