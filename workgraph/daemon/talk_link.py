"""One who is attached to a chat, at their end of the socket: it is told, and it says.

A daemon that is started anew is waited for a while: what was said meanwhile is told
then, and nothing twice.
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any, Final

import anyio
import anyio.abc
import msgspec

from workgraph.graph.chat_requests import (
    ChatMessageData,
    ChatStandsData,
    PartialData,
)
from workgraph.graph.errors import NeedsDaemonError, UserError, WorkgraphError

Told = ChatMessageData | ChatStandsData | PartialData

#: How long a daemon may be away: about as long as it may take to start and to end.
_AWAY_S: Final = 10.0
_LOOK_S: Final = 0.05
#: How long it may take to answer what is not waited for.
_ANSWER_S: Final = 30.0
#: As much of the history as can have been missed while it was away.
_MISSED: Final = 1000
_CHUNK: Final = 1 << 16

_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode
_GONE: Final = (OSError, anyio.EndOfStream, anyio.BrokenResourceError)


class TalkLink:
    """A chat over the socket.

    Args:
        path: Where the daemon listens.
        chat: As the user names it.
        name: Who speaks.
        token: Of the attempt that speaks, if one does.
        away_s: How long the daemon may be away.
    """

    def __init__(
        self,
        path: str,
        chat: str,
        *,
        name: str,
        token: str | None = None,
        away_s: float = _AWAY_S,
    ) -> None:
        self._path = path
        #: As the user names it.
        self.chat = chat
        self._name = name
        self._token = token
        self._away_s = away_s
        #: The newest that was told.
        self._seen = 0
        #: The daemon is away just now.
        self.is_away = False
        #: Called when it goes away, and when it is back.
        self.notice: Callable[[], None] = _ignore

    async def told(self, last: int | None) -> AsyncGenerator[Told]:
        """All that is said in the chat, and how it stands, until it is archived.

        Args:
            last: How much of what was said before.

        Raises:
            NeedsDaemonError: The daemon is gone, and did not come back.
            WorkgraphError: The chat can't be attached to, or not any more.
        """
        stream = await self._connect(wait_s=0)
        while True:
            try:
                async with stream, aclosing(self._lines(stream, last)) as lines:
                    async for told in lines:
                        yield told
            except _GONE:
                self._set_away(is_away=True)
            stream = await self._connect(self._away_s)
            self._set_away(is_away=False)
            last = _MISSED

    async def say(self, text: str) -> int:
        """Queues a message; gives its number.

        Raises:
            NeedsDaemonError: The daemon is gone: whether it has the message is not
                known where it went just then.
            WorkgraphError: The message is refused.
        """
        data = await self._ask(cmd="chat_send", text=text, by=self._name)
        number: int = data["id"]
        return number

    async def interrupt(self) -> None:
        """Stops the turn that runs.

        Raises:
            WorkgraphError: It can't be done.
        """
        await self._ask(cmd="chat_interrupt", by=self._name)

    def _set_away(self, *, is_away: bool) -> None:
        self.is_away = is_away
        self.notice()

    async def _lines(
        self, stream: anyio.abc.SocketStream, last: int | None
    ) -> AsyncGenerator[Told]:
        await stream.send(self._request(cmd="chat_attach", last=last))
        unread = b""
        while True:
            *lines, unread = (unread + await stream.receive(_CHUNK)).split(b"\n")
            for line in lines:
                told = _told(_decode(line))
                if isinstance(told, ChatMessageData):
                    if told.id <= self._seen:
                        continue
                    self._seen = told.id
                yield told

    async def _ask(self, **fields: Any) -> Any:  # noqa: ANN401 - as the command has it
        async with await self._connect(self._away_s) as stream:
            try:
                with anyio.fail_after(_ANSWER_S):
                    await stream.send(self._request(**fields))
                    line = b""
                    while not line.endswith(b"\n"):
                        line += await stream.receive(_CHUNK)
            except (*_GONE, TimeoutError) as error:
                raise NeedsDaemonError(
                    "the daemon went away before it answered",
                    hint=f"wg chat history {self.chat} shows what it has",
                ) from error
        answer = _decode(line)
        if not answer["ok"]:
            raise _error(answer["error"])
        return answer["data"]

    def _request(self, **fields: Any) -> bytes:  # noqa: ANN401 - any command's
        named = {"task": self.chat, "token": self._token} | fields
        return msgspec.json.encode(named) + b"\n"

    async def _connect(self, wait_s: float) -> anyio.abc.SocketStream:
        until = anyio.current_time() + wait_s
        while True:
            try:
                return await anyio.connect_unix(self._path)
            except OSError as error:
                if anyio.current_time() >= until:
                    raise NeedsDaemonError(
                        "no daemon answers; what was said is kept",
                        hint="wg service start",
                    ) from error
            await anyio.sleep(_LOOK_S)


def _ignore() -> None:
    """Nobody minds."""


def _told(line: Mapping[str, Any]) -> Told:
    if "error" in line:
        raise _error(line["error"])
    match line["kind"]:
        case "state":
            return msgspec.convert(line, ChatStandsData)
        case "partial":
            return msgspec.convert(line, PartialData)
        case _:
            return msgspec.convert(line, ChatMessageData)


def _error(told: Mapping[str, str]) -> WorkgraphError:
    return UserError(told["message"], hint=told.get("hint", ""), code=told["code"])
