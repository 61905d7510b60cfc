"""The service: calls of `wg` and lines of JSON to the engine's requests, and back."""

import pwd
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from functools import cache
from typing import Any, Final, Protocol

import anyio
import anyio.to_thread
import msgspec

from workgraph.commands import parse, shapes
from workgraph.commands.access import keep_late_result
from workgraph.commands.context import Caller
from workgraph.commands.escape import escape_block
from workgraph.commands.handlers import is_read
from workgraph.commands.limits import MAX_TEXT_BYTES, Rates, check_sizes
from workgraph.commands.local import ServiceStatusQuery
from workgraph.commands.render import (
    Style,
    render,
    render_change,
    render_json,
    render_notes,
)
from workgraph.daemon.beside import read_beside
from workgraph.daemon.calibrating import run_canaries
from workgraph.daemon.call import Call
from workgraph.daemon.callers import Callers
from workgraph.daemon.conversing import Conversing
from workgraph.daemon.decoding import about_a_task, decode_request
from workgraph.daemon.engine import Engine
from workgraph.daemon.following import follow
from workgraph.daemon.hiding import hide_secrets, without_secrets
from workgraph.daemon.news import News
from workgraph.daemon.peer import Peer
from workgraph.daemon.special import Special
from workgraph.daemon.starting import needs_daemon
from workgraph.graph import requests as r
from workgraph.graph.canary_requests import RunCanaries
from workgraph.graph.changes import Change
from workgraph.graph.chat_requests import AttachChat, SendToChat
from workgraph.graph.errors import (
    ConflictError,
    UsageError,
    UserError,
    WorkgraphError,
)
from workgraph.graph.replies import OutputData, Reply
from workgraph.store import history

_MAX_FILE: Final = 2 * 1024 * 1024 * 1024
_CHUNK: Final = 1024 * 1024
#: Changes read at once while somebody watches.
_BATCH: Final = 1000

_encode: Final = msgspec.json.Encoder().encode


class ClientStreams(Protocol):
    """A caller's standard streams and files, over the socket or in this process."""

    async def out(self, data: str | bytes) -> None:
        """Writes to standard output."""

    async def err(self, data: str | bytes) -> None:
        """Writes to standard error."""

    async def out_or_drop(self, data: str | bytes) -> None:
        """Writes whole lines, without waiting for a slow reader."""

    def interruptible(self) -> AbstractAsyncContextManager[None]:
        """A block that is left when the caller goes away."""

    async def read_stdin(self, limit: int) -> bytes:
        """All of standard input."""

    async def read_file(self, path: str, limit: int) -> bytes:
        """All of a file."""

    async def write_file(self, path: str, chunks: AsyncGenerator[bytes]) -> None:
        """Writes a file, whole or not at all."""


class Service:
    """Serves `wg` and the socket from one engine."""

    def __init__(self, engine: Engine, special: Special) -> None:
        self._engine = engine
        self._special = special
        self._rates = Rates()
        self._news = News(engine)
        self._conversing = Conversing(engine)
        self._callers = Callers(engine, engine.host.grounds.host.wg_dir)

    async def run_call(self, call: Call, streams: ClientStreams) -> int:
        """Carries out a command line; gives its exit status.

        Raises:
            WorkgraphError: It can't be done as asked for.
        """
        if parse.COMPLETE_VARIABLE in call.env:
            completion = parse.complete(call.argv, call.env)
            await streams.out(completion.text)
            return completion.exit_code
        env = dict(call.env)
        if call.columns:
            env["COLUMNS"] = str(call.columns)
        parsed = parse.parse_argv(call.argv, parse.ParseContext(cwd=call.cwd, env=env))
        if isinstance(parsed, parse.Help):
            await streams.out(parsed.text)
            return 0
        request = parsed.request
        if isinstance(request, ServiceStatusQuery):
            request = r.GetServiceStatus(token=call.env.get("WG_TOKEN"))
        if not isinstance(request, r.AnyRequest):
            raise UsageError(
                f"wg {' '.join(call.argv)} is not for the daemon",
                hint="this wg is of another version than the daemon: restart it",
            )
        caller = await self._identify(call, request, parsed, streams)
        if parsed.stdin_field is not None or parsed.read_file is not None:
            # before anything of it is read
            await self._special.check(request, caller)
        request = await _filled(request, parsed, streams)
        match request:
            case r.Watch():
                return await self._stream_changes(request, caller, streams)
            case r.GetOutput(follow=True):
                return await self._follow(request, caller, streams)
            case r.BackUp():
                return await self._stream_backup(request, caller, parsed, streams)
            case _:
                return await self._reply(call, request, caller, parsed, streams)

    async def _identify(
        self,
        call: Call,
        request: r.AnyRequest,
        parsed: parse.Parsed,
        streams: ClientStreams,
    ) -> Caller:
        name = _name(call.env, call.peer)
        caller = await self._callers.identify(request, name, call.peer)
        if not parsed.json:  # else standard error may have to be one document
            await self._news.tell(caller, request, streams)
        return caller

    async def _reply(
        self,
        call: Call,
        request: r.AnyRequest,
        caller: Caller,
        parsed: parse.Parsed,
        streams: ClientStreams,
    ) -> int:
        reply = await self._answer_while_here(request, caller, parsed, streams)
        if reply is None:
            return 1
        if parsed.write_file is not None and isinstance(request, r.ExportGraph):
            lines: list[str] = reply.data
            await streams.write_file(parsed.write_file, _joined(lines))
            return 0
        await self._show(call, request, reply, streams, as_json=parsed.json)
        if parsed.json:
            await self._news.tell(caller, request, streams)
        return reply.exit_code

    async def _answer_while_here(
        self,
        request: r.AnyRequest,
        caller: Caller,
        parsed: parse.Parsed,
        streams: ClientStreams,
    ) -> Reply | None:
        """The answer; null where who wanted something to be tried is gone by then."""

        async def tell(line: str) -> None:
            if not parsed.json:
                await streams.err(f"{line}\n")

        if not (
            isinstance(request, r.TryExecutor | RunCanaries)
            or _waits_for_reply(request)
        ):
            return await self.answer(request, caller)
        async with streams.interruptible():
            if isinstance(request, RunCanaries):
                await self._special.check(request, caller)
                return await run_canaries(self._engine, request, caller, tell)
            return await self.answer(request, caller)
        return None

    async def answer_line(
        self, line: bytes, peer: Peer
    ) -> bytes | AsyncGenerator[bytes]:
        """Answers one line of JSON (CONTRACT §5)."""
        try:
            request = decode_request(line)
            caller = await self._callers.identify(request, _name({}, peer), peer)
            request = about_a_task(request, caller)
            if isinstance(request, r.Watch):
                await self._special.check(request, caller)
                return self._change_lines(request)
            if isinstance(request, AttachChat):
                await self._special.check(request, caller)
                return await self._conversing.attach(request, caller)
            if _waits_for_reply(request):
                return self._late_line(request, caller)
            if isinstance(request, RunCanaries):
                await self._special.check(request, caller)
                return self._late_line(request, caller)
            reply = await self.answer(request, caller)
        except WorkgraphError as error:
            return _encode(
                {
                    "ok": False,
                    "error": {
                        "code": error.code,
                        "message": error.message,
                        "hint": error.hint,
                    },
                }
            )
        return _encode({"ok": True, "data": reply.data})

    async def _late_line(
        self, request: r.AnyRequest, caller: Caller
    ) -> AsyncGenerator[bytes]:
        """One answer that may take long; who is gone is not waited for."""
        reply = await self.answer(request, caller)
        yield _encode({"ok": True, "data": reply.data})

    async def answer(self, request: r.AnyRequest, caller: Caller) -> Reply:
        """Answers any request, by the engine alone or with the world around it.

        What comes from an attempt after its end is refused, and kept.
        """
        check_sizes(request)
        agent = caller.agent
        if agent is not None:
            request = without_secrets(self._engine.host.grounds, request)
            self._rates.spend(agent, request, anyio.current_time())
        try:
            return await self._answer(request, caller)
        except ConflictError:
            if agent is not None and not is_read(request):
                await self._engine.ask(
                    lambda context: keep_late_result(context.tx, agent, request), caller
                )
            raise

    async def _answer(self, request: r.AnyRequest, caller: Caller) -> Reply:
        handler: Callable[[r.AnyRequest, Caller], Awaitable[Reply]] | None = (
            self._special.handler_for(request)
        )
        if handler is not None:
            await self._special.check(request, caller)
            reply = await handler(request, caller)
            await self._engine.note_life(caller)
            return reply
        return await self._engine.answer(request, caller)

    async def _show(
        self,
        call: Call,
        request: r.AnyRequest,
        reply: Reply,
        streams: ClientStreams,
        *,
        as_json: bool,
    ) -> None:
        if as_json:
            if reply.data is not None or reply.exit_code == 0:
                await streams.out(render_json(reply))
        else:
            style = style_of(call, self._engine.clock.now())
            text = render(request, reply, style)
            if text:
                await streams.out(text)
        # With JSON a failure is all that stands on standard error.
        notes = render_notes(request, reply)
        if notes and not (as_json and reply.exit_code):
            await streams.err(notes)

    async def changes(self, request: r.Watch) -> AsyncGenerator[Change]:
        """Changes as they are committed, without gaps, until it is closed."""
        engine = self._engine
        since = request.since
        if since is None:
            since = await engine.store.read(history.last_seq, engine.clock.now())
        while True:
            committed = engine.committed
            seq = since

            def read(tx: Any, seq: int = seq) -> list[Change]:  # noqa: ANN401
                return history.changes_since(tx, seq, request.task, _BATCH)

            batch = await engine.store.read(read, engine.clock.now())
            for change in batch:
                yield change
            if batch:
                since = batch[-1].seq
            if len(batch) < _BATCH:
                if not engine.mode.is_daemon:
                    return
                await committed.wait()

    async def _change_lines(self, request: r.Watch) -> AsyncGenerator[bytes]:
        async with (
            self._conversing.watching(request.task),
            aclosing(self.changes(request)) as changes,
        ):
            async for change in changes:
                yield render_change(shapes.change_data(change)).rstrip(b"\n")

    async def _stream_changes(
        self, request: r.Watch, caller: Caller, streams: ClientStreams
    ) -> int:
        await self._special.check(request, caller)
        async with (
            streams.interruptible(),
            self._conversing.watching(request.task),
            aclosing(self.changes(request)) as changes,
        ):
            if request.since is None and not self._engine.mode.is_daemon:
                raise needs_daemon("to watch what changes from now on")
            async for change in changes:
                await streams.out_or_drop(render_change(shapes.change_data(change)))
        return 0

    async def _follow(
        self, request: r.GetOutput, caller: Caller, streams: ClientStreams
    ) -> int:
        """The output from its beginning, then as it grows, until the agent is gone."""

        async def ask() -> OutputData:
            return await self._special.locate_output(request.agent, caller)

        hide = hide_secrets(self._engine.host.grounds)
        shown = None
        if not request.raw:
            shown = await self._special.show_output(
                request.agent, caller, lambda text: escape_block(hide(text))
            )
        async with streams.interruptible():
            await follow(ask, shown, streams)
        return 0

    async def _stream_backup(
        self,
        request: r.BackUp,
        caller: Caller,
        parsed: parse.Parsed,
        streams: ClientStreams,
    ) -> int:
        """A copy made here, then written by the client where the user wants it."""
        assert parsed.write_file is not None
        await self._special.check(request, caller)
        async with self._special.backup_copy() as copy:
            await streams.write_file(parsed.write_file, _chunks_of(copy))
        return 0


def _waits_for_reply(request: r.AnyRequest) -> bool:
    return isinstance(request, SendToChat) and request.wait is not None


async def _filled(
    request: r.AnyRequest, parsed: parse.Parsed, streams: ClientStreams
) -> r.AnyRequest:
    """The request with what it takes from standard input or a file."""
    if parsed.stdin_field is not None:
        is_file = isinstance(request, r.ImportGraph | RunCanaries)
        limit = _MAX_FILE if is_file else MAX_TEXT_BYTES
        text = _text(await streams.read_stdin(limit), "standard input")
        if not is_file:
            text = text.rstrip("\n")
        return msgspec.structs.replace(request, **{parsed.stdin_field: text})
    if parsed.read_file is not None:
        content = await streams.read_file(parsed.read_file, _MAX_FILE)
        text = _text(content, parsed.read_file)
        request = msgspec.structs.replace(request, text=text)
        if isinstance(request, r.ImportGraph) and request.format == "wg-rs":
            files = await read_beside(streams, parsed.read_file, text)
            request = msgspec.structs.replace(request, files=files)
    return request


def style_of(call: Call, now: int) -> Style:
    """How text looks for this caller."""
    terminal = call.tty[1]
    return Style(
        color=terminal
        and "NO_COLOR" not in call.env
        and call.env.get("TERM") != "dumb",
        columns=call.columns if terminal else 0,
        now=now,
        relative_times=terminal,
    )


def _name(env: Mapping[str, str], peer: Peer) -> str:
    name = env.get("WG_ACTOR") or env.get("USER")
    return name or _login_name(peer.uid)


@cache
def _login_name(uid: int) -> str:
    # It reads /etc/passwd. Peers are the owner and root, so few are kept.
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _text(content: bytes, source: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{source}: line {line} is not UTF-8", hint="convert it first"
        ) from error


async def _joined(lines: list[str]) -> AsyncGenerator[bytes]:
    for line in lines:
        yield line.encode() + b"\n"


async def _chunks_of(path: str) -> AsyncGenerator[bytes]:
    async with await anyio.open_file(path, "rb") as file:
        while chunk := await file.read(_CHUNK):
            yield chunk
