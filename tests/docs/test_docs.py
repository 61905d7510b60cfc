"""The pages tell what the code does: commands, settings, socket, statuses, links."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, cast, get_args

import pytest
from msgspec.structs import fields
from typer.core import TyperGroup, TyperOption
from typer.main import get_command

from workgraph.commands.app import build_app
from workgraph.commands.parse import ParseContext, Parsed, parse_argv
from workgraph.graph import canary_requests, messages, replies, reward_requests
from workgraph.graph.changes import ChangeKind
from workgraph.graph.model import TaskSpec
from workgraph.graph.requests import AnyRequest
from workgraph.graph.status import CAUSES, TRANSITIONS
from workgraph.graph.task_options import TaskOptions
from workgraph.settings.layers import toml_text
from workgraph.settings.schema import EXECUTOR_KEYS, KEYS, PRICE_KEYS, Endpoint

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
PAGES: Final = (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md")))
REQUESTS: Final = tuple(cast("Any", kind) for kind in get_args(AnyRequest))
COMMON: Final = frozenset({"--json", "--dir", "--help", "-h", "--task"})
SHARED: Final = frozenset(TaskOptions.__struct_fields__)
SAFE_HOSTS: Final = re.compile(
    r"127\.0\.0\.1|localhost|(www\.)?example\.(com|net|org)|[\w.-]+\.(example|test)"
)
MACHINE_PATH: Final = re.compile(r"(?<![\w.~$}])/(work|root|home|Users|build|mnt)\b")
LINK: Final = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE_BLOCK: Final = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def commands(
    group: TyperGroup, prefix: str = ""
) -> Iterator[tuple[str, set[str], set[str]]]:
    """Every command by its words, with its own options and those that it shares."""
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands(command, f"{prefix}{name} ")
            continue
        shared = getattr(command, "extra_parameters", ())
        yield f"{prefix}{name}", options(command.params), options(shared)


def options(params: Any) -> set[str]:
    """The spellings of all options among a command's parameters."""
    found = (p for p in params if isinstance(p, TyperOption))
    return {name for p in found for name in (*p.opts, *p.secondary_opts)}


def application() -> TyperGroup:
    """The whole command line."""
    app = get_command(build_app())
    assert isinstance(app, TyperGroup)
    return app


def sections(page: str, marks: str = "#+") -> dict[str, str]:
    """The text below each heading of a page, up to the next one."""
    parts = re.split(rf"^{marks} (.+)$", read(page), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def rows(text: str) -> list[list[str]]:
    """The cells of every row of the tables in a text, without their heads."""
    found = []
    for line in text.splitlines():
        if line.startswith("| "):
            cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
            found.append([cell.strip() for cell in cells])
    return found


def read(page: str) -> str:
    """A page of the documentation."""
    return (DOCS / page).read_text("utf-8")


def words(text: str) -> set[str]:
    """What stands in backticks."""
    return {word for code in re.findall(r"`([^`]+)`", text) for word in code.split()}


def first_words(text: str) -> set[str]:
    """What stands in backticks in the first cell of a table's rows."""
    return {word for row in rows(text) for word in words(row[0])}


@pytest.mark.parametrize(
    ("name", "own"), [(name, own) for name, own, _ in commands(application())]
)
def test_a_command_has_a_section_with_its_options(name: str, own: set[str]) -> None:
    """Neither an option that is left out, nor one that there is not."""
    section = sections("commands.md")[f"wg {name}"]

    documented = {word for word in first_words(section) if word.startswith("-")}
    shared = {name for _, _, more in commands(application()) for name in more}

    assert own - COMMON <= documented
    assert documented <= own | shared
    assert f"`wg {name}" in section


def test_options_of_a_task_are_in_the_section_of_add() -> None:
    """What `add` and `edit` share is told once, whole."""
    documented = first_words(sections("commands.md")["wg add"])

    [shared] = {frozenset(more) for _, _, more in commands(application()) if more}

    assert shared <= documented


def test_no_section_for_a_command_that_is_not_there() -> None:
    """A page that tells of more than there is would be believed."""
    there = {f"wg {name}" for name, _, _ in commands(application())}

    told = {title for title in sections("commands.md") if re.match("wg ", title)}

    assert told == there


def test_the_options_of_all_commands_are_documented() -> None:
    """`--json` and the like, and those before the command."""
    shared = sections("commands.md")["What all commands share"]

    assert options(application().get_params(cast("Any", None))) <= words(shared)
    assert words(shared) >= COMMON


def test_the_daemons_options_are_documented() -> None:
    """`wgd` has a section of its own."""
    source = (ROOT / "workgraph" / "daemon" / "main.py").read_text("utf-8")
    offered = set(re.findall(r'typer\.Option\(\s*"(--[a-z-]+)"', source))

    documented = first_words(sections("commands.md")["wgd"])

    assert {word for word in documented if word.startswith("-")} == {
        *offered,
        "--help",
    }


def test_the_table_of_statuses_is_the_codes() -> None:
    """Each status, verb and target, with who may cause it."""
    table = rows(sections("commands.md")["Statuses and verbs"])[1:]

    told = {(status, verb): (to, who) for status, verb, to, who in table}

    assert told == {
        (str(status), str(verb)): (str(to), ", ".join(sorted(CAUSES[verb])))
        for status, verbs in TRANSITIONS.items()
        for verb, to in verbs.items()
    }


def test_every_setting_is_documented_with_its_default() -> None:
    """And none that there is not."""
    told = {
        key.strip("`"): default.strip("`")
        for key, default, *_ in (row for row in rows(read("settings.md")) if row[2:])
        if "." in key
    }

    there = {name: toml_text(key.default) for name, key in KEYS.items() if "." in name}

    assert told == there


def test_executors_and_endpoints_are_documented() -> None:
    """The keys of the tables that have a name of the user's."""
    page = sections("settings.md")

    executor = first_words(page["[executors.NAME]"])
    endpoint = first_words(page["[[endpoints]]"])
    prices = first_words(page["[prices.MODEL]"])

    assert prices == {f"prices.MODEL.{name}" for name in PRICE_KEYS}
    assert executor == {f"executors.NAME.{name}" for name in EXECUTOR_KEYS}
    assert endpoint == {info.encode_name for info in fields(Endpoint)}


def test_every_request_is_documented_with_its_fields() -> None:
    """Each `cmd` once, with exactly its fields; required ones are bold."""
    table = rows(sections("socket.md")["Commands"])
    told = {row[0].strip("`"): row[1] for row in table if row[2:]}
    told.pop("cmd")

    assert told.keys() == {kind.__struct_config__.tag for kind in REQUESTS}
    for kind in REQUESTS:
        tag = kind.__struct_config__.tag
        there = [f for f in fields(kind) if f.name != "token"]
        if issubclass(kind, TaskOptions):
            there = [f for f in there if f.name not in SHARED]
        names = set(re.findall(r"(?:^|, )\**`(\w+)`", told[tag]))
        assert names == {f.encode_name for f in there}, tag
        required = set(re.findall(r"\*\*`(\w+)`\*\*", told[tag]))
        assert required == {f.encode_name for f in there if f.required}, tag


def test_the_shared_fields_of_requests_are_documented() -> None:
    """The options of `add_task` and `edit`."""
    table = rows(sections("socket.md")["Commands"])

    told = {row[0].strip("`") for row in table if not row[2:]} - {"field"}

    assert told == SHARED - {"token"}


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("task", replies.TaskData),
        ("agent", replies.AgentData),
        ("why", replies.WhyData),
        ("entry of a log", replies.LogData),
        ("message", messages.MessageData),
        ("item", messages.InboxData),
        ("change", replies.ChangeData),
        ("reward", reward_requests.RewardData),
        ("record", reward_requests.StatsData),
        ("calibration", canary_requests.CalibrationData),
        ("service", replies.ServiceData),
    ],
)
def test_a_shape_is_documented(name: str, shape: type[TaskSpec]) -> None:
    """Every field of what is answered, and none besides."""
    text = sections("socket.md")["Shapes"]
    found = re.search(rf"\*\*{name}\*\*[^:]*: `([^`]+)`", text)
    assert found is not None

    told = set(re.sub(r"\[?\{[^}]*\}\]?", " ", found[1]).split())

    assert told == {info.encode_name for info in fields(shape)}


def test_the_kinds_of_changes_are_documented() -> None:
    """All that `watch` can tell."""
    text = sections("socket.md")["Shapes"].partition("Kinds of changes")[2]

    assert words(text) == {str(kind) for kind in ChangeKind}


def test_every_dependency_has_its_reason() -> None:
    """Of the package, of its build, of its development."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    groups = project["dependency-groups"].values()
    asked = [
        *project["project"]["dependencies"],
        *(d for group in groups for d in group),
    ]
    names = {re.split(r"[<>=!~\[; ]", d)[0] for d in asked if isinstance(d, str)}

    told = {row[0].strip("`"): row[1] for row in rows(read("dependencies.md"))}

    assert names <= told.keys()
    assert all(told[name] for name in names)


def test_the_readmes_commands_are_understood() -> None:
    """Each line of its first graph is one that `wg` takes."""
    block = re.search(r"```sh\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)
    assert block is not None
    lines = block[1].replace("\\\n", " ").splitlines()
    calls = [shlex.split(line)[1:] for line in lines if line.startswith("wg ")]

    parsed = [parse_argv(call, ParseContext(cwd="/", env={})) for call in calls]

    assert len(parsed) >= 5
    assert all(isinstance(call, Parsed) for call in parsed)


def test_the_files_of_the_layout_are_there() -> None:
    """What `docs/architecture.md` names is in the tree; every part of it is named."""
    section = sections("architecture.md")["Layout"]
    named = {w for w in first_words(section) if w.endswith((".py", ".sql", "/"))}
    package = ROOT / "workgraph"
    folders = {name.partition("/")[0] for name in named if "/" in name}

    for name in sorted(named):
        places = [package, *(package / folder for folder in folders)]
        assert any(list(place.glob(name.rstrip("/"))) for place in places), name
    there = {path.name for path in package.iterdir() if (path / "__init__.py").exists()}
    assert there <= folders


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_resolve(page: Path) -> None:
    """To a file of the project, and to a heading in it where one is named."""
    for target in LINK.findall(CODE_BLOCK.sub("", page.read_text("utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), f"{page.name}: {target}"
        assert file.resolve().is_relative_to(ROOT), f"{page.name}: {target}"
        if anchor:
            titles = re.findall(r"^#+ (.+)$", file.read_text("utf-8"), re.MULTILINE)
            assert anchor in map(anchor_of, titles), f"{page.name}: {target}"


def anchor_of(title: str) -> str:
    """The name by which a heading is linked to."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_no_machine(page: Path) -> None:
    """No folder of whoever wrote it, and no host but those meant for examples."""
    text = page.read_text("utf-8")

    hosts = re.findall(r"https?://([\w.-]+)", text)

    assert [host for host in hosts if not SAFE_HOSTS.fullmatch(host)] == []
    assert MACHINE_PATH.findall(text) == []


def test_decisions_are_numbered_and_listed() -> None:
    """Each has context, choice and price, and is in the list of the first."""
    decisions = sorted((DOCS / "adr").glob("*.md"))
    listed = read("adr/0001-record-decisions.md")

    for number, file in enumerate(decisions, start=1):
        text = file.read_text("utf-8")
        assert file.name.startswith(f"{number:04d}-")
        assert text.startswith(f"# {number}. ")
        assert all(f"**{word}.**" in text for word in ("Context", "Choice", "Given up"))
        assert number == 1 or file.name in listed
