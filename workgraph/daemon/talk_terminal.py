"""A conversation in a terminal: what is said above, the line that is typed below.

One prompt lives as long as the conversation does, so that each key finds it; what was
said is written above it, into the terminal's own history, and only what is being
written just now is drawn anew.
"""

import signal
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from math import inf
from typing import Final

import anyio
from prompt_toolkit import PromptSession
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import has_focus
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output.color_depth import ColorDepth
from prompt_toolkit.renderer import print_formatted_text
from prompt_toolkit.styles import Style as Styles

from workgraph.commands.escape import escape_line
from workgraph.commands.render_style import Style
from workgraph.daemon import talk_view
from workgraph.daemon.talk_link import TalkLink, Told
from workgraph.graph.chat_requests import (
    ChatMessageData,
    ChatStandsData,
    PartialData,
)
from workgraph.graph.errors import WorkgraphError
from workgraph.graph.times import SECOND

#: Styles stand with the text.
_AS_SAID: Final = Styles([])
_HELP: Final = "Enter sends, Alt-Enter or \\ begins a line, Ctrl-D leaves"
_NOTHING_RUNS: Final = "nothing to interrupt; Ctrl-D leaves"
_INTERRUPTING: Final = "interrupting …"
_AWAY: Final = "the daemon is away; waiting for it"


class Terminal:
    """Somebody at a terminal, in a chat.

    Args:
        link: The chat.
        style: How it looks; its moment is when this began.
    """

    def __init__(self, link: TalkLink, style: Style) -> None:
        self._link = link
        link.notice = self._notice
        self._today = (
            f"{datetime.fromtimestamp(style.now / SECOND).astimezone():%Y-%m-%d}"
        )
        self._stands: ChatStandsData | None = None
        self._partial = ""
        self._part = -1
        self._hint = ""
        self._error: WorkgraphError | None = None
        self._status = 0
        self._texts, self._unsent = anyio.create_memory_object_stream[str](inf)
        self._is_interrupted = anyio.Event()
        self._runs = anyio.Event()
        self._session: PromptSession[str] = PromptSession(
            message=self._prompt,
            multiline=True,
            prompt_continuation="· ",
            key_bindings=self._keys(),
            enable_suspend=True,
            erase_when_done=True,
            color_depth=None if style.color else ColorDepth.DEPTH_1_BIT,
        )

    async def talk(self, last: int) -> int:
        """Talks until the user leaves; gives the exit status.

        Raises:
            WorkgraphError: The chat was archived, or the daemon has gone for good.
        """
        async with aclosing(self._link.told(last)) as told:
            history = []
            async for one in told:
                if isinstance(one, ChatStandsData):
                    self._stands = one
                    break
                history.append(one)
            for one in history:
                self._take(one)
            self._print([(talk_view.DIM, f"{_HELP}\n")])
            async with anyio.create_task_group() as group:
                group.start_soon(self._listen, told)
                group.start_soon(self._send)
                group.start_soon(self._interrupt)
                group.start_soon(self._leave_on_signal)
                await self._session.prompt_async(pre_run=self._runs.set)
                group.cancel_scope.cancel()
        if self._error is not None:
            raise self._error
        return self._status

    def _notice(self) -> None:
        self._partial = ""
        self._session.app.invalidate()

    async def _listen(self, told: AsyncGenerator[Told]) -> None:
        await self._runs.wait()
        try:
            async for one in told:
                self._take(one)
        except WorkgraphError as error:
            self._error = error
            self._leave()

    async def _leave_on_signal(self) -> None:
        """Whoever ends this process finds the terminal as it was."""
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGHUP) as signals:
            await self._runs.wait()
            async for number in signals:
                self._status = 128 + number
                self._leave()

    def _leave(self) -> None:
        app = self._session.app
        if app.future is not None and not app.future.done():
            app.exit()

    def _take(self, told: Told) -> None:
        match told:
            case ChatStandsData():
                if self._hint == _INTERRUPTING and told.answering is None:
                    self._hint = ""
                self._stands = told
            case PartialData():
                if told.part != self._part or told.at == 0:
                    self._part, self._partial = told.part, ""
                self._partial += told.text
            case ChatMessageData():
                if told.kind != "message":
                    self._partial = ""
                self._print(talk_view.said(told, self._name, self._today))
        self._session.app.invalidate()

    async def _send(self) -> None:
        async for text in self._unsent:
            try:
                await self._link.say(text)
            except WorkgraphError as error:
                self._complain(error)
                buffer = self._session.default_buffer
                if not buffer.text:
                    buffer.text = text
                    buffer.cursor_position = len(text)

    async def _interrupt(self) -> None:
        while True:
            await self._is_interrupted.wait()
            try:
                await self._link.interrupt()
            except WorkgraphError as error:
                self._hint = ""
                self._complain(error)
            self._is_interrupted = anyio.Event()

    def _complain(self, error: WorkgraphError) -> None:
        hint = f" ({error.hint})" if error.hint else ""
        words = escape_line(f"wg: {error.message}{hint}")
        self._print([(talk_view.NAMES["error"], f"{words}\n")])

    def _print(self, pieces: talk_view.Pieces) -> None:
        """Writes above the prompt.

        Not by `run_in_terminal`: that hands the keyboard back to the system for a
        moment, and a Ctrl-D that comes then is lost.
        """
        app = self._session.app
        if app.is_running:
            app.renderer.erase()
        print_formatted_text(
            app.output, FormattedText(pieces), _AS_SAID, color_depth=app.color_depth
        )
        if app.is_running:
            app.renderer.request_absolute_cursor_position()
            app.invalidate()

    @property
    def _name(self) -> str:
        return self._stands.name if self._stands else self._link.chat

    def _prompt(self) -> FormattedText:
        assert self._stands is not None
        size = self._session.app.output.get_size()
        return FormattedText(
            talk_view.prompt(
                self._stands,
                self._partial,
                _AWAY if self._link.is_away else self._hint,
                columns=size.columns,
                rows=size.rows // 2,
            )
        )

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()
        typing = has_focus(DEFAULT_BUFFER)

        @keys.add("enter", filter=typing)
        def _(event: KeyPressEvent) -> None:
            buffer = event.current_buffer
            self._hint = ""
            if buffer.document.text_before_cursor.endswith("\\"):
                buffer.delete_before_cursor()
                buffer.insert_text("\n")
            elif buffer.text.strip():
                self._texts.send_nowait(buffer.text)
                buffer.reset(append_to_history=True)

        @keys.add("escape", "enter", filter=typing)
        def _(event: KeyPressEvent) -> None:
            event.current_buffer.insert_text("\n")

        @keys.add("c-c", filter=typing)
        @keys.add("<sigint>")
        def _(event: KeyPressEvent) -> None:
            if self._stands is not None and self._stands.answering is not None:
                self._hint = _INTERRUPTING
                self._is_interrupted.set()
            elif event.current_buffer.text:
                event.current_buffer.reset()
            else:
                self._hint = _NOTHING_RUNS

        @keys.add("c-d", filter=typing)
        def _(event: KeyPressEvent) -> None:
            if event.current_buffer.text:
                event.current_buffer.delete()
            else:
                self._leave()

        return keys
