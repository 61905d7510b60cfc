"""What attempts are given of messages, against a memory kept by hand."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.commands.transfer_graph import a_graph, assert_round_trip
from workgraph.graph.model import Agent, TaskSpec
from workgraph.store import agent_reads, agents, messages, writes
from workgraph.store.database import Tx

TASK = "t"
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.booleans()),
        st.tuples(st.just("start"), st.sampled_from(["fresh", "same", "renamed"])),
        st.tuples(st.sampled_from(["tell", "list", "hear"]), st.none()),
        st.tuples(st.just("acknowledge"), st.integers(0, 4)),
        st.tuples(st.just("end"), st.booleans()),
    ),
    max_size=25,
)


@dataclass
class Memory:
    """What is known of a task's messages, by number."""

    #: Who has sent each: the number of an agent, or an operator.
    sent: dict[int, int | None] = field(default_factory=dict)
    #: No attempt has to know of these any more.
    over: set[int] = field(default_factory=set)
    #: What was read in the conversation, and what it has said itself.
    given: set[int] = field(default_factory=set)
    own: set[int] = field(default_factory=set)
    #: What the prompt of the attempt that runs has in it, and what that was told of.
    prompt: set[int] = field(default_factory=set)
    told: set[int] = field(default_factory=set)

    def news(self) -> list[int]:
        """What is neither over nor known in the conversation."""
        known = self.over | self.given | self.own | self.prompt | self.told
        return [number for number in self.sent if number not in known]


class Walk:
    """Attempts at one task, one after another, and the memory beside them."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._memory = Memory()
        self._agent: Agent | None = None
        self._session: str | None = None
        self._sessions = 0
        new = writes.NewTask(id=TASK, spec=TaskSpec(title="t"), priority=2)
        writes.insert_task(tx, new, "me")

    def step(self, name: str, what: Any) -> None:
        """One step; what needs an attempt is left out where there is none."""
        match name, self._agent:
            case "send", agent:
                self._send(agent if what else None)
            case "start", None:
                self._start(what)
            case _, None:
                pass
            case "end", Agent() as agent:
                self._end(agent, well=what)
            case _, Agent() as agent:
                self._hear(agent)
                self._call(agent, name, what)

    def check(self) -> None:
        """A conversation that knows nothing is given all that is not over."""
        left = [n for n in self._memory.sent if n not in self._memory.over]
        assert self._unread(None) == left

    def _send(self, agent: Agent | None) -> None:
        number = messages.send(self._tx, TASK, "word", by="ann", agent=agent)
        self._memory.sent[number] = None
        if agent is not None:
            self._hear(agent)
            self._memory.sent[number] = agent.number
            self._memory.own.add(number)

    def _start(self, how: str) -> None:
        tx, memory = self._tx, self._memory
        resumed = None if how == "fresh" else self._session
        if resumed is None:
            memory.given, memory.own = set(), set()
        if resumed is None or how == "renamed":
            self._sessions += 1
            self._session = f"s{self._sessions}"
        unread = self._unread(resumed)
        assert unread == memory.news()
        _, attempt = agents.next_agent(tx, TASK)
        number = agents.insert_agent(
            tx,
            agents.NewAgent(
                task=TASK,
                attempt=attempt,
                actor=None,
                executor="claude",
                session=self._session,
                resumed=resumed,
            ),
        )
        messages.note_read(tx, unread, number)
        memory.prompt = set(unread)
        self._agent = agent_reads.by_number(tx, number)

    def _call(self, agent: Agent, name: str, what: Any) -> None:
        tx, memory = self._tx, self._memory
        if name == "tell":
            news = [notice.number for notice in messages.news_for(tx, agent)]
            assert news == memory.news()
            messages.note_told(tx, news, agent.number)
            memory.told |= set(news)
        elif name == "list":
            others = [n for n, by in memory.sent.items() if by != agent.number]
            messages.note_read(tx, others, agent.number)
            memory.given |= set(others)
        elif name == "acknowledge":
            some = list(memory.sent)[:what]
            messages.acknowledge(tx, some, agent.number)
            memory.over |= set(some)

    def _hear(self, agent: Agent) -> None:
        agents.touch(self._tx, agent)
        self._memory.given |= self._memory.prompt

    def _end(self, agent: Agent, *, well: bool) -> None:
        memory = self._memory
        agents.record_end(self._tx, agent.number, agents.End(exit_code=0))
        if well:
            messages.settle(self._tx, agent)
            memory.over |= memory.given | memory.prompt
        memory.prompt, memory.told = set(), set()
        self._agent = None

    def _unread(self, session: str | None) -> list[int]:
        return [m.number for m in messages.unread_of(self._tx, TASK, session)]


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(STEPS)
async def test_nothing_is_lost_and_nothing_is_told_twice(
    steps: list[tuple[str, Any]],
) -> None:
    """Whatever is sent and read, and however attempts end, in one session or more.

    What has become of it is as it was after an export and an import.
    """
    async with a_graph() as graph:

        def walk(tx: Tx) -> None:
            walk = Walk(tx)
            for name, what in steps:
                walk.step(name, what)
                walk.check()

        await graph.change(lambda context: walk(context.tx))
        await assert_round_trip(graph)
