"""Commands about the daemon, the settings and the installation (CONTRACT §3.3)."""

from typing import Annotated

import typer

from workgraph.commands import cli_chats
from workgraph.commands.cli_call import WgCommand, new_app
from workgraph.commands.local import (
    Doctor,
    InstallService,
    RestartService,
    RunDispatcher,
    ServiceStatusQuery,
    StartService,
    StopService,
    UninstallService,
)
from workgraph.graph.errors import UsageError
from workgraph.graph.requests import (
    Freeze,
    GetConfig,
    ListConfig,
    Pause,
    Reconfigure,
    Resume,
    SetConfig,
    Thaw,
    Tick,
)

Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A setting for this run."),
]
MaxAgents = Annotated[
    int | None,
    typer.Option("--max-agents", min=0, metavar="N", help="Agents at a time."),
]
KillOption = Annotated[
    bool,
    typer.Option("--kill-agents", help="End agents; their tasks are ready again."),
]
Key = Annotated[str, typer.Argument(metavar="KEY", help="dispatcher.max_agents …")]


def register(app: typer.Typer) -> None:
    """Adds these commands."""
    service = new_app("service", "The daemon in the background.")
    service.command("start", cls=WgCommand)(_start)
    service.command("stop", cls=WgCommand)(_stop)
    service.command("restart", cls=WgCommand)(_restart)
    service.command("status", cls=WgCommand)(_status)
    service.command("install", cls=WgCommand)(_install)
    service.command("uninstall", cls=WgCommand)(_uninstall)
    service.command("pause", cls=WgCommand)(_pause)
    service.command("resume", cls=WgCommand)(_resume)
    service.command("freeze", cls=WgCommand)(_freeze)
    service.command("thaw", cls=WgCommand)(_thaw)
    service.command("reload", cls=WgCommand)(_reload)
    service.command("tick", cls=WgCommand)(_tick)
    cli_chats.register_with_service(service)
    app.add_typer(service)
    app.command("run", cls=WgCommand)(_run)
    config = new_app("config", "Settings by dotted key.")
    config.command("get", cls=WgCommand)(_get)
    config.command("set", cls=WgCommand)(_set)
    config.command("list", cls=WgCommand)(_list)
    app.add_typer(config)
    app.command("doctor", cls=WgCommand)(_doctor)


def _start(settings: Settings = None, max_agents: MaxAgents = None) -> StartService:
    """Start the daemon; return when it answers."""
    return StartService(settings=_pairs(settings), max_agents=max_agents)


def _stop(kill_agents: KillOption = False) -> StopService:
    """Stop the daemon; agents go on."""
    return StopService(kill_agents=kill_agents)


def _restart(
    settings: Settings = None,
    max_agents: MaxAgents = None,
    kill_agents: KillOption = False,
) -> RestartService:
    """Stop the daemon and start it again."""
    return RestartService(
        settings=_pairs(settings), max_agents=max_agents, kill_agents=kill_agents
    )


def _status() -> ServiceStatusQuery:
    """Show what the daemon is and does."""
    return ServiceStatusQuery()


def _install() -> InstallService:
    """Write and enable the systemd user units of this project."""
    return InstallService()


def _uninstall() -> UninstallService:
    """Stop, disable and remove them; agents go on."""
    return UninstallService()


def _pause() -> Pause:
    """Start no new agents, across restarts, too."""
    return Pause()


def _resume() -> Resume:
    """Start agents again."""
    return Resume()


def _freeze() -> Freeze:
    """Stop all agents where they are, and start no new ones."""
    return Freeze()


def _thaw() -> Thaw:
    """Let frozen agents go on, and start new ones."""
    return Thaw()


def _reload() -> Reconfigure:
    """Read the settings again."""
    return Reconfigure()


def _tick() -> Tick:
    """Do one tick."""
    return Tick()


def _run(
    until_idle: Annotated[
        bool,
        typer.Option("--until-idle", help="End when nothing more starts by itself."),
    ] = False,
    max_agents: MaxAgents = None,
    settings: Settings = None,
) -> RunDispatcher:
    """Work off the graph in this terminal."""
    return RunDispatcher(
        until_idle=until_idle, max_agents=max_agents, settings=_pairs(settings)
    )


def _get(key: Key) -> GetConfig:
    """Print a setting."""
    return GetConfig(key=key)


def _set(
    key: Key,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="Its new value.")],
    globally: Annotated[
        bool, typer.Option("--global", help="In the user's file, for all projects.")
    ] = False,
) -> SetConfig:
    """Write a setting into the project's file."""
    return SetConfig(key=key, value=value, globally=globally)


def _list(
    origin: Annotated[
        bool, typer.Option("--origin", help="With where each value comes from.")
    ] = False,
) -> ListConfig:
    """List all settings."""
    return ListConfig(origin=origin)


def _doctor() -> Doctor:
    """Check the installation."""
    return Doctor()


def _pairs(settings: list[str] | None) -> tuple[str, ...]:
    for pair in settings or ():
        key, sign, _ = pair.partition("=")
        if not key or not sign:
            raise UsageError(f"--set {pair!r} is not KEY=VALUE")
    return tuple(settings or ())
