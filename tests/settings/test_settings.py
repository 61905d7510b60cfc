from collections.abc import Sequence
from pathlib import Path

import pytest

from workgraph.graph.errors import UsageError, UserError
from workgraph.graph.model import Usage
from workgraph.graph.times import Duration
from workgraph.settings import (
    Endpoint,
    ExecutorSettings,
    Layered,
    Settings,
    default_config_text,
    load_settings,
    set_value,
)
from workgraph.settings.prices import price
from workgraph.settings.schema import PriceSettings


class Files:
    """A project's and a user's file in a temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.project = folder / "project.toml"
        self.user = folder / "user.toml"

    def load(self, overrides: Sequence[str] = ()) -> Layered:
        """The settings with both files."""
        return load_settings(self.project, self.user, overrides)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """No file is there yet."""
    return Files(tmp_path)


def test_defaults_hold_where_no_file_is(files: Files) -> None:
    """Without files every key has its default."""
    layered = files.load()

    assert layered.settings == Settings()
    assert layered.settings.agents.timeout == Duration(7200)
    assert layered.settings.chat.idle_after == Duration(300)
    assert layered.get("dispatcher.max_agents") == 4
    assert layered.origin("dispatcher.max_agents") == ("default", None)
    assert layered.warnings == ()


@pytest.mark.parametrize(
    ("said_by", "expected"),
    [
        ((), (4, "default")),
        (("global",), (1, "global")),
        (("global", "local"), (2, "local")),
        (("global", "local", "command line"), (3, "command line")),
        (("global", "command line"), (3, "command line")),
    ],
)
def test_a_layer_goes_before_those_beneath(
    files: Files, said_by: tuple[str, ...], expected: tuple[int, str]
) -> None:
    """Key by key: --set, the project's file, the user's, the default."""
    if "global" in said_by:
        files.user.write_text("[dispatcher]\nmax_agents = 1\norder = 'priority'\n")
    if "local" in said_by:
        files.project.write_text("dispatcher.max_agents = 2\n")
    overrides = ["dispatcher.max_agents=3"] if "command line" in said_by else []

    layered = files.load(overrides)

    assert layered.settings.dispatcher.max_agents == expected[0]
    assert layered.get("dispatcher.max_agents") == expected[0]
    assert layered.origin("dispatcher.max_agents")[0] == expected[1]
    file = {"global": str(files.user), "local": str(files.project)}.get(expected[1])
    assert layered.origin("dispatcher.max_agents")[1] == file


def test_each_layer_can_be_asked_alone(files: Files) -> None:
    """The plan needs what the project and the user say, apart."""
    files.user.write_text('[dispatcher]\nexecutor = "native"\n')
    files.project.write_text('[dispatcher]\nexecutor = "claude"\n')

    layered = files.load()

    assert layered.layer_value("global", "dispatcher.executor") == "native"
    assert layered.layer_value("local", "dispatcher.executor") == "claude"
    assert layered.layer_value("command line", "dispatcher.executor") is None


def test_executors_merge_key_by_key(files: Files) -> None:
    """One key of an executor in each file makes one executor."""
    files.user.write_text('[executors.tool]\nargv = ["a"]\nprompt = "file"\n')
    files.project.write_text('[executors.tool]\nargv = ["b", "{model}"]\n')

    layered = files.load(["executors.my.tool.argv=['c']"])

    assert layered.settings.executors == {
        "tool": ExecutorSettings(argv=("b", "{model}"), prompt="file"),
        "my.tool": ExecutorSettings(argv=("c",)),
    }


def test_endpoints_are_one_key(files: Files) -> None:
    """A list is replaced whole by the layer above."""
    files.user.write_text('[[endpoints]]\nname = "a"\nurl = "http://a"\n')
    assert files.load().settings.endpoints == (Endpoint(name="a", url="http://a"),)

    files.project.write_text(
        '[[endpoints]]\nname = "b"\nurl = "https://b"\n'
        'api_key_env = "K"\ndefault = true\n'
    )

    assert files.load().settings.endpoints == (
        Endpoint(name="b", url="https://b", api_key_env="K", default=True),
    )


def test_agent_is_an_old_name_of_dispatcher(files: Files) -> None:
    """[agent] is read, with a warning, and gives way to [dispatcher]."""
    files.project.write_text(
        '[dispatcher]\nexecutor = "codex"\n[agent]\nexecutor = "x"\nmodel = "m"\n'
    )

    layered = files.load()

    assert layered.settings.dispatcher.executor == "codex"
    assert layered.settings.dispatcher.model == "m"
    assert layered.warnings == (
        f"{files.project}: [agent] is the old name of [dispatcher]: rename it",
    )


@pytest.mark.parametrize(
    ("text", "line", "words", "hint"),
    [
        ("\n[dispatcher]\nmax_agnts = 3\n", 3, "max_agnts", "dispatcher.max_agents"),
        ("# x\n[dispacher]\nmax_agents = 3\n", 2, "dispacher", "dispatcher"),
        ("dispatcher.max_agnts = 1", 1, "max_agnts", "dispatcher.max_agents"),
        ("dispatcher = {\n}\nx = {a = 1}", 1, "", ""),
        ("[dispatcher]\nmax_agents = '4'\n", 2, "expected int, got str", "agents at"),
        ("[dispatcher]\nmax_agents = -1\n", 2, "expected int >= 0", "agents at"),
        ("[dispatcher]\nmax_agents = true\n", 2, "expected int, got bool", ""),
        ("dispatcher = 3\n", 1, "dispatcher", "[dispatcher]"),
        ("[agents]\nnice = 20\n", 2, "<= 19", ""),
        ("[agents]\ntimeout = '2 hours'\n", 2, "is not a duration", "2h"),
        ("[agents]\ntimeout = 7200\n", 2, "expected a duration", "2h"),
        ("[agents]\nexit_zero = 'ok'\n", 2, "'ok'", "done, submit, fail"),
        ("[agency]\nreward_threshold = 1.5\n", 2, "<= 1", ""),
        ("[agency]\nreward_threshold = nan\n", 2, "finite", ""),
        ("[env]\npass = 'X'\n", 2, "expected array, got str", ""),
        ("[executors.t]\nargv = []\nargs = []\n", 3, "args", "executors.t.argv"),
        ("[executors.t]\nprompt = 'pipe'\n", 2, "'pipe'", "stdin, file, argument"),
        ("[executors]\nt = 3\n", 2, "executors.t", ""),
        ('[[endpoints]]\nname = "a"\n', 1, "missing required field url", ""),
        (
            '[[endpoints]]\nname="a"\nurl="http://x"\nur="y"\n',
            1,
            "unknown field ur",
            "",
        ),
        ("[dispatcher]\nmax_agents = \n", 2, "not TOML", ""),
        ("x = '''\n[dispatcher]\n'''\n", 1, "no setting x", ""),
        ("[dispatcher]\nmodel = '''\nmax_agnts = 3\n'''\nmax_agnts = 4", 5, "", ""),
    ],
)
def test_what_is_wrong_is_named_with_its_line(
    files: Files, text: str, line: int, words: str, hint: str
) -> None:
    """An unknown key, a wrong type or broken TOML: file, line, nearest key."""
    files.project.write_text(text)

    with pytest.raises(UserError) as caught:
        files.load()

    where, _, message = caught.value.message.partition(": ")
    if text.startswith("dispatcher = {\n}"):  # TOML 1.0 refuses it, 1.1 does not
        return
    assert where == f"{files.project}:{line}"
    assert words in message
    assert hint in caught.value.hint
    assert "\n" not in message
    assert caught.value.exit_code == 1


def test_a_file_that_cannot_be_read_is_an_error(files: Files) -> None:
    """A folder in place of the file, and bytes that are not UTF-8."""
    files.project.mkdir()
    with pytest.raises(UserError, match="can't be read"):
        files.load()

    files.project.rmdir()
    files.project.write_bytes(b"\n[env]\n# \xff\n")
    with pytest.raises(UserError, match=r"project.toml:3: this is not UTF-8"):
        files.load()


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("dispatcher.max_agnts=3", "no setting dispatcher.max_agnts"),
        ("dispatcher=3", "no setting dispatcher"),
        ("dispatcher.max_agents", "not KEY=VALUE"),
        ("dispatcher.max_agents=many", "'many' is not a value"),
        ("dispatcher.max_agents=-1", "expected int >= 0"),
        ("agents.timeout=2", "expected a duration|is not a duration"),
        ("executors.argv=['x']", "no setting executors.argv"),
    ],
)
def test_a_bad_override_is_wrong_usage(files: Files, override: str, words: str) -> None:
    """--set with no such key or value exits 2."""
    with pytest.raises(UsageError, match=words) as caught:
        files.load([override])

    assert caught.value.exit_code == 2
    assert caught.value.hint


@pytest.mark.parametrize(
    ("override", "key", "expected"),
    [
        ("dispatcher.model=opus", "dispatcher.model", "opus"),
        ("dispatcher.model=4", "dispatcher.model", "4"),
        ('dispatcher.model="a b"', "dispatcher.model", "a b"),
        ("dispatcher.model=", "dispatcher.model", ""),
        ("dispatcher.model=a\nb = 3", "dispatcher.model", "a\nb = 3"),
        ("agent.model=x", "dispatcher.model", "x"),
        ("agents.timeout=90s", "agents.timeout", 90.0),
        ('env.pass=["A_*"]', "env.pass", ("A_*",)),
        ("agency.reward_threshold=1", "agency.reward_threshold", 1.0),
    ],
)
def test_an_override_is_toml_or_a_bare_string(
    files: Files, override: str, key: str, expected: object
) -> None:
    """What is no TOML value is taken as a string."""
    layered = files.load([override])

    assert layered.get(key) == expected
    assert layered.origin(key) == ("command line", None)


def test_an_enforcing_gate_needs_rewards(files: Files) -> None:
    """reward_gate = enforcing with auto_reward = off names the line."""
    files.project.write_text('[agency]\nreward_gate = "enforcing"\n')

    with pytest.raises(UserError, match=r"project.toml:2: agency.reward_gate"):
        files.load()
    assert files.load(["agency.auto_reward=checks"])


def test_items_are_what_config_list_shows(files: Files) -> None:
    """Every key with its plain value and origin."""
    files.project.write_text('[agents]\ntimeout = "60m"\n[executors.t]\nargv = ["t"]\n')

    items = {item.key: item for item in files.load().items()}

    assert items["agents.timeout"].value == "1h"
    assert items["agents.timeout"].layer == "local"
    assert items["executors.t.argv"].value == ["t"]
    assert items["dispatcher.max_agents"].layer == "default"
    assert items["endpoints"].value == []


def test_an_unknown_key_is_asked_for(files: Files) -> None:
    """`wg config get` names the nearest key."""
    layered = files.load()

    with pytest.raises(UsageError) as caught:
        layered.get("dispatcher.max_agent")

    assert caught.value.hint == "did you mean dispatcher.max_agents?"
    assert layered.get("executors.t.argv") is None


COMMENTED = """\
# top
[dispatcher]  # the table
max_agents = 3   # not too many
# between
model = "x"

[agents] # last
nice = 1
"""


def test_setting_keeps_comments_and_order(files: Files) -> None:
    """Only the value changes."""
    files.project.write_text(COMMENTED)
    files.project.chmod(0o640)

    set_value(files.project, "dispatcher.max_agents", "8")

    assert files.project.read_text() == COMMENTED.replace("= 3 ", "= 8 ")
    assert files.project.stat().st_mode & 0o777 == 0o640
    assert [file.name for file in files.project.parent.iterdir()] == ["project.toml"]


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("dispatcher.model", "opus", "opus"),
        ("retry.backoff", "3s", 3.0),
        ("env.pass", '["A", "B_*"]', ("A", "B_*")),
        ("executors.claude.argv", '["c", "{model}"]', ("c", "{model}")),
        ("executors.a b.needs_endpoint", "true", True),
        (
            "endpoints",
            '[{name = "a", url = "http://a"}]',
            (Endpoint(name="a", url="http://a"),),
        ),
    ],
)
@pytest.mark.parametrize("before", ["", COMMENTED, None])
def test_a_key_can_be_added_to_any_file(
    files: Files, key: str, text: str, expected: object, before: str | None
) -> None:
    """What was set is what is read back, and each comment is still there."""
    start = default_config_text() if before is None else before
    files.project.write_text(start)

    set_value(files.project, key, text)
    set_value(files.project, key, text)

    assert files.load().get(key) == expected
    written = files.project.read_text()
    for line in start.splitlines():
        assert "#" not in line or line.split("#")[-1] in written


def test_setting_makes_the_file_and_its_folder(tmp_path: Path) -> None:
    """The first --global setting of a user."""
    file = tmp_path / "config" / "workgraph" / "config.toml"

    set_value(file, "dispatcher.executor", "codex")

    assert file.read_text() == '[dispatcher]\nexecutor = "codex"\n'
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("before", "key", "text", "error"),
    [
        ("", "dispatcher.max_agnts", "3", UsageError),
        ("", "dispatcher.max_agents", "-3", UsageError),
        ("", "agency.reward_gate", "enforcing", UserError),
        ("[dispatcher\n", "dispatcher.max_agents", "3", UserError),
        ("[dispatcher]\nx = 3\n", "dispatcher.max_agents", "3", UserError),
    ],
)
def test_a_setting_that_is_refused_changes_nothing(
    files: Files, before: str, key: str, text: str, error: type[Exception]
) -> None:
    """The file is as before, to the byte."""
    files.project.write_text(before)

    with pytest.raises(error):
        set_value(files.project, key, text)

    assert files.project.read_text() == before


def test_the_file_beneath_counts_when_keys_go_together(files: Files) -> None:
    """The gate may be set in the project when the user's file has rewards on."""
    files.user.write_text('[agency]\nauto_reward = "checks"\n')

    set_value(files.project, "agency.reward_gate", "enforcing", beneath=files.user)

    assert files.load().settings.agency.reward_gate == "enforcing"


def test_a_folder_that_is_read_only_is_said_as_such(tmp_path: Path) -> None:
    """What can't be written is an error with the system's word."""
    (tmp_path / "file").write_text("")

    with pytest.raises(UserError, match="can't be"):
        set_value(tmp_path / "file" / "config.toml", "dispatcher.model", "x")


def test_the_default_file_is_all_comments_and_true(files: Files) -> None:
    """Uncommented, it sets every key to its default."""
    text = default_config_text()
    assert all(not line or line.startswith("#") for line in text.splitlines())

    tables = text[text.index("# [dispatcher]") : text.index("# An executor")]
    files.project.write_text(
        "\n".join(line.removeprefix("# ") for line in tables.splitlines())
    )

    layered = files.load()
    assert layered.settings == Settings()
    assert {item.layer for item in layered.items() if item.key != "endpoints"} == {
        "local"
    }


PRICES = """
[prices."m-*"]
input = 1.0
cached = 0.1
output = 10.0

[prices."m-large-*"]
input = 2
output = 20

[prices."m-large-2"]
input = 3.0
output = 30.0
"""


@pytest.mark.parametrize(
    ("model", "usage", "cost"),
    [
        ("m-1", Usage(input_tokens=1_000_000, output_tokens=0), 1.0),
        ("m-1", Usage(input_tokens=0, output_tokens=500_000, cached_tokens=0), 5.0),
        ("m-1", Usage(input_tokens=0, output_tokens=0, cached_tokens=10**7), 1.0),
        ("m-large-1", Usage(input_tokens=10**6, output_tokens=10**6), 22.0),
        ("m-large-2", Usage(input_tokens=10**6, output_tokens=10**6), 33.0),
        # nothing is guessed
        ("m-large-2", Usage(input_tokens=1, output_tokens=1, cached_tokens=1), None),
        ("m-1", Usage(input_tokens=1), None),
        ("other", Usage(input_tokens=1, output_tokens=1), None),
        (None, Usage(input_tokens=1, output_tokens=1), None),
    ],
)
def test_the_table_of_prices(
    tmp_path: Path, model: str | None, usage: Usage, cost: float | None
) -> None:
    """By the model's own name, else by the longest glob."""
    file = tmp_path / "config.toml"
    file.write_text(PRICES, encoding="utf-8")

    assert price(usage, model, load_settings(file, None).settings) == cost


def test_a_price_can_be_set_and_read(tmp_path: Path) -> None:
    """Names of models have dots in them; with quotes or without."""
    file = tmp_path / "config.toml"

    set_value(file, "prices.gpt-5.2*.input", "1.25")
    set_value(file, 'prices."gpt-5.2*".output', "10")

    layered = load_settings(file, None)
    assert layered.get("prices.gpt-5.2*.input") == 1.25
    assert layered.settings.prices == {
        "gpt-5.2*": PriceSettings(input=1.25, output=10.0)
    }


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[prices.m]\ninput = -1", 2),
        ("[prices.m]\nin = 1", 2),
        ("[prices]\ninput = 1", 2),
    ],
)
def test_what_is_no_price_is_refused(tmp_path: Path, text: str, line: int) -> None:
    """With file and line."""
    file = tmp_path / "config.toml"
    file.write_text(text, encoding="utf-8")

    with pytest.raises(UserError, match=f"config.toml:{line}: "):
        load_settings(file, None)
