"""`wg executor test` with real clients: what they say of a provider that answers."""

from pathlib import Path

import pytest

from tests.system.clients import MODEL, a_client_project, a_mock
from tests.system.project import wait_for

pytestmark = [pytest.mark.agents, pytest.mark.timeout(400)]

#: Long ones are not in the short form.
CLIENTS = [
    "claude",
    "codex",
    pytest.param("gemini", marks=pytest.mark.long),
    pytest.param("opencode", marks=pytest.mark.long),
]


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_says_one_word(tmp_path: Path, client: str) -> None:
    """What the mock has served is told, and nothing of it is left."""
    with a_mock() as mock, a_client_project(tmp_path / "p", mock, client) as project:
        project.start_daemon()
        model = f"mock/{MODEL}" if client == "opencode" else MODEL

        found = {one["name"]: one for one in project.json("executor", "list")}
        trial = project.json("executor", "test", client, "--model", model)

        served = mock.served(client)
        assert found[client]["path"] is not None
        assert found[client]["credentials"] != "missing"
        assert trial["outcome"] == "finished"
        assert trial["version"]
        used = trial["usage"] | {"cached_tokens": trial["cached_tokens"]}
        assert {key: used[key] for key in served} == served
        assert trial["said"]
        assert project.json("agents") == []
        assert not (project.folder / ".wg" / "trials").exists()
        wait_for(lambda: project.processes() == [], "all of it to be gone")
