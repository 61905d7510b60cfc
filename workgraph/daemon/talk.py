"""`wg chat attach`: a conversation, in a terminal or by lines."""

import getpass
import os
import sys
from collections.abc import Mapping
from contextlib import aclosing

import anyio
import anyio.to_thread

from workgraph.commands.escape import escape_block
from workgraph.daemon.call import Call
from workgraph.daemon.service import style_of
from workgraph.daemon.talk_link import TalkLink
from workgraph.graph.chat_requests import AttachChat, ChatMessageData, ChatStandsData
from workgraph.graph.errors import EXIT_FAILED, UsageError

#: How much of what was said before is shown in a terminal.
_HISTORY = 20


async def attach(
    path: str, request: AttachChat, call: Call, env: Mapping[str, str], now: int
) -> int:
    """Talks in a chat until the user leaves; gives the exit status.

    Args:
        path: The daemon's socket.
        request: Which chat, and how much of its history.
        call: This process.
        env: Its environment.
        now: When it began.

    Raises:
        NeedsDaemonError: There is no daemon, or it has gone for good.
        WorkgraphError: The chat can't be talked in.
    """
    if not request.task:
        raise UsageError("the id of the chat is missing", hint="wg chat list")
    link = TalkLink(
        path,
        request.task,
        name=env.get("WG_ACTOR") or env.get("USER") or getpass.getuser(),
        token=env.get("WG_TOKEN"),
    )
    if not (call.tty[0] and call.tty[1]) or env.get("TERM", "dumb") == "dumb":
        return await talk_by_lines(link, request.last or 0)
    # 150 ms, and nobody else needs it.
    from workgraph.daemon.talk_terminal import Terminal

    last = _HISTORY if request.last is None else request.last
    return await Terminal(link, style_of(call, now)).talk(last)


class _Lines:
    """Messages that were sent, and what has answered them."""

    def __init__(self, link: TalkLink) -> None:
        self._link = link
        self._mine: set[int] = set()
        self._answers: dict[int, ChatMessageData] = {}
        self._moved = anyio.Event()
        self.is_attached = anyio.Event()
        self.has_failed = False

    async def listen(self, last: int) -> None:
        """Prints the answers to what was sent, as they come."""
        async with aclosing(self._link.told(last)) as all_told:
            async for told in all_told:
                match told:
                    case ChatStandsData():
                        self.is_attached.set()
                    case ChatMessageData() if not self.is_attached.is_set():
                        _print(f"{told.by}: {told.text}")
                    case ChatMessageData(reply_to=int(asked)):
                        if told.kind in {"reply", "error"}:
                            self._answers[asked] = told
                            self._show()
                    case _:
                        pass

    async def send_all(self) -> None:
        """Sends each line of standard input; returns when all were answered."""
        while line := await anyio.to_thread.run_sync(
            sys.stdin.readline, abandon_on_cancel=True
        ):
            if line.strip():
                self._mine.add(await self._link.say(line.rstrip("\n")))
                self._show()
        while self._mine:
            self._moved = anyio.Event()
            await self._moved.wait()

    def _show(self) -> None:
        for number in sorted(self._mine & self._answers.keys()):
            answer = self._answers.pop(number)
            self._mine.discard(number)
            self.has_failed |= answer.kind == "error"
            _print(answer.text, is_error=answer.kind == "error")
        self._moved.set()


async def talk_by_lines(link: TalkLink, last: int) -> int:
    """Each line of standard input is a message; the answers are printed.

    Returns when the last of them was answered: 1 where one was with an error.
    """
    lines = _Lines(link)
    async with anyio.create_task_group() as group:
        group.start_soon(lines.listen, last)
        await lines.is_attached.wait()
        await lines.send_all()
        group.cancel_scope.cancel()
    return EXIT_FAILED if lines.has_failed else 0


def _print(text: str, *, is_error: bool = False) -> None:
    shown = escape_block(text) if os.isatty(2 if is_error else 1) else text
    out = sys.stderr if is_error else sys.stdout
    out.write(shown.rstrip("\n") + "\n")
    out.flush()
