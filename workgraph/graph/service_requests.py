"""What can be asked of the service as a whole."""

from workgraph.graph.task_options import Request


class GetServiceStatus(Request, frozen=True, kw_only=True, tag="status"):
    """What the daemon is and does."""


class Shutdown(Request, frozen=True, kw_only=True, tag="shutdown"):
    """Ends the daemon; agents go on unless `kill_agents`."""

    kill_agents: bool = False


class GraphChanged(Request, frozen=True, kw_only=True, tag="graph_changed"):
    """Wakes the tick."""


class Tick(Request, frozen=True, kw_only=True, tag="tick"):
    """One tick, awaited."""


class Reconfigure(Request, frozen=True, kw_only=True, tag="reconfigure"):
    """Reads the settings again; `max_agents` overrides them until the next start."""

    max_agents: int | None = None


class Freeze(Request, frozen=True, kw_only=True, tag="freeze"):
    """Stops all agents where they are, and starts no new ones."""


class Thaw(Request, frozen=True, kw_only=True, tag="thaw"):
    """Undoes `freeze`, and `pause`."""
