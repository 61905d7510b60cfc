import sys
from pathlib import Path

import pytest

from workgraph.daemon.configuration import Configuration, user_config_file
from workgraph.graph.errors import NotFoundError, UsageError, UserError
from workgraph.graph.replies import Reply, SettingData


class World:
    """A project and a user, each with settings."""

    def __init__(self, folder: Path) -> None:
        self.wg_dir = folder / "project" / ".wg"
        self.wg_dir.mkdir(parents=True)
        self.local = self.wg_dir / "config.toml"
        self.user = folder / "xdg" / "workgraph" / "config.toml"
        self.user.parent.mkdir(parents=True)
        self.env = {
            "XDG_CONFIG_HOME": str(folder / "xdg"),
            "HOME": str(folder / "home"),
            "PATH": "/usr/bin:/bin",
        }

    def load(self, *overrides: str) -> Configuration:
        """What a process with these `--set` has."""
        return Configuration.load(self.wg_dir, self.env, overrides)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """No file has any setting yet."""
    return World(tmp_path)


def a_setting(
    key: str, value: object, origin: str, file: Path | None = None
) -> SettingData:
    """What `get` answers."""
    name = None if file is None else str(file)
    return SettingData(key=key, value=value, origin=origin, file=name)


def test_each_layer_is_named_as_the_origin(world: World) -> None:
    """`get` gives the value that holds and where it was set."""
    world.user.write_text('[dispatcher]\nmodel = "u"\nmax_agents = 1\n')
    world.local.write_text("[dispatcher]\nmax_agents = 2\n[retry]\nmax_attempts = 5\n")
    loaded = world.load("retry.max_attempts=7")

    data = [
        loaded.get(key).data
        for key in (
            "dispatcher.model",
            "dispatcher.max_agents",
            "retry.max_attempts",
            "agents.timeout",
        )
    ]

    assert data == [
        a_setting("dispatcher.model", "u", "global", world.user),
        a_setting("dispatcher.max_agents", 2, "local", world.local),
        a_setting("retry.max_attempts", 7, "command line"),
        a_setting("agents.timeout", "2h", "default"),
    ]


def test_the_list_has_every_key(world: World) -> None:
    """`list` gives what `get` gives, for all of them."""
    world.local.write_text('[executors.mine]\nargv = ["true"]\n')
    loaded = world.load()

    reply = loaded.list_()

    by_key = {setting.key: setting for setting in reply.data}
    mine = a_setting("executors.mine.argv", ["true"], "local", world.local)
    assert by_key["executors.mine.argv"] == mine
    assert by_key["dispatcher.executor"] == loaded.get("dispatcher.executor").data


def test_a_key_that_is_not_there_offers_the_nearest(world: World) -> None:
    """Reading one is a thing not found, writing one wrong usage."""
    loaded = world.load()

    with pytest.raises(NotFoundError) as reading:
        loaded.get("dispatcher.max_agent")
    with pytest.raises(UsageError) as writing:
        loaded.set_("dispatcher.max_agent", "1")

    assert (reading.value.exit_code, writing.value.exit_code) == (3, 2)
    assert reading.value.hint == "did you mean dispatcher.max_agents?"
    assert writing.value.hint == reading.value.hint
    assert not world.local.exists()


def test_a_key_nobody_set_is_null(world: World) -> None:
    """A key of an executor is one even where no file has it."""
    data = world.load().get("executors.mine.preamble").data

    assert data == a_setting("executors.mine.preamble", None, "default")


def test_old_names_are_read_with_a_warning(world: World) -> None:
    """`[agent]` is the old name of `[dispatcher]`, in files and keys."""
    world.local.write_text("[agent]\nmax_agents = 3\n")

    reply = world.load().get("agent.max_agents")

    setting = a_setting("dispatcher.max_agents", 3, "local", world.local)
    warning = f"{world.local}: [agent] is the old name of [dispatcher]: rename it"
    assert reply == Reply(data=setting, notes=(warning,))


def test_setting_a_value_keeps_comments(world: World) -> None:
    """`set` writes the project's file; what was loaded stays until `reload`."""
    world.local.write_text("# mine\n[dispatcher]\nmax_agents = 3 # few\n")
    loaded = world.load()

    reply = loaded.set_("dispatcher.max_agents", "9")

    data = a_setting("dispatcher.max_agents", 9, "local", world.local)
    assert reply == Reply(data=data)
    assert world.local.read_text() == "# mine\n[dispatcher]\nmax_agents = 9 # few\n"
    assert loaded.get("dispatcher.max_agents").data.value == 3
    assert loaded.reload().get("dispatcher.max_agents").data == data


def test_the_user_s_file_is_made_when_needed(world: World) -> None:
    """`set --global` writes the user's file and no other."""
    world.user.parent.rmdir()

    reply = world.load().set_("dispatcher.model", "opus", globally=True)

    assert reply.data == a_setting("dispatcher.model", "opus", "global", world.user)
    assert world.load().layered.origin("dispatcher.model")[0] == "global"
    assert not world.local.exists()


def test_a_value_that_something_covers_is_noted(world: World) -> None:
    """Who sets what another layer overrides is told so."""
    world.local.write_text('[dispatcher]\nmodel = "here"\n')

    reply = world.load().set_("dispatcher.model", "there", globally=True)

    place = f"{world.local}:2"
    assert reply.notes == (f'dispatcher.model stays "here": {place} goes first',)


def test_a_wrong_value_changes_no_file(world: World) -> None:
    """A value of the wrong type is wrong usage, and names its key."""
    world.local.write_text("# mine\n")

    with pytest.raises(UsageError, match=r"dispatcher\.max_agents: 'many' is not"):
        world.load().set_("dispatcher.max_agents", "many")

    assert world.local.read_text() == "# mine\n"


def test_a_global_value_must_go_with_the_project_s(world: World) -> None:
    """What would make the project's settings unusable is refused before it is."""
    world.local.write_text('[agency]\nauto_reward = "off"\n')

    with pytest.raises(UserError, match="nothing would ever pass"):
        world.load().set_("agency.reward_gate", "enforcing", globally=True)

    assert not world.user.exists()


def test_a_local_value_must_go_with_the_user_s(world: World) -> None:
    """The user's file may supply what the project's value needs."""
    world.user.write_text('[agency]\nauto_reward = "checks"\n')

    world.load().set_("agency.reward_gate", "enforcing")

    assert world.load().layered.settings.agency.reward_gate == "enforcing"


def test_a_broken_file_is_refused_and_the_old_stays(world: World) -> None:
    """`reload` raises with file and line; what is loaded is still usable."""
    world.local.write_text("[dispatcher]\nmax_agents = 3\n")
    loaded = world.load()
    world.local.write_text("[dispatcher]\nmax_agent = 3\n")

    with pytest.raises(UserError, match=rf"{world.local}:2: there is no setting"):
        loaded.reload()

    assert loaded.layered.settings.dispatcher.max_agents == 3


def test_overrides_survive_a_reload(world: World) -> None:
    """What `--set` said holds for as long as the process lives."""
    loaded = world.load("dispatcher.max_agents=8")
    world.local.write_text("[dispatcher]\nmax_agents = 3\n")

    assert loaded.reload().layered.settings.dispatcher.max_agents == 8


def test_where_the_user_s_file_is(tmp_path: Path) -> None:
    """XDG_CONFIG_HOME counts when it is absolute; else it is ~/.config."""
    home = {"HOME": str(tmp_path)}
    default = tmp_path / ".config/workgraph/config.toml"

    assert user_config_file(home) == default
    assert user_config_file({**home, "XDG_CONFIG_HOME": ""}) == default
    assert user_config_file({**home, "XDG_CONFIG_HOME": "rel"}) == default
    given = {**home, "XDG_CONFIG_HOME": "/x"}
    assert user_config_file(given) == Path("/x/workgraph/config.toml")


def test_the_grounds_are_of_this_machine(world: World) -> None:
    """Plans see the project's folders, this interpreter and real programs."""
    world.local.write_text('[executors.mine]\nargv = ["true"]\n')

    grounds = world.load().grounds("/run/wgd.sock")

    host = grounds.host
    assert host.project_dir == str(world.wg_dir.parent)
    assert (host.wg_dir, host.bin_dir) == (str(world.wg_dir), f"{world.wg_dir}/bin")
    assert (host.socket, host.python) == ("/run/wgd.sock", sys.executable)
    assert host.home == world.env["HOME"]
    assert host.has_executable("sh", "/nowhere:/bin") == "/bin/sh"
    assert host.has_executable("sh", "/nowhere") is None
    assert host.has_module("msgspec")
    assert not host.has_module("no_module_of_this_name")
    assert "mine" in grounds.executors.by_name
    assert grounds.env["mine"]["PATH"].value.startswith(f"{world.wg_dir}/bin:")
