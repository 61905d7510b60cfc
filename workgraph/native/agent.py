"""One run: the prompt, the model's turns and their tools, to the end or to a failure.

The library keeps the loop; here it is told with which endpoint, tools and limits, and
what it does becomes lines of the stream and the conversation that is kept.
"""

import sys
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final

from msgspec import Struct
from openai import AsyncOpenAI, OpenAIError
from pydantic_ai import Agent
from pydantic_ai.exceptions import AgentRunError
from pydantic_ai.messages import (
    FunctionToolResultEvent,
    ModelMessage,
    ToolReturnPart,
)
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.run import AgentRun
from pydantic_ai.usage import RunUsage, UsageLimits

from workgraph.native.failures import (
    Failure,
    RunFailed,
    failure_of,
    no_model,
    no_session,
)
from workgraph.native.retries import (
    ATTEMPTS,
    Patience,
    RetryingModel,
)
from workgraph.native.sessions import Sessions
from workgraph.native.stream import Stream
from workgraph.native.tools import Posture, Workplace, make_tools

#: Tries that a model gets to call a tool as it wants to be called.
_TOOL_RETRIES: Final = 5
#: For servers that take any key; the client wants one.
_NO_KEY: Final = "none"

_INSTRUCTIONS: Final = """\
You work on one task, alone: nobody answers questions. Do it with the tools, in the \
working directory {cwd}, and look at what they give back before you go on. {posture}\
End with a short answer in plain text, without a tool, when there is nothing left to do.
"""
_LOOK_ONLY: Final = "You may look at files, not change them. "


class Order(Struct, frozen=True, kw_only=True):
    """What a run is to be."""

    prompt: str
    model: str
    endpoint: str
    key: str
    session: str
    #: The session is one to go on with.
    resume: bool
    posture: Posture
    #: Names of tools that are there whatever the posture is.
    allowed: Collection[str] = ()
    max_turns: int
    request_timeout_s: float
    place: Workplace


async def run(
    order: Order,
    stream: Stream,
    sessions: Sessions,
    wait: Callable[[float], Awaitable[None]],
) -> int:
    """Does the work; gives the exit status. Cancelled, it leaves no command behind.

    Args:
        wait: Lets some seconds pass before a request is made again.
    """
    tools = make_tools(order.place, order.posture, order.allowed)
    async with AsyncOpenAI(
        base_url=order.endpoint,
        api_key=order.key or _NO_KEY,
        # Retries are ours: theirs are silent, and sleep out whatever they are told.
        max_retries=0,
        timeout=order.request_timeout_s,
    ) as client:
        model, failure = order.model, None
        history: Sequence[ModelMessage] = ()
        try:
            history = _history(order, sessions)
            model = order.model or await _only_model(client)
        except RunFailed as error:
            failure = error.failure
        stream.init(
            model=model,
            cwd=order.place.cwd,
            tools=[tool.name for tool in tools],
            posture=order.posture,
        )
        if failure is not None:
            stream.failed(failure, RunUsage(), 0)
            return 1

        def announce(why: Failure, attempt: int, delay_s: float) -> None:
            stream.retry(why, attempt=attempt, attempts=ATTEMPTS, delay_s=delay_s)

        served = OpenAIChatModel(
            model,
            provider=OpenAIProvider(openai_client=client),
            # Not every server takes `strict`, and none needs it.
            profile=OpenAIModelProfile(openai_supports_strict_tool_definition=False),
        )
        look_only = order.posture == "readonly"
        agent = Agent(
            RetryingModel(served, Patience(announce, wait)),
            instructions=_INSTRUCTIONS.format(
                cwd=order.place.cwd, posture=_LOOK_ONLY if look_only else ""
            ),
            tools=tools,
            retries=_TOOL_RETRIES,
        )
        return await _converse(agent, order, history, stream, sessions)


async def _converse(
    agent: Agent[object, str],
    order: Order,
    history: Sequence[ModelMessage],
    stream: Stream,
    sessions: Sessions,
) -> int:
    async with agent.iter(
        order.prompt,
        message_history=history,
        usage_limits=UsageLimits(request_limit=order.max_turns),
    ) as conversation:
        try:
            await _follow(conversation, stream, _Keeper(sessions, order.session))
        except RunFailed as error:
            failure = error.failure
        except AgentRunError as error:
            failure = failure_of(error)
        else:
            said = conversation.result.output if conversation.result else ""
            stream.finished(said, conversation.usage, conversation.usage.requests)
            return 0
        stream.failed(failure, conversation.usage, conversation.usage.requests)
        return 1


async def _follow(
    conversation: AgentRun[object, str], stream: Stream, keeper: "_Keeper"
) -> None:
    """Goes through the turns; each is told, and kept."""
    async for node in conversation:
        if Agent.is_model_request_node(node):
            keeper.keep([*conversation.all_messages(), node.request])
        elif Agent.is_call_tools_node(node):
            stream.answer(node.model_response)
            keeper.keep(conversation.all_messages())
            async with node.stream(conversation.ctx) as events:
                async for event in events:
                    if isinstance(event, FunctionToolResultEvent):
                        _tell_result(stream, event.part)
    keeper.keep(conversation.all_messages())


def _tell_result(stream: Stream, part: object) -> None:
    if isinstance(part, ToolReturnPart):
        text = part.content
        stream.tool_result(
            part.tool_call_id,
            text if isinstance(text, str) else part.model_response_str(),
            is_error=part.outcome != "success",
        )


class _Keeper:
    """Keeps the conversation, or says once that it can't."""

    def __init__(self, sessions: Sessions, session: str) -> None:
        self._sessions = sessions
        self._session = session
        self._silent = False

    def keep(self, messages: Sequence[ModelMessage]) -> None:
        try:
            self._sessions.save(self._session, messages)
        except OSError as error:
            if not self._silent:
                message = f"the conversation can't be kept: {error}"
                print(message, file=sys.stderr)  # noqa: T201 - the program's own words
            self._silent = True


def _history(order: Order, sessions: Sessions) -> Sequence[ModelMessage]:
    if not order.resume:
        return ()
    kept = sessions.load(order.session)
    if kept is None:
        raise RunFailed(no_session(order.session))
    return kept


async def _only_model(client: AsyncOpenAI) -> str:
    """The one model that an endpoint serves."""
    try:
        served = [model.id async for model in client.models.list()]
    except OpenAIError as error:
        raise RunFailed(failure_of(error)) from error
    if len(served) != 1:
        raise RunFailed(no_model(tuple(served)))
    return served[0]
