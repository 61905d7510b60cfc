"""`wg service` under a real `systemd --user` (tests/system/user_manager.py)."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.project import wait_for
from tests.system.user_manager import (
    ManagedProject,
    UserManager,
    a_user_manager,
    require_systemd,
)

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]

SLEEP = "sleep 1000"


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UserManager]:
    """One for all tests here."""
    require_systemd()
    with a_user_manager(tmp_path_factory.mktemp("systemd")) as manager:
        yield manager


@pytest.fixture
def project(
    manager: UserManager, tmp_path_factory: pytest.TempPathFactory
) -> ManagedProject:
    """One without units. What it starts ends with the manager's namespace."""
    project = ManagedProject(tmp_path_factory.mktemp("p"), manager)
    project.wg("init")
    return project


def install(project: ManagedProject, *drop_in: str) -> None:
    """Installs the units, with more lines for the service."""
    project.install()
    if drop_in:
        folder = Path(project.units["files"][0] + ".d")
        folder.mkdir()
        (folder / "test.conf").write_text("\n".join(["[Service]", *drop_in]))
        project.manager.systemctl("daemon-reload")


def add_agent(project: ManagedProject) -> int:
    """Has an agent sleep; gives its wrapper's pid."""
    project.wg("add", "Sleep", "--id", "sleep", "--exec", SLEEP)
    wait_for(lambda: agent_of(project) is not None, "the agent to start")
    pid = agent_of(project)
    assert pid is not None
    return pid


def agent_of(project: ManagedProject) -> int | None:
    """The pid of the only agent, while the graph says that it works."""
    agents = project.json("agents", "--alive")
    if not agents or agents[0]["status"] != "working":
        return None
    pid: int = agents[0]["pid"]
    return pid


def test_connecting_starts_the_daemon(project: ManagedProject) -> None:
    """Looking at the status doesn't, nor can a daemon by hand take the socket away."""
    first = project.json("service", "install")
    again = project.json("service", "install")
    project.units = first

    assert first["enabled"]
    assert first["listening"]
    assert again["message"].startswith("it is installed already")
    assert again["files"] == first["files"]
    assert project.verify() == (0, "")
    assert project.json("service", "status")["running"] is False
    assert project.show("ActiveState") == "inactive"
    by_hand = project.manager.run("wgd", cwd=project.folder)
    assert by_hand.returncode == 1
    assert "systemd listens at" in by_hand.stderr
    assert project.wg("list") == ""
    # Its answer may be quicker than systemd is in hearing that it is ready.
    wait_for(lambda: project.show("ActiveState") == "active", "systemd to know")
    status = project.json("service", "status")
    assert status["running"]
    assert project.show("MainPID") == str(status["pid"])
    wait_for(
        lambda: project.show("StatusText") == "0 agents, no tasks", "the status line"
    )
    reload = project.manager.run("systemctl", "--user", "reload", project.service)
    assert (reload.returncode, reload.stderr) == (0, "")
    assert project.show("ActiveState") == "active"
    (project.folder / ".wg" / "config.toml").write_text("nonsense = 1\n")
    reload = project.manager.run("systemctl", "--user", "reload", project.service)
    assert reload.returncode != 0
    assert project.show("ActiveState") == "active"


def test_stop_stays_stopped_and_keeps_agents(project: ManagedProject) -> None:
    """No client starts it again, nor does the next login; start does."""
    install(project)
    agent = add_agent(project)

    assert project.wg("service", "stop").startswith("stopped (pid ")

    assert project.wg("task-status", "sleep") == "in-progress\n"
    assert project.json("service", "status")["running"] is False
    assert project.show("ActiveState") == "inactive"
    assert project.show("ActiveState", project.units["socket"]) == "inactive"
    assert project.enabled() == ["disabled", "disabled"]
    assert project.wg("service", "start").startswith("started (pid ")
    assert project.enabled() == ["enabled", "enabled"]
    assert agent_of(project) == agent
    assert project.alive(agent)
    assert project.wg("service", "stop", "--kill-agents").startswith("stopped")
    assert not project.alive(agent)
    assert project.wg("task-status", "sleep") == "open\n"


def test_a_crash_loop_stops_and_agents_live_on(project: ManagedProject) -> None:
    """After five starts in 300 s; `wg` works, and an operator's start is heard."""
    install(project, "RestartSec=10ms")
    agent = add_agent(project)
    killed = []
    while project.show("ActiveState") != "failed":
        pid = project.show("MainPID")
        if pid != "0" and pid not in killed and project.show("SubState") == "running":
            killed.append(pid)
            project.kill(pid, "KILL")

    assert len(killed) == 5
    assert project.alive(agent)
    assert project.wg("task-status", "sleep") == "in-progress\n"
    assert project.show("ActiveState") == "failed"
    assert project.wg("service", "start").startswith("started (pid ")
    assert agent_of(project) == agent
    assert project.show("ActiveState", project.units["socket"]) == "active"


def test_the_watchdog_restarts_a_daemon_that_hangs(project: ManagedProject) -> None:
    """Agents are adopted, whose ends are then known."""
    said = project.folder / "said"
    errors = f"StandardError=append:{said}"
    # Long enough for a daemon that is only slow, on a busy machine.
    install(project, "WatchdogSec=5", "RestartSec=10ms", errors)
    agent = add_agent(project)
    hung = project.show("MainPID")
    project.kill(hung, "STOP")

    wait_for(lambda: project.show("MainPID") not in {hung, "0"}, "another daemon")

    assert int(project.show("NRestarts")) >= 1
    assert "Fatal Python error: Aborted" in said.read_text()
    wait_for(lambda: agent_of(project) == agent, "the agent to be adopted")
    project.kill(f"$(cat /proc/{agent}/task/{agent}/children)", "KILL")
    wait_for(
        lambda: project.json("agents")[0]["status"] == "ended", "the end to be known"
    )
    assert project.json("agents")[0]["signal"] == 9


@pytest.mark.long
def test_a_daemon_started_by_hand_is_handed_over(project: ManagedProject) -> None:
    """Not by install, which says so; by restart. Its socket is not taken from it."""
    project.wg("service", "start")
    by_hand = project.json("service", "status")["pid"]
    agent = add_agent(project)

    said = project.wg("service", "install")

    project.install()
    assert f"the daemon (pid {by_hand}) was not started by systemd" in said
    assert project.units["listening"] is False
    assert project.json("service", "status")["pid"] == by_hand
    start = project.manager.run("systemctl", "--user", "start", project.units["socket"])
    assert start.returncode != 0
    assert project.wg("task-status", "sleep") == "in-progress\n"
    said = project.wg("service", "start")
    assert f"it runs already (pid {by_hand})" in said
    assert "`wg service restart` hands the project over" in said
    project.wg("service", "restart")
    assert project.show("MainPID") == str(project.json("service", "status")["pid"])
    assert agent_of(project) == agent


def test_uninstall_undoes_all_of_it(project: ManagedProject) -> None:
    """The agents and the graph stay."""
    install(project)
    project.wg("service", "start", "--max-agents", "3")
    agent = add_agent(project)
    drop_in = "$XDG_RUNTIME_DIR/systemd/user"

    said = project.wg("service", "uninstall")

    assert said.startswith("uninstalled wgd@")
    home = Path(project.env["HOME"])
    name = project.service.removesuffix("service")
    assert [file for file in home.rglob("*") if file.name.startswith(name)] == []
    assert project.manager.run("sh", "-c", f"ls {drop_in}").stdout == ""
    assert project.show("LoadState") == "not-found"
    assert project.json("service", "status")["running"] is False
    assert agent_of(project) == agent
    assert project.alive(agent)
    assert project.wg("service", "uninstall") == "it is not installed\n"
    assert project.wg("service", "start").startswith("started (pid ")


@pytest.mark.long
def test_a_start_that_fails_says_what_the_daemon_said(
    project: ManagedProject,
) -> None:
    """And where there is more of it."""
    install(project)
    (project.folder / ".wg" / "config.toml").write_text("nonsense = 1\n")

    status, error = project.error("service", "start")

    assert status == 1
    assert error["message"].startswith("the daemon did not start: ")
    assert "nonsense" in error["message"]
    assert error["hint"].startswith("journalctl --user ")


@pytest.mark.long
@pytest.mark.parametrize("name", ['it\'s 100% $HOME ${A} \\x "q" é ;', "x" * 120])
def test_any_path_will_do(
    manager: UserManager, tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    """With all that means something in a unit file, or too long for a socket."""
    project = ManagedProject(tmp_path_factory.mktemp("p") / name, manager)
    project.wg("init")
    install(project)

    assert project.verify() == (0, "")
    assert project.wg("run", "--until-idle") == "no tasks\n"
    assert project.show("ActiveState") == "active"
    assert project.wg("service", "restart", "--set", "agents.nice=3")
    assert project.json("config", "get", "agents.nice")["value"] == 3


@pytest.mark.long
def test_options_hold_for_one_start(project: ManagedProject) -> None:
    """Over crashes, too, and no longer."""
    install(project, "RestartSec=10ms")

    project.wg("service", "start", "--max-agents", "7", "--set", "agents.nice=3")

    assert project.json("service", "status")["max_agents"] == 7
    assert project.wg("service", "start").startswith("it runs already (pid ")
    crashed = project.show("MainPID")
    project.kill(crashed, "KILL")
    wait_for(
        lambda: str(project.json("service", "status")["pid"]) not in {crashed, "None"},
        "another daemon",
    )
    assert project.json("service", "status")["max_agents"] == 7
    project.wg("service", "restart")
    assert project.json("service", "status")["max_agents"] == 4


@pytest.mark.long
def test_an_import_that_takes_long_is_no_hang(project: ManagedProject) -> None:
    """One transaction may keep the engine for longer than the watchdog waits."""
    install(project, "WatchdogSec=2")
    project.wg("list")
    daemon = project.show("MainPID")
    lines = "".join(f'{{"kind": "task", "title": "t{n}"}}\n' for n in range(100_000))

    project.wg("import", "-", stdin=lines)

    assert project.json("service", "status")["counts"]["open"] == 100_000
    assert project.show("MainPID") == daemon


@pytest.mark.long
def test_a_slow_start_is_waited_for(project: ManagedProject) -> None:
    """Longer than a daemon that runs may take to answer."""
    install(project, "ExecStartPre=sleep 7")

    assert project.wg("list") == ""
    assert project.show("ActiveState") == "active"


@pytest.mark.long
def test_the_socket_comes_with_the_manager(tmp_path: Path) -> None:
    """Installed where no manager runs: both units start with the next one."""
    require_systemd()
    with a_user_manager(tmp_path, started=False) as manager:
        project = ManagedProject(tmp_path / "p", manager)
        project.wg("init")
        said = project.wg("service", "install")
        assert "no systemd user manager runs here" in said
        project.units = json.loads(project.wg("--json", "service", "install"))["data"]
        assert project.units["enabled"]
        assert not project.units["listening"]
        started = project.wg("service", "start")
        assert "no systemd user manager runs here" in started
        project.wg("service", "stop")

        manager.start()

        assert project.show("ActiveState", project.units["socket"]) == "active"
        wait_for(lambda: project.show("ActiveState") == "active", "the daemon")
