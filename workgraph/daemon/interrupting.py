"""Stopping the answer that is being given in a chat; its session stays.

A client that is kept open is asked to stop by a line on its input. Every other handler
is ended by the ladder, and the next message starts another one in the same session.
"""

from workgraph.commands import chats as handlers
from workgraph.commands.context import Answer, Caller, Context
from workgraph.daemon import handling
from workgraph.daemon.engine import Engine
from workgraph.daemon.orders import Effect, WriteInput
from workgraph.graph.chat_requests import InterruptChat
from workgraph.graph.chats import Chat, ChatMessage
from workgraph.graph.replies import Reply


async def interrupt(engine: Engine, request: InterruptChat, caller: Caller) -> Reply:
    """Answers the message that is on its way with an error, and stops its turn."""
    asked: list[Effect] = []

    def tell(context: Context, chat: Chat, message: ChatMessage) -> bool:
        """Whether the handler could be told; else it is ended."""
        del chat
        if not engine.effects.launcher.has_input(message.agent or 0):
            return False
        line = handling.line_to_stop(context.tx, message)
        if line is None or message.agent is None:
            return False
        asked.append(WriteInput(agent=message.agent, data=line))
        return True

    def job(context: Context) -> Answer:
        asked.clear()
        return handlers.interrupt_chat(context, request, tell)

    reply = await engine.carry_out(job, caller)
    engine.perform(asked)
    return reply
