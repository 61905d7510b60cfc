"""Builders for the tests of the plan: tasks, hosts, settings."""

from pathlib import Path
from typing import Any

from workgraph.agents.builtin import BUILTINS
from workgraph.agents.executor import load_executors
from workgraph.agents.plan import (
    AgentFacts,
    Chosen,
    Grounds,
    Host,
    prepare_grounds,
)
from workgraph.graph.model import Actor, Task, TaskSpec, Usage
from workgraph.graph.status import Status
from workgraph.settings import load_settings

HOST_ENV = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/home/me",
    "USER": "me",
    "LC_ALL": "C.UTF-8",
    "TMPDIR": "/var/tmp",
    "ANTHROPIC_API_KEY": "sk-1",
    "CODEX_API_KEY": "sk-2",
    "GEMINI_API_KEY": "sk-3",
    "OTHER_TOKEN": "t",
    "EDITOR": "vi",
    "WG_TASK_ID": "outer",
    "WG_OTHER": "outer",
    "BAD-NAME": "x",
}
AGENT = AgentFacts(id="agent-17", attempt=3, token="tok", folder="/p/.wg/agents/17")
OPENROUTER = """
[[endpoints]]
name = "openrouter"
url = "https://openrouter.ai/api/v1"
default = true
"""


def a_task(**spec: Any) -> Task:
    """A ready task with boring values."""
    return Task(
        seq=1,
        id="t",
        spec=TaskSpec(title="T", **spec),
        status=Status.OPEN,
        priority=2,
        paused=False,
        unmet=0,
        chain=1,
        actor=None,
        actor_matched=False,
        claimed_by=None,
        claimed_at=None,
        reserved_for=None,
        attempts=0,
        starts=0,
        not_before=None,
        retry_at=None,
        start_after=None,
        parked=None,
        gate=None,
        failure=None,
        progress=None,
        usage=Usage(),
        summary=None,
        superseded_by=None,
        added_by=None,
        depth=0,
        last_agent=None,
        created_at=0,
        started_at=None,
        completed_at=None,
        updated_at=0,
    )


def an_actor(executor: str | None = None, model: str | None = None) -> Actor:
    """An actor with boring values."""
    return Actor(id="0" * 64, name="ann", executor=executor, model=model)


def a_host(**changes: Any) -> Host:
    """A machine that has everything."""
    values: dict[str, Any] = {
        "env": HOST_ENV,
        "project_dir": "/p",
        "wg_dir": "/p/.wg",
        "socket": "/p/.wg/wgd.sock",
        "bin_dir": "/p/.wg/bin",
        "home": "/home/me",
        "has_executable": lambda name, _path: (
            name if name.startswith("/") else f"/usr/bin/{name}"
        ),
        "exists": lambda _path: False,
        "is_dir": lambda _path: True,
        "python": "/venv/bin/python",
    }
    return Host(**(values | changes))


class World:
    """Settings in files, and the grounds made from them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def grounds(
        self,
        local: str = "",
        user: str = "",
        overrides: tuple[str, ...] = (),
        host: Host | None = None,
    ) -> Grounds:
        """What `wgd` has after it has read the settings."""
        (self.folder / "local.toml").write_text(local)
        (self.folder / "user.toml").write_text(user)
        layered = load_settings(
            self.folder / "local.toml", self.folder / "user.toml", overrides
        )
        executors = load_executors(layered.settings, BUILTINS, ())
        return prepare_grounds(layered, executors, host or a_host())


def words(chosen: Chosen[Any]) -> tuple[Any, str]:
    """A chosen value as a pair."""
    return chosen.value, chosen.source
