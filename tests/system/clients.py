"""Real agent clients under a real wgd, with a mock of their providers' APIs.

Each test has a mock and a project of its own, whose HOME, keys and addresses are made
up: no client can find a login of yours. What an agent does is in the description of its
task, as a block that the mock reads (see `tests/mock_model_api.py`).
"""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

import pytest

from tests.system.project import Project, a_project

ROOT: Final = Path(__file__).parents[2]
#: What `make test-agents` says; without it the tests look for what it has installed.
INSTALLED: Final = "WG_TEST_AGENTS"
MODEL: Final = "mock-model"

#: Who has said `wg done` has the grace to say its last word, which tests count.
SETTINGS: Final = """
[agents]
kill_grace = "40s"
client_patience = "10s"
[retry]
backoff = "200ms"
[executors.codex]
credentials = ["MOCK_API_KEY"]
"""

CODEX: Final = """
model = "mock-model"
model_provider = "mock"
[model_providers.mock]
name = "mock"
base_url = "@URL@/v1"
wire_api = "responses"
env_key = "MOCK_API_KEY"
request_max_retries = 1
stream_max_retries = 2
[analytics]
enabled = false
"""

GEMINI: Final = {
    "general": {"enableAutoUpdate": False},
    "privacy": {"usageStatisticsEnabled": False},
    "security": {"auth": {"selectedType": "gemini-api-key"}},
}


def opencode(url: str) -> dict[str, Any]:
    """Its configuration: a provider that is the mock."""
    return {
        "autoupdate": False,
        "share": "disabled",
        "model": f"mock/{MODEL}",
        "small_model": f"mock/{MODEL}",
        "provider": {
            "mock": {
                "npm": "@ai-sdk/openai-compatible",
                "name": "mock",
                "options": {"baseURL": f"{url}/v1", "apiKey": "dummy"},
                "models": {
                    MODEL: {
                        "name": "mock",
                        "limit": {"context": 200_000, "output": 8192},
                        "cost": {"input": 3, "output": 15},
                    }
                },
            }
        },
    }


def installed(client: str) -> Path:
    """The folder with the clients; the test is skipped where none were installed.

    Under `make test-agents` a client that is not there is a failure instead.
    """
    asked = os.environ.get(INSTALLED)
    folder = Path(asked) if asked else ROOT / ".agents"
    if not (folder / "bin" / client).exists():
        message = f"{client} is not in {folder}: make test-agents installs it"
        if asked:
            pytest.fail(message)
        pytest.skip(message)
    return folder / "bin"


class Mock:
    """A mock model API, as a process."""

    def __init__(self, process: "subprocess.Popen[str]", url: str) -> None:
        self.process = process
        self.url = url

    def requests(self, *, side: bool = False) -> list[dict[str, Any]]:
        """What agents asked of it, in order; or what clients asked besides."""
        with urlopen(f"{self.url}/_mock/requests", timeout=60) as answer:
            found = json.load(answer)
        return [one for one in found if "step" in one and one["side"] == side]

    def served(self, client: str) -> dict[str, int]:
        """The tokens that it has counted, the cached ones apart.

        All but claude's API have them in what they call input. gemini counts what it
        asks to choose a model, opencode does not count what it asks for a title.
        """
        asked = self.requests()
        if client == "gemini":
            asked += self.requests(side=True)
        steps = [one["step"] for one in asked]
        usage = [{"input": 100, "output": 20} | one.get("usage", {}) for one in steps]
        cached = sum(one.get("cached", 0) for one in usage)
        whole = sum(one["input"] for one in usage)
        return {
            "input_tokens": whole if client == "claude" else whole - cached,
            "cached_tokens": cached,
            "output_tokens": sum(one["output"] for one in usage),
        }


@contextmanager
def a_mock(*options: str) -> Iterator[Mock]:
    """A mock that answers while the block runs."""
    with subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "mock_model_api.py"), *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield Mock(process, json.loads(process.stdout.readline())["url"])
        finally:
            process.terminate()


@contextmanager
def a_client_project(folder: Path, mock: Mock, *clients: str) -> Iterator[Project]:
    """A project in which these clients are on the PATH and talk to the mock."""
    bins = [installed(client) for client in clients]
    env = {
        "ANTHROPIC_BASE_URL": mock.url,
        "ANTHROPIC_API_KEY": "dummy",
        "MOCK_API_KEY": "dummy",
        "GOOGLE_GEMINI_BASE_URL": mock.url,
        "GEMINI_API_KEY": "dummy",
        "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
        "OPENCODE_CONFIG_CONTENT": json.dumps(opencode(mock.url)),
    }
    with a_project(folder, env) as project:
        project.env["PATH"] = f"{bins[0]}:{project.env['PATH']}"
        home = Path(project.env["HOME"])
        for name in (".codex", ".gemini"):
            (home / name).mkdir()
        (home / ".codex/config.toml").write_text(CODEX.replace("@URL@", mock.url))
        (home / ".gemini/settings.json").write_text(json.dumps(GEMINI))
        with (project.folder / ".wg/config.toml").open("a") as config:
            config.write(SETTINGS)
        yield project


def script(*steps: Mapping[str, Any]) -> str:
    """A task's description, by which the mock knows what its agent does."""
    lines = "\n".join(json.dumps(step) for step in steps)
    return f"What the mock answers:\n```mock\n{lines}\n```"


def agents_of(project: Project, task: str) -> list[dict[str, Any]]:
    """The attempts at a task, oldest first."""
    rows = [row for row in project.json("agents") if row["task"] == task]
    return sorted(rows, key=lambda row: int(row["id"].removeprefix("agent-")))


def end_kind(project: Project, agent: str) -> str | None:
    """What the agent's client has ended with, or was ended for, as its row has it."""
    columns = "coalesce(client_end, trouble)"
    (end,) = _columns(project, int(agent.removeprefix("agent-")), columns)
    return json.loads(end)["kind"] if end else None


def session_of(project: Project, number: int) -> tuple[str | None, str | None]:
    """The session of an agent, and the one that it was told to go on with."""
    session, resumed = _columns(project, number, "session, resumed")
    return session, resumed


def _columns(project: Project, number: int, columns: str) -> tuple[Any, ...]:
    file = project.folder / ".wg" / "graph.db"
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        found: tuple[Any, ...] = database.execute(
            f"select {columns} from agents where number = ?", (number,)
        ).fetchone()
    return found


def client_pid(agent: Mapping[str, Any]) -> int:
    """The process of the client itself: the child of the wrapper."""
    children = Path(f"/proc/{agent['pid']}/task/{agent['pid']}/children")
    return int(children.read_text().split()[0])


def words_of(project: Project, task: str) -> str:
    """What there is to say when a test fails: the task, and what its agents wrote."""
    told = [project.wg("show", task), project.run("why", task).stdout]
    for row in agents_of(project, task):
        for name in ("output.log", "stderr.log"):
            file = project.folder / ".wg/agents" / row["id"] / name
            if file.exists():
                told.append(f"--- {row['id']} {name}\n{file.read_text()[-1500:]}")
    return "\n".join(told)
