"""Every command of the socket and every kind of caller: who may do what (CONTRACT §4).

The rows are generated from the union of requests: a new command fails here until it has
its place in `access.REACH` and an example in `EXAMPLES`.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, cast, get_args

import msgspec
import pytest

from tests.core import OPERATOR, WG_DIR, Core, running_core
from tests.invariants import Rows, dump
from workgraph.agents.signs import Memory, Named, Trail
from workgraph.commands.access import REACH, Reach
from workgraph.daemon.configuration import Configuration
from workgraph.daemon.peer import Look, Peer, Witness
from workgraph.daemon.service import Service
from workgraph.daemon.special import Identity, Special
from workgraph.graph import identity_requests as q
from workgraph.graph import requests as r
from workgraph.graph.chat_requests import CreateChat
from workgraph.graph.inputs import KEPT_BYTES

#: What is said of each command: fields that make sense where agent-1 works on `t`.
EXAMPLES: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "add_task": {"title": "kid"},
        "edit": {"task": "t", "title": "x"},
        "link": {"task": "other", "after": "ended"},
        "unlink": {"task": "other", "after": "ended"},
        "loop": {"task": "free", "max": 2},
        "assign": {"task": "free", "actor": "default"},
        "show": {"task": "other"},
        "list": {},
        "ready": {},
        "blocked": {},
        "why": {"task": "other"},
        "task_status": {"task": "other"},
        "check": {},
        "export": {},
        "executors": {},
        "test_executor": {"executor": "opencode", "timeout": "1ms"},
        "import": {"text": '{"kind":"task","title":"in"}'},
        "backup": {"file": "{folder}/copy.db"},
        "claim": {"task": "other", "force": True},
        "unclaim": {"task": "t"},
        "next": {"claim": True},
        "claim_trajectory": {"task": ["free"]},
        "trajectory": {"task": "free"},
        "done": {"task": "t", "summary": "all of it"},
        "submit": {"task": "t"},
        "approve": {"task": "review"},
        "reject": {"task": "review", "reason": "no"},
        "fail": {"task": "t", "reason": "no"},
        "retry": {"task": "ended"},
        "abandon": {"task": "t"},
        "pause": {},
        "resume": {},
        "wait": {"task": "t", "until": "message"},
        "ask": {"task": "t", "question": "which?"},
        "answer": {"task": "asking", "text": "that one"},
        "log": {"task": "t", "message": "half"},
        "heartbeat": {"task": "t"},
        "progress": {"task": "t", "percent": 50, "message": "half"},
        "msg": {"task": "t", "text": "to the next one"},
        "inbox": {},
        "create_chat": {"name": "plans"},
        "chat_send": {"task": ".chat-1", "text": "hello"},
        "chat_attach": {"task": ".chat-1"},
        "chat_list": {},
        "chat_show": {"task": ".chat-1"},
        "chat_history": {"task": ".chat-1"},
        "chat_archive": {"task": ".chat-1"},
        "chat_restore": {"task": ".chat-1"},
        "chat_interrupt": {"task": ".chat-1"},
        "purge_chats": {},
        "artifact": {"task": "t", "path": "{folder}/large"},
        "status": {},
        "shutdown": {},
        "graph_changed": {},
        "tick": {},
        "reconfigure": {},
        "freeze": {},
        "thaw": {},
        "agents": {},
        "spend": {},
        "spawn": {"task": "free"},
        "plan": {"task": "other"},
        "context": {"task": "other"},
        "match": {"task": "other"},
        "kill": {"agent": "agent-1"},
        "output": {"agent": "agent-1"},
        "watch": {},
        "add_role": {"name": "r", "description": "d"},
        "edit_role": {"role": "helper", "description": "x"},
        "roles": {},
        "show_role": {"role": "helper"},
        "remove_role": {"role": "helper"},
        "role_lineage": {"role": "helper"},
        "add_tradeoff": {"name": "t", "description": "d"},
        "edit_tradeoff": {"tradeoff": "brave", "add_reject": ["x"]},
        "tradeoffs": {},
        "show_tradeoff": {"tradeoff": "brave"},
        "remove_tradeoff": {"tradeoff": "brave"},
        "tradeoff_lineage": {"tradeoff": "brave"},
        "add_actor": {"name": "zoe"},
        "edit_actor": {"actor": "ida", "capacity": 1},
        "actors": {},
        "show_actor": {"actor": "ida"},
        "remove_actor": {"actor": "ida"},
        "actor_lineage": {"actor": "ida"},
        "init_actors": {},
        "config_get": {"key": "dispatcher.max_agents"},
        "config_set": {"key": "agents.nice", "value": "1"},
        "config_list": {},
        "reward_record": {"task": "ended", "score": 0.5},
        "reward_run": {"task": "ended"},
        "reward_show": {},
        "actor_stats": {},
        "canary": {},
        "canary_run": {"text": ""},
        "evolve": {},
        "evolve_list": {},
        "evolve_review": {},
        "evolve_show": {"id": 1},
    }
)
#: Where who may ask does not get `ok`: nothing ends by itself here, no evaluator has
#: been tried, and nothing is proposed.
ANSWERS: Final = MappingProxyType(
    {
        "test_executor": "timed-out",
        "canary": "not_found",
        "evolve_show": "not_found",
    }
)
TAGS: Final = {
    str(cast("Any", kind).__struct_config__.tag): kind
    for kind in get_args(r.AnyRequest)
}


class Seen(Witness):
    """A process at which a look finds what a test says."""

    def __init__(self, look: Look) -> None:
        super().__init__(0)
        self._look_found = look

    async def look(self, memory: Memory | None = None) -> Look:
        """What the test says."""
        del memory
        return self._look_found


def coming_from(agent: str = "", gate: str = "", *, gone: bool = False) -> Peer:
    """A process whose ancestor has this in its environment."""
    named = Named(agent=agent, gate=gate, wg_dir=WG_DIR)
    trail = Trail(named=(named,) if agent or gate else ())
    look = Look(trail=trail, is_gone=gone)
    return Peer(pid=1, uid=0, gid=0, witness=Seen(look))


@dataclass
class Setting:
    """agent-1 works on `t`, agent-2 on `sibling`; agent-3 has ended, as has `ended`."""

    core: Core
    service: Service
    folder: Path

    def token(self, agent: int) -> str:
        """What an agent was given."""
        env = {o.agent: o.env for o in self.core.launcher.orders}[agent]
        return env["WG_TOKEN"]

    async def say(self, tag: str, peer: Peer, token: str | None = None) -> str:
        """The code of the answer to a command's example; `ok` when it was done."""
        fields = {
            name: value.format(folder=self.folder)
            if isinstance(value, str) and "{folder}" in value
            else value
            for name, value in EXAMPLES[tag].items()
        }
        return await self.ask({"cmd": tag, **fields}, peer, token)

    async def ask(
        self, request: Mapping[str, Any], peer: Peer, token: str | None = None
    ) -> str:
        """The code of the answer to a request; `ok` when it was done."""
        line = msgspec.json.encode({**request, "token": token})
        answer = await self.service.answer_line(line, peer)
        if not isinstance(answer, bytes):
            await answer.aclose()
            return "ok"
        said = msgspec.json.decode(answer)
        await self.core.engine.settle()
        return "ok" if said["ok"] else str(said["error"]["code"])

    async def rows(self) -> Rows:
        """Everything that is stored."""
        return await self.core.store.read(dump, 0)


@asynccontextmanager
async def a_setting(tmp_path: Path) -> AsyncGenerator[Setting]:
    """A project in which every command has something to do."""
    (tmp_path / "config.toml").write_text("")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(KEPT_BYTES + 1)  # no copy: the project of a core is nowhere
    async with running_core("dispatcher.max_agents=3") as core:
        configuration = Configuration.load(tmp_path, {"HOME": str(tmp_path)}, ())
        identity = Identity(pid=1, since=0, socket="/s", wg_dir=tmp_path)
        special = Special(core.engine, configuration, identity, lambda: None)
        for task in ("t", "sibling", "ended"):
            await core.engine.answer(r.AddTask(title=task, exec="true"), OPERATOR)
        await core.engine.settle()
        core.engine.max_agents = 2
        for request in (
            r.AddTask(title="other", exec="true", paused=True),
            r.AddTask(title="free", exec="true"),
            r.AddTask(title="review", exec="true", review="human"),
            r.FinishTask(task="review"),
            r.AddTask(title="asking", exec="true", paused=True),
            r.ClaimTask(task="asking", actor="ann", force=True),
            r.AskQuestion(task="asking", question="which?"),
            q.AddRole(name="helper", description="helps"),
            q.AddTradeoff(name="brave", description="dares"),
            q.AddActor(name="ida", human=True),
            CreateChat(),
        ):
            await core.engine.answer(request, OPERATOR)
        core.launcher.exit(3, code=0)
        while True:
            ticked = core.engine.ticked
            if (await core.agents("ended"))[0].ended_at is not None:
                break
            await ticked.wait()
        await core.engine.settle()
        yield Setting(core, Service(core.engine, special), tmp_path)


def test_every_command_has_its_place() -> None:
    """In the table of reaches, and among the examples."""
    assert set(REACH) == set(TAGS.values())
    assert set(EXAMPLES) == set(TAGS)


@pytest.mark.parametrize("tag", sorted(TAGS))
async def test_who_may_do_it(tag: str, tmp_path: Path) -> None:
    """Reading is free; the rest wants the token of who is asking, or an operator."""
    reach = REACH[TAGS[tag]]
    given = ANSWERS.get(tag, "ok")
    refused = given if reach is Reach.READ else "forbidden"
    async with a_setting(tmp_path) as s:
        before = await s.rows()

        # from an agent's processes, without its own token
        mine = coming_from("agent-1")
        assert await s.say(tag, mine) == refused, "no token"
        assert await s.say(tag, mine, s.token(2)) == refused, "a sibling's"
        if reach is not Reach.READ:
            assert await s.say(tag, mine, "never") == "forbidden", "nobody's"
        assert await s.say(tag, coming_from("agent-3")) == refused, "no token, ended"
        assert await s.say(tag, coming_from("agent-99")) == refused, "unheard of"
        assert await s.say(tag, coming_from(gate="verify")) == refused, "a gate's"
        assert await s.say(tag, coming_from(gone=True)) == refused, "gone"
        # by token alone
        outside = coming_from()
        assert await s.say(tag, outside, "never") == "conflict", "nobody's, outside"
        if reach in {Reach.OWN, Reach.ERRAND, Reach.OPERATOR}:
            assert await s.say(tag, outside, s.token(2)) == "forbidden", "a sibling's"
        if reach in {Reach.ERRAND, Reach.OPERATOR}:
            assert await s.say(tag, mine, s.token(1)) == "forbidden", "its own"
        after = await s.rows()
        if reach is Reach.READ:
            # A call with a token is a sign of life of its attempt, and nothing else.
            after |= {"agents": before["agents"]}
        assert after == before, "what was refused has changed something"

        # what may be done, last
        if reach not in {Reach.ERRAND, Reach.OPERATOR}:
            assert await s.say(tag, mine, s.token(1)) == given, "its own"
        if reach is not Reach.OWN:
            assert await s.say(tag, outside) == given, "an operator"


@pytest.mark.parametrize("tag", sorted(t for t, k in TAGS.items() if REACH[k] == "own"))
async def test_an_operator_may_do_what_an_agent_may(tag: str, tmp_path: Path) -> None:
    """To an agent's task, while the agent works on it."""
    async with a_setting(tmp_path) as s:
        assert await s.say(tag, coming_from()) == "ok"


async def test_what_comes_after_the_end_is_a_conflict(tmp_path: Path) -> None:
    """Nothing but a late result is written, and that only where it may have counted."""
    async with a_setting(tmp_path) as s:
        before = await s.rows()
        for tag, reach in ((tag, REACH[TAGS[tag]]) for tag in sorted(TAGS)):
            if reach is Reach.READ:
                continue
            request = {"cmd": tag, **EXAMPLES[tag]}
            if reach is Reach.OWN:
                request["task"] = "ended"

            code = await s.ask(request, coming_from("agent-3"), s.token(3))

            after = await s.rows()
            assert code == "conflict", tag
            new = [row for row in after["changes"] if row not in before["changes"]]
            assert after | {"changes": ()} == before | {"changes": ()}, tag
            kept = ["late_result"] if reach in {Reach.OWN, Reach.ADD} else []
            assert [row[2] for row in new] == kept, tag
            before = after


async def test_another_task_is_forbidden(tmp_path: Path) -> None:
    """Whatever its status; and nothing of it is kept as a late result."""
    async with a_setting(tmp_path) as s:
        before = await s.rows()
        for tag in sorted(tag for tag, kind in TAGS.items() if REACH[kind] == "own"):
            for task in ("other", "sibling", "ended", "review", "free"):
                request = {"cmd": tag, **EXAMPLES[tag], "task": task}

                code = await s.ask(request, coming_from("agent-1"), s.token(1))

                assert code == "forbidden", (tag, task)

        assert await s.rows() == before
