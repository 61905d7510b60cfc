"""What is kept of a client when its agent is started: its session and its account."""

from tests.core import running_core

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
