"""How real clients end, and what becomes of their tasks: `docs/outcomes.md`'s table."""

import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct, field

from tests.system.clients import (
    a_client_project,
    a_mock,
    agents_of,
    client_pid,
    end_kind,
    script,
    session_of,
    words_of,
)
from tests.system.project import Project, wait_for

pytestmark = [pytest.mark.agents, pytest.mark.timeout(400)]

CLIENTS = ("claude", "codex", "gemini", "opencode")
WORK: tuple[Mapping[str, Any], ...] = (
    {"shell": "wg done --summary 'it is made'"},
    {"text": "Done."},
)
FOREVER = {"times": "always"}


class Scenario(Struct, frozen=True, kw_only=True):
    """What the provider does, and what is to be known of it afterwards."""

    steps: Sequence[Mapping[str, Any]]
    #: What the clients say of their end; null: nothing is asked of that.
    kinds: Sequence[str] | None
    outcome: str = "rate-limited"
    #: The state of the account afterwards.
    account: str = "limited"
    #: For `wgd`.
    options: Sequence[str] = ()
    #: Clients that the short form has it with.
    short: Sequence[str] = ()
    #: Where a client is different: its kinds.
    of_client: Mapping[str, Sequence[str]] = field(default_factory=dict)


SCENARIOS = {
    "401": Scenario(
        steps=[{"status": 401, **FOREVER}],
        kinds=["auth"],
        outcome="spawn-failed",
        account="broken",
        short=["claude", "codex"],
    ),
    "429, then fine": Scenario(
        steps=[{"status": 429, "retry_after": 1}, *WORK],
        # A slow one is ended before its last word: it has said `wg done`.
        kinds=None,
        outcome="done",
        account="ok",
    ),
    "429 for an hour": Scenario(
        steps=[
            {
                "status": 429,
                "retry_after": 3600,
                "message": "You have hit the rate limit.",
                **FOREVER,
            }
        ],
        kinds=["limited"],
        short=["claude", "codex"],
    ),
    "overloaded": Scenario(steps=[{"status": 529, **FOREVER}], kinds=["overloaded"]),
    "dropped in the middle": Scenario(
        steps=[{"disconnect": "mid", **FOREVER}], kinds=["network", "overloaded"]
    ),
    "refused": Scenario(
        steps=[{"disconnect": "start", **FOREVER}], kinds=["network", "overloaded"]
    ),
    "malformed": Scenario(
        steps=[{"malformed": True, **FOREVER}], kinds=["overloaded", "network"]
    ),
    "empty": Scenario(
        steps=[{"empty": True, **FOREVER}], kinds=["overloaded", "network"]
    ),
    "silent": Scenario(
        steps=[{"hang": "mid", **FOREVER}],
        kinds=None,
        outcome="stalled",
        account="",
        options=["--set", "agents.stall_timeout=15s"],
    ),
}


def rows() -> list[Any]:
    """Each scenario with each client; all but the short ones are long."""
    return [
        pytest.param(
            client,
            name,
            marks=[] if client in scenario.short else [pytest.mark.long],
            id=f"{name}-{client}",
        )
        for name, scenario in SCENARIOS.items()
        for client in CLIENTS
    ]


def a_minute() -> float:
    """The issue's: whatever the client does by itself, its end is known by then.

    A machine with other work needs longer for it, as it does for all else.
    """
    waiting = os.getloadavg()[0] / (os.cpu_count() or 1)
    return 60.0 * max(1.0, 2 * waiting)


def ended(project: Project, task: str) -> dict[str, Any]:
    """The first agent of a task, when it has ended and the end is judged."""

    def is_so() -> bool:
        (first, *_) = agents_of(project, task) or [{"status": None, "outcome": None}]
        return first["status"] == "ended" and first["outcome"] is not None

    try:
        wait_for(is_so, f"the first agent of {task} to end", a_minute())
    except AssertionError as error:
        message = f"{error}\n{words_of(project, task)}"
        raise AssertionError(message) from error
    return agents_of(project, task)[0]


def state_of(project: Project, client: str) -> str:
    """The state of the client's account; empty where nothing is known of it."""
    providers = project.json("service", "status")["providers"]
    return next((one["state"] for one in providers if one["account"] == client), "")


@pytest.mark.parametrize(("client", "name"), rows())
def test_what_becomes_of_an_attempt(tmp_path: Path, client: str, name: str) -> None:
    """Within a minute the end is known, the account with it, and nothing is left."""
    scenario = SCENARIOS[name]
    with (
        a_mock() as mock,
        a_client_project(tmp_path / "p", mock, client) as project,
    ):
        project.start_daemon(*scenario.options)
        task = project.wg(
            *("add", "make it", "-d", script(*scenario.steps)),
            *("--executor", client, "--max-attempts", "1"),
        ).strip()
        agent = ended(project, task)
        told = words_of(project, task)

        assert agent["outcome"] == scenario.outcome, told
        kinds = scenario.of_client.get(client, scenario.kinds)
        if kinds is not None:
            assert end_kind(project, agent["id"]) in kinds, told
        if scenario.account:
            assert state_of(project, client) == scenario.account, told
        if scenario.account in {"limited", "broken"}:
            assert project.json("show", task)["attempts"] == 0
            assert project.json("show", task)["status"] == "open"
        wait_for(lambda: not project.processes(), "nothing of it to be left")


def signalled() -> list[Any]:
    """TERM and KILL for each; KILL of two is in the short form."""
    return [
        pytest.param(
            client,
            number,
            marks=[]
            if number == signal.SIGKILL and client in {"claude", "codex"}
            else [pytest.mark.long],
            id=f"{number.name}-{client}",
        )
        for number in (signal.SIGTERM, signal.SIGKILL)
        for client in CLIENTS
    ]


@pytest.mark.parametrize(("client", "number"), signalled())
def test_a_client_that_is_ended_by_a_signal(
    tmp_path: Path, client: str, number: signal.Signals
) -> None:
    """In the middle of a tool: a crash, whatever it exits with; the tool goes, too."""
    steps = [
        {"shell": "touch begun; timeout 300 tail -f /dev/null"},
        *WORK,
    ]
    with a_mock() as mock, a_client_project(tmp_path / "p", mock, client) as project:
        project.start_daemon()
        task = project.wg(
            *("add", "make it", "-d", script(*steps)),
            *("--executor", client, "--max-attempts", "1"),
        ).strip()
        wait_for(
            (project.folder / "begun").exists, f"{client} to use a tool", a_minute()
        )
        (running,) = agents_of(project, task)
        os.kill(client_pid(running), number)
        agent = ended(project, task)
        told = words_of(project, task)

        # claude and gemini catch TERM and exit, with 143 and 0
        assert agent["outcome"] == "crashed", told
        assert project.json("show", task)["status"] == "failed", told
        wait_for(lambda: not project.processes(), "nothing of it to be left")


@pytest.mark.long
@pytest.mark.parametrize("client", CLIENTS)
def test_a_session_is_gone_on_with(tmp_path: Path, client: str) -> None:
    """A client that was killed is started again, and finds its conversation."""
    steps = [
        {"shell": "wg log 'now it begins'"},
        {"shell": "[ -e begun ] || { touch begun; timeout 300 tail -f /dev/null; }"},
        *WORK,
    ]
    with a_mock() as mock, a_client_project(tmp_path / "p", mock, client) as project:
        project.start_daemon()
        task = project.wg(
            *("add", "make it", "-d", script(*steps)),
            *("--executor", client, "--max-attempts", "2"),
        ).strip()
        wait_for(
            (project.folder / "begun").exists, f"{client} to use a tool", a_minute()
        )
        (running,) = agents_of(project, task)
        os.kill(client_pid(running), signal.SIGKILL)
        ended(project, task)
        wait_for(
            lambda: project.json("show", task)["status"] == "done",
            f"{task} to be done",
            a_minute(),
        )

        first, again = (session_of(project, n) for n in (1, 2))
        assert first[0] is not None
        assert again == (first[0], first[0]), words_of(project, task)
