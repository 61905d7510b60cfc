"""What is kept of a client when its agent is started: its session and its account."""

from tests.core import running_core
from tests.engine.judged import add_actor
from workgraph.graph import requests as r
from workgraph.graph.assigning import AssignTask
from workgraph.graph.ends import ClientEnd, EndKind, Report
from workgraph.graph.facts import AgentReported
from workgraph.graph.messages import SendMessage
from workgraph.graph.model import Usage
from workgraph.graph.times import SECOND, to_rfc3339

TOOL = (
    'executors.tool.argv=["tool","--as","{new_session}"]',
    'executors.tool.account="mine"',
    'executors.tool.preamble="Be brief.\\n"',
)


async def test_an_agent_has_the_session_that_it_was_told_of() -> None:
    """The row says at once what the argv says, and whose limits hold."""
    async with running_core(*TOOL) as core:
        task = await core.add("t", executor="tool")

        (agent,) = await core.agents(task)
        (order,) = core.launcher.orders

        assert agent.session is not None
        assert order.argv == ("/usr/bin/tool", "--as", agent.session)
        assert agent.resumed is None
        assert agent.account == "mine"


async def test_a_shell_task_has_neither_session_nor_account() -> None:
    """Nothing about it is a client's."""
    async with running_core() as core:
        task = await core.add("t")

        (agent,) = await core.agents(task)

        assert (agent.session, agent.account) == (None, None)


async def test_the_preamble_comes_before_the_prompt() -> None:
    """It is the executor's own; others get none."""
    async with running_core(*TOOL) as core:
        await core.add("t", executor="tool")
        await core.add("u")

        texts = [str(order.files["prompt.md"]) for order in core.launcher.orders]

        assert texts[0].startswith("Be brief.\n\nYou are an agent of workgraph")
        assert texts[1].startswith("You are an agent of workgraph")


async def test_why_of_a_running_task_tells_its_clients_trouble() -> None:
    """What it tries to get over, until when, and how fast it uses tokens."""
    async with running_core(*TOOL, 'executors.tool.stream="claude"') as core:
        task = await core.add("t", executor="tool")
        number = await core.holder(task)
        await core.advance(120)
        trouble = ClientEnd(kind=EndKind.LIMITED, message="429")
        report = Report(trouble=trouble, usage=Usage(input_tokens=300), tool="Bash")
        core.engine.post(AgentReported(agent=number, report=report))
        await core.settle()

        run = (await core.do(r.ExplainTask(task=task))).data.run
        (agent,) = (await core.do(r.ListAgents())).data
        (attempt,) = (await core.do(r.ShowTask(task=task))).data.runs

        until = to_rfc3339(core.clock.now() + 45 * SECOND)
        assert run.notes[:2] == (
            f"its client tries again by itself: 429; it is ended at {until}",
            "150 tokens a minute",
        )
        assert agent == attempt
        assert agent.last_sign == "output"
        assert agent.last_activity_at == to_rfc3339(core.clock.now())


async def test_a_stream_that_is_read_anew_is_no_sign_of_life() -> None:
    """It says what it has said before; a call of wg is one."""
    async with running_core(*TOOL, 'executors.tool.stream="claude"') as core:
        task = await core.add("t", executor="tool")
        number = await core.holder(task)
        said = AgentReported(agent=number, report=Report(said="hello"))
        core.engine.post(said)
        await core.settle()
        first = (await core.agent(number)).last_activity_at

        await core.advance(60)
        core.engine.post(said)
        await core.settle()
        again = await core.agent(number)
        await core.do(r.Heartbeat(task=task), await core.agent_caller(task))

        assert (again.last_activity_at, again.last_sign) == (first, "output")
        assert (await core.agent(number)).last_sign == "call"


async def test_another_actor_begins_a_session_of_its_own() -> None:
    """What one has read and said is not put into the other's mouth."""
    async with running_core(
        *TOOL,
        'executors.tool.stream="claude"',
        'executors.tool.resume=["tool", "--resume", "{session}"]',
    ) as core:
        ada = await add_actor(core, "ada")
        await add_actor(core, "bob")
        task = await core.add(
            "T", executor="tool", actor="ada", description="the long story"
        )
        first = await core.agent(await core.holder(task))
        report = Report(session=first.session, answered=True)
        core.engine.post(AgentReported(agent=first.number, report=report))
        await core.settle()
        await core.do(r.KillAgents(agent=(first.id,)))
        await core.do(AssignTask(task=task, actor="bob"))
        await core.do(SendMessage(task=task, text="mind the gap"))
        await core.do(r.Resume(task=task))

        second = await core.agent(await core.holder(task))
        prompt = str(core.launcher.orders[-1].files["prompt.md"])

        assert (first.actor_id, first.actor, second.actor) == (ada.id, "ada", "bob")
        assert second.resumed is None
        assert second.session != first.session
        for said in ("the long story", "You are an agent of workgraph", "mind the gap"):
            assert said in prompt
