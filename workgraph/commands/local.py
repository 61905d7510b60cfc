"""Commands that do not reach the engine as one request: they start it, or need none."""

from workgraph.graph.model import Record


class InitProject(Record, frozen=True, kw_only=True):
    """Makes `.wg/`; with `agents_md` also the marked block in AGENTS.md."""

    agents_md: bool = False


class StartOptions(Record, frozen=True, kw_only=True):
    """What every way to start the dispatcher takes; `settings` are `KEY=VALUE`."""

    settings: tuple[str, ...] = ()
    max_agents: int | None = None


class StartService(StartOptions, frozen=True, kw_only=True):
    """Starts the daemon in the background and returns when it answers."""


class StopService(Record, frozen=True, kw_only=True):
    """Stops the daemon; agents go on unless `kill_agents`."""

    kill_agents: bool = False


class RestartService(StartOptions, frozen=True, kw_only=True):
    """Stops the daemon and starts it again; agents go on unless `kill_agents`."""

    kill_agents: bool = False


class InstallService(Record, frozen=True, kw_only=True):
    """Writes and enables the systemd user units of this project."""


class UninstallService(Record, frozen=True, kw_only=True):
    """Stops, disables and removes them; agents and the graph stay."""


class ServiceStatusQuery(Record, frozen=True, kw_only=True):
    """What the daemon is and does; it takes no lock and starts nothing."""


class RunDispatcher(StartOptions, frozen=True, kw_only=True):
    """Runs the dispatcher in this terminal, or follows the daemon's."""

    until_idle: bool = False


class Doctor(Record, frozen=True, kw_only=True):
    """Checks the installation."""


class InstallCompletion(Record, frozen=True, kw_only=True):
    """Writes `script` where the shell, `bash`, `zsh` or `fish`, finds it."""

    shell: str
    script: str


ServiceCommand = (
    StartService
    | StopService
    | RestartService
    | InstallService
    | UninstallService
    | ServiceStatusQuery
)

LocalCommand = InitProject | ServiceCommand | RunDispatcher | Doctor | InstallCompletion
