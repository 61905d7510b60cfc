"""Lines of JSON to the engine and back: what the socket answers."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.core import Core, running_core
from workgraph.daemon.configuration import Configuration
from workgraph.daemon.peer import Peer
from workgraph.daemon.service import Service
from workgraph.daemon.special import Identity, Special

PEER = Peer(pid=1, uid=0, gid=0)


def a_service(core: Core, folder: Path) -> Service:
    """A service over a core under test."""
    identity = Identity(pid=1, since=0, socket="/s", wg_dir=folder)
    configuration = Configuration.load(folder, {"HOME": str(folder)}, ())
    special = Special(core.engine, configuration, identity, lambda: None)
    return Service(core.engine, special)


async def say(service: Service, **request: Any) -> Any:
    """The decoded answer to one request."""
    answer = await service.answer_line(msgspec.json.encode(request), PEER)
    assert isinstance(answer, bytes)
    return msgspec.json.decode(answer)


async def test_a_task_is_added_and_read(tmp_path: Path) -> None:
    """`cmd` is the tag, fields are the option names, `id` is the new id."""
    async with running_core("dispatcher.max_agents=0") as core:
        service = a_service(core, tmp_path)

        added = await say(service, cmd="add_task", title="x", id="a", tag=["t"])
        status = await say(service, cmd="task_status", task="a")

        assert (added["ok"], added["data"]["tags"]) == (True, ["t"])
        assert status == {"ok": True, "data": {"task": "a", "status": "open"}}


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"cmd": "nonsense"}, "unknown_command"),
        ({"cmd": "done"}, "bad_request"),
        ({"cmd": "done", "task": 7}, "bad_request"),
        ({"cmd": "done", "task": "a", "colour": "red"}, "bad_request"),
        ({"cmd": "done", "task": "nobody"}, "not_found"),
        ({"title": "no cmd"}, "bad_request"),
        (["a", "list"], "bad_request"),
    ],
)
async def test_what_is_wrong_gets_a_code_and_a_message(
    tmp_path: Path, request_: Any, code: str
) -> None:
    """Unknown commands and fields, wrong types and missing tasks each say so."""
    async with running_core("dispatcher.max_agents=0") as core:
        service = a_service(core, tmp_path)

        line = await service.answer_line(msgspec.json.encode(request_), PEER)

        assert isinstance(line, bytes)
        answer = msgspec.json.decode(line)
        assert (answer["ok"], answer["error"]["code"]) == (False, code)
        assert answer["error"]["message"]


async def test_a_token_without_a_task_means_its_own(tmp_path: Path) -> None:
    """An agent need not name the task that it works on."""
    async with running_core() as core:
        service = a_service(core, tmp_path)
        task = await core.add("t")
        token = core.launcher.orders[0].env["WG_TOKEN"]

        answer = await say(service, cmd="done", token=token)

        assert (answer["ok"], answer["data"]["status"]) == (True, "done")
        assert await core.status(task) == "done"
