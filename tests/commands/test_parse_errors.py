"""Wrong use gets one line, exit 2 and a hint, never a traceback."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workgraph.commands.escape import escape_line
from workgraph.commands.parse import Help, ParseContext, Parsed, parse_argv, wants_json
from workgraph.commands.render import render_error
from workgraph.graph.errors import UsageError

OUTSIDE = ParseContext(cwd="/home/ada", env={})
INSIDE = ParseContext(cwd="/home/ada", env={"WG_TASK_ID": "me"})


def error_of(line: str, context: ParseContext = OUTSIDE) -> tuple[str, str]:
    """The message and the hint that a line gets."""
    with pytest.raises(UsageError) as caught:
        parse_argv(line.split(), context)
    assert caught.value.exit_code == 2
    return caught.value.message, caught.value.hint


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        (
            "lst",
            "no such command: wg lst",
            "did you mean list? wg --help lists all commands",
        ),
        (
            "frobnicate",
            "no such command: wg frobnicate",
            "wg --help lists all commands",
        ),
        (
            "service sart",
            "no such command: wg service sart",
            "did you mean start? wg service --help lists all commands",
        ),
        (
            "help lst",
            "no such command: wg lst",
            "did you mean list? wg --help lists all commands",
        ),
        ("help add x", "wg add has no commands of its own", "wg help --help"),
        ("service", "missing command", "wg service --help"),
        ("--bogus", "no such option: --bogus", "wg --help"),
        ("done a --bogus", "no such option: --bogus", "wg done --help"),
        ("add", "missing argument 'TITLE'", "wg add --help"),
        ("add a b", "too many arguments: (b)", "wg add --help"),
        ("add T --env", "option '--env' requires an argument", "wg add --help"),
        ("add T --env A", "--env 'A' is not NAME=VALUE", "wg add --help"),
        ("add T --env =1", "--env '=1' has no name before the =", "wg add --help"),
        (
            "add T --priority 5",
            "invalid value for '--priority': it must be less than or equal to 4",
            "wg add --help",
        ),
        (
            "add T --priority high",
            "invalid value for '--priority': it must be a valid integer",
            "wg add --help",
        ),
        (
            "add T --review x",
            "invalid value for '--review': 'x' is not one of 'human', 'reward', 'none'",
            "wg add --help",
        ),
        ("link a", "missing option '--after'", "wg link --help"),
        ("reject a", "missing option '--reason'", "wg reject --help"),
        ("done", "the id of a task is missing", "wg done --help"),
        ("done a --task b", "two tasks are named: a and --task b", "wg done --help"),
        ("log", "the id of a task is missing", "wg log --help"),
        ("log a", "a message is missing", "wg log --help"),
        ("log a m --list", "--list takes no message", "wg log --help"),
        ("progress", "the id of a task is missing", "wg progress --help"),
        ("progress a", "the percentage is missing", "wg progress --help"),
        (
            "progress a 101",
            "'101' is not a percentage from 0 to 100",
            "wg progress --help",
        ),
        (
            "progress a nan",
            "'nan' is not a percentage from 0 to 100",
            "wg progress --help",
        ),
        ("artifact a", "the path of the file is missing", "wg artifact --help"),
        ("retry", "name tasks, or say --failed, one of both", "wg retry --help"),
        (
            "retry a --failed",
            "name tasks, or say --failed, one of both",
            "wg retry --help",
        ),
        ("retry a --tag t", "--tag goes with --failed", "wg retry --help"),
        ("kill", "name agents, or say --all, one of both", "wg kill --help"),
        (
            "kill agent-1 --fail --requeue",
            "--requeue and --fail exclude each other",
            "wg kill --help",
        ),
        (
            "service start --set x",
            "--set 'x' is not KEY=VALUE",
            "wg service start --help",
        ),
        (
            "add T -d - --prompt -",
            "only one text can be read from standard input, not description and prompt",
            "",
        ),
    ],
)
def test_wrong_use_is_told_in_one_line(line: str, message: str, hint: str) -> None:
    """The message has the values, and the hint says where help is."""
    assert error_of(line) == (message, hint)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("log", "a message is missing"),
        ("log a b --task c", "'b' is one word too many beside --task"),
        ("progress half", "'half' is not a percentage from 0 to 100"),
        ("progress", "the percentage is missing"),
        ("artifact", "the path of the file is missing"),
        ("retry", "name tasks, or say --failed, one of both"),
    ],
)
def test_wrong_use_by_an_agent(line: str, message: str) -> None:
    """Only the id may be left out."""
    assert error_of(line, INSIDE)[0] == message


def test_text_that_looks_like_an_option_is_told_where_to_go() -> None:
    """A message in the form of a list item, for one."""
    with pytest.raises(UsageError) as caught:
        parse_argv(["log", "a", "- did it"], OUTSIDE)

    assert caught.value.hint == "wg log --help; texts that begin with - go after --"


def test_bytes_that_are_no_text_are_refused() -> None:
    """An argument that is not UTF-8 could not be stored."""
    with pytest.raises(UsageError, match="not valid UTF-8"):
        parse_argv(["add", "a\udcff"], OUTSIDE)
    with pytest.raises(UsageError, match="not valid UTF-8"):
        parse_argv(["artifact", "a", "o"], ParseContext(cwd="/home/\udcff", env={}))
    with pytest.raises(UsageError, match="not valid UTF-8"):
        parse_argv(["done"], ParseContext(cwd="/", env={"WG_TASK_ID": "\udcff"}))


def test_json_of_an_error_is_told_from_the_line_alone() -> None:
    """What could not be parsed still says how its error is to be shown."""
    assert wants_json(["done", "--bogus", "--json"])
    assert not wants_json(["add", "--", "--json"])


WORDS = st.one_of(
    st.sampled_from(
        [
            "add",
            "edit",
            "log",
            "progress",
            "retry",
            "kill",
            "service",
            "start",
            "config",
            "help",
            "--json",
            "--task",
            "--list",
            "--all",
            "-d",
            "-",
            "--",
            "--priority",
            "--reason",
            "--after",
            "--help",
            "-h",
            "40",
            "me",
            "x",
            "--set",
            "a=b",
            "--dir",
            "--install-completion",
        ]
    ),
    st.text(max_size=8),
)


@given(st.lists(WORDS, max_size=7), st.booleans())
def test_no_line_ends_in_a_traceback(argv: list[str], inside: bool) -> None:
    """Whatever is typed is a request, a text, or an error of one line."""
    try:
        result = parse_argv(argv, INSIDE if inside else OUTSIDE)
    except UsageError as error:
        lines = render_error(error, json=False).split("\n")
        assert len(lines) <= 3
        assert lines[0] == escape_line(lines[0])
    else:
        assert isinstance(result, Parsed | Help)
