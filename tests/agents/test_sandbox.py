"""The sandbox as a plan: what bwrap is told, and what is refused. Without bwrap."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.agents.plans import AGENT, World, a_host, a_task, words
from workgraph.agents import sandbox
from workgraph.agents.plan import PlanError, SpawnPlan, plan_gate, plan_spawn
from workgraph.agents.sandbox import Machine, Mount, Room

MACHINE = Machine(
    program="/usr/bin/bwrap",
    system=(
        Mount("/usr", "--ro-bind", "/usr"),
        Mount("/bin", "--symlink", "usr/bin"),
        Mount("/etc", "--ro-bind", "/etc"),
    ),
    installation=("/venv", "/usr/lib/python3"),
)
BWRAP = 'sandbox.kind = "bwrap"\n'


@pytest.fixture
def world(tmp_path: Path) -> World:
    """No setting is made yet."""
    return World(tmp_path)


def planned(
    world: World, local: str = BWRAP, *, preview: bool = False, **changes: Any
) -> SpawnPlan:
    """A plan for a shell task on a machine that has bwrap."""
    spec = changes.pop("spec", {"exec": "true"})
    host = a_host(**({"sandbox_machine": lambda: MACHINE} | changes))
    grounds = world.grounds(local, host=host)
    return plan_spawn(grounds, task=a_task(**spec), agent=AGENT, preview=preview)


def test_the_whole_of_it(world: World) -> None:
    """Every argument, in an order in which no mount hides a deeper one."""
    plan = planned(world, f'{BWRAP}sandbox.network = "none"')

    assert " ".join(plan.argv.value[: plan.argv.value.index("--")]).split(" --") == [
        "/usr/bin/bwrap",
        "unshare-pid",
        "unshare-ipc",
        "unshare-uts",
        "unshare-cgroup-try",
        "unshare-net",
        "die-with-parent",
        "cap-drop ALL",
        "symlink usr/bin /bin",
        "dev /dev",
        "ro-bind /etc /etc",
        "tmpfs /home/me",
        "bind /p /p",
        "tmpfs /p/.wg",
        "ro-bind /p/.wg/agents/17/prompt.md /p/.wg/agents/17/prompt.md",
        "bind /p/.wg/agents/17/tmp /p/.wg/agents/17/tmp",
        "ro-bind /p/.wg/bin /p/.wg/bin",
        "proc /proc",
        "tmpfs /run",
        "ro-bind /p/.wg/socket /run/workgraph",
        "tmpfs /tmp",
        "ro-bind /usr /usr",
        "tmpfs /var/tmp",
        "ro-bind /venv /venv",
        "remount-ro /p/.wg",
        "remount-ro /",
        "chdir /p",
    ]
    inside = plan.argv.value[plan.argv.value.index("--") + 1 :]
    assert inside[:2] == ("/bin/sh", "-c")
    assert inside[3:] == ("wg-agent", "/bin/sh", "-c", "true")
    assert words(plan.sandbox) == ("bwrap", "local [sandbox].kind")
    assert words(plan.network) == ("none", "local [sandbox].network")
    assert plan.argv.source == "task.exec, in bwrap (local [sandbox].kind)"
    assert plan.env["WG_SOCKET"].value == "/run/workgraph/wgd.sock"
    assert plan.env["WG_SANDBOX"].value == "bwrap"


def test_no_secret_is_an_argument(world: World) -> None:
    """The environment is handed on as environment."""
    plan = planned(world, spec={"exec": "true", "env": {"MY_KEY": "hunter2"}})

    assert plan.env["MY_KEY"].value == "hunter2"
    assert not any("hunter2" in word or word == "tok" for word in plan.argv.value)


def test_without_one_nothing_changes(world: World) -> None:
    """And nobody looks at the machine."""
    plan = planned(world, "", sandbox_machine=lambda: 1 / 0)

    assert plan.argv.value == ("/bin/sh", "-c", "true")
    assert words(plan.sandbox) == ("none", "default")
    assert words(plan.network) == ("host", "none (sandbox=none)")
    assert "WG_SANDBOX" not in plan.env


def test_a_workspace_in_the_project_leaves_the_rest_readable(world: World) -> None:
    """Files of other tasks are to be read, not written."""
    argv = planned(world, spec={"exec": "true", "working_dir": "sub"}).argv.value

    at = argv.index("/p")
    assert argv[at - 1 : at + 2] == ("--ro-bind", "/p", "/p")
    at = argv.index("/p/sub")
    assert argv[at - 1 : at + 2] == ("--bind", "/p/sub", "/p/sub")


def test_login_files_can_be_read(world: World) -> None:
    """Those of the executor, where they are there; nothing else of the home."""
    login = "/home/me/.claude/.credentials.json"

    argv = planned(
        world, spec={"executor": "claude"}, exists=lambda path: path == login
    ).argv.value

    at = argv.index(login)
    assert argv[at - 1 : at + 2] == ("--ro-bind", login, login)
    assert argv[argv.index("/home/me") - 1] == "--tmpfs"


def test_what_the_settings_name_is_seen(world: World) -> None:
    """From / or ~/ on."""
    more = 'sandbox.readable = ["/data"]\nsandbox.writable = ["~/.cache"]\n'

    argv = planned(world, BWRAP + more, exists=lambda _path: True).argv.value

    assert argv[argv.index("/data") - 1] == "--ro-bind"
    assert argv[argv.index("/home/me/.cache") - 1] == "--bind"


def test_a_socket_elsewhere_is_shown_by_its_own_folder(world: World) -> None:
    """Where the project's path is too long for one."""
    plan = planned(world, socket="/run/user/1/workgraph/abc/wgd.sock")

    at = plan.argv.value.index("/run/workgraph")
    assert plan.argv.value[at - 1] == "/run/user/1/workgraph/abc"


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "the home itself": ("", {"spec": {"working_dir": "/home/me"}}, "your home"),
    "above the home": ("", {"spec": {"working_dir": "/home"}}, "your home"),
    "everything": ("", {"spec": {"working_dir": "/"}}, "your home"),
    "the system": ("", {"spec": {"working_dir": "/etc"}}, "/etc of the system"),
    "a link that leads out": (
        "",
        {"real_path": lambda path: path.replace("/p/sub", "/home/you")},
        "leads out of the project, to /home/you",
    ),
    "a path that is not there": (
        'sandbox.readable = ["/gone"]',
        {},
        "/gone (local [sandbox].readable) is not there",
    ),
    "a relative path": ('sandbox.writable = ["x"]', {}, "not a path from / or ~/ on"),
    "a path in the workspace": (
        'sandbox.writable = ["/p/sub/x"]',
        {"exists": lambda _path: True},
        "is inside the workspace",
    ),
    "a program that is not seen": (
        "",
        {"has_executable": lambda _name, _path: "/home/me/.local/bin/sh"},
        "/home/me/.local/bin/sh is not to be seen in the sandbox",
    ),
    "a program by a link to what is not seen": (
        "",
        {"real_path": lambda path: "/srv/tool" if path == "/bin/sh" else path},
        "/srv/tool is not to be seen in the sandbox",
    ),
    "no bwrap": (
        "",
        {"sandbox_machine": lambda: Machine(problem="no way", remedy="pay")},
        "no sandbox bwrap (local [sandbox].kind): no way",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_not_hold_is_refused(world: World, name: str) -> None:
    """Never a fallback: misconfigured, with a remedy."""
    local, changes, says = REFUSED[name]
    spec = {"exec": "true", "working_dir": "sub"} | changes.pop("spec", {})

    with pytest.raises(PlanError) as refused:
        planned(world, BWRAP + local, spec=spec, **changes)

    assert refused.value.code == "misconfigured"
    assert says in refused.value.message
    assert refused.value.hint


def test_a_preview_lists_what_is_missing(world: World) -> None:
    """`wg plan` shows what would be run, and why it can't be."""
    machine = Machine(program="bwrap", problem="not installed", remedy="install it")

    plan = planned(world, preview=True, sandbox_machine=lambda: machine)

    assert plan.argv.value[0] == "bwrap"
    assert any("not installed" in problem for problem in plan.problems)


def test_a_gate_has_the_same_without_prompt_and_socket(world: World) -> None:
    """It would speak as the operator there."""
    host = a_host(sandbox_machine=lambda: MACHINE)

    prefix = plan_gate(world.grounds(BWRAP, host=host), a_task(), "/p/sub")

    assert prefix[0] == "/usr/bin/bwrap"
    assert prefix[-3:] == ("--chdir", "/p/sub", "--")
    assert "/run/workgraph" not in prefix
    assert not any("prompt" in word for word in prefix)
    assert plan_gate(world.grounds(host=host), a_task(), "/p") == ()


PATHS = st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)


@given(workspace=PATHS, home=PATHS, project=PATHS, readable=st.lists(PATHS, max_size=3))
def test_mounts_lie_as_they_should(
    workspace: str, home: str, project: str, readable: list[str]
) -> None:
    """Outer ones first; the workspace is writable, what is in `.wg` is not seen."""
    room = Room(
        workspace=workspace,
        project_dir=project,
        wg_dir=f"{project}/.wg",
        home=home,
        network="host",
        agent_folder=f"{project}/.wg/agents/agent-1",
        socket_dir=f"{project}/.wg/socket",
        readable=tuple(readable),
    )

    found = sandbox.mounts(MACHINE, room)

    paths = [mount.path for mount in found]
    assert len(set(paths)) == len(paths)
    for number, path in enumerate(paths):
        assert not any(sandbox.contains(path, outer) for outer in paths[:number])
    assert sandbox.shows(found, f"{workspace}/x")
    assert not sandbox.shows(found, f"{project}/.wg/graph.db")
    assert not sandbox.shows(found, f"{project}/.wg/agents/agent-2/prompt.md")
    assert sandbox.shows(found, f"{project}/.wg/agents/agent-1/prompt.md")
    assert sandbox.shows(found, "/usr/lib/python3/x")
