"""The trap that kills a daemon at a named point; set in a process from outside.

Nothing happens until it is armed, by a file. Then the process sends itself KILL when
the point is reached for the nth time, and has written a line that says so before.
"""

import functools
import inspect
import os
import signal
import threading
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final, NoReturn

from tests.system.crash_points import Point, Seen, Transaction, find
from workgraph.store.database import Store

_NOBODY: Final = Transaction()
_current: Final = ContextVar[Transaction]("transaction", default=_NOBODY)


class Trap:
    """Kills this process at a point, once it is armed.

    Args:
        armed: The file that arms it.
        reached: The file that is told when it was reached.
    """

    def __init__(self, point: Point, nth: int, armed: Path, reached: Path) -> None:
        self._point = point
        self._left = nth
        self._armed = armed
        self._reached = reached
        self._lock = threading.Lock()
        self._transaction = Transaction()

    def set(self) -> None:
        """Wraps what has to be wrapped, in this process, for good."""
        _wrap("workgraph.store.database:Store.transaction", self._watch_transaction)
        _wrap("workgraph.daemon.engine:Engine.submit", _note_request)
        _wrap("workgraph.daemon.service:Service.answer", _note_request)
        for target in self._point.target.split():
            _wrap(target, self._around)

    def _around(self, function: Any) -> Any:
        if self._point.when == "inside":
            return self._inside_script(function)
        if inspect.iscoroutinefunction(function):

            async def wrapped_async(*args: Any, **kwargs: Any) -> Any:
                if self._point.when == "before":
                    self._look(args, kwargs, None)
                    return await function(*args, **kwargs)
                result = await function(*args, **kwargs)
                self._look(args, kwargs, result)
                return result

            return functools.wraps(function)(wrapped_async)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if self._point.when == "before":
                self._look(args, kwargs, None)
                return function(*args, **kwargs)
            result = function(*args, **kwargs)
            self._look(args, kwargs, result)
            return result

        return functools.wraps(function)(wrapped)

    def _inside_script(self, function: Any) -> Any:
        """Runs a script of SQL up to its COMMIT."""

        def wrapped(connection: Any, script: str) -> Any:
            if self._is_armed():
                function(connection, script.rpartition("commit;")[0])
            self._look((connection, script), {}, None)
            return function(connection, script)

        return wrapped

    def _look(self, args: Any, kwargs: Any, result: Any) -> None:
        if not self._is_armed():
            return
        if not self._point.only(Seen(args, kwargs, result, self._transaction)):
            return
        with self._lock:
            self._left -= 1
            if self._left:
                return
            self._fall()

    def _fall(self) -> NoReturn:
        line = f"{self._point.name} {os.getpid()}\n".encode()
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        os.write(os.open(self._reached, flags, 0o600), line)
        os.kill(os.getpid(), signal.SIGKILL)
        while True:
            signal.pause()

    def _is_armed(self) -> bool:
        return self._armed.exists()

    def _watch_transaction(self, function: Any) -> Any:
        """Knows, in the database's thread, what the transaction there has done."""

        async def wrapped(store: Store, job: Any, now: int) -> Any:
            mine = _current.get()

            def watched(tx: Any) -> Any:
                result = job(tx)
                self._transaction = mine._replace(
                    kinds=frozenset(change.kind for change in tx.changes),
                    verbs=frozenset(x.verb for x in tx.changes if x.verb),
                )
                return result

            return await function(store, watched, now)

        return wrapped


def _note_request(function: Any) -> Any:
    async def wrapped(owner: Any, request: Any, caller: Any) -> Any:
        told = Transaction(request=request, from_agent=caller.agent is not None)
        token = _current.set(told)
        try:
            return await function(owner, request, caller)
        finally:
            _current.reset(token)

    return wrapped


def _wrap(target: str, around: Callable[[Any], Any]) -> None:
    """Puts something around a function where its callers look it up."""
    owner, name, found = find(target)
    if isinstance(found, classmethod):
        setattr(owner, name, classmethod(around(found.__func__)))
    elif isinstance(found, staticmethod):
        setattr(owner, name, staticmethod(around(found.__func__)))
    else:
        setattr(owner, name, around(found))
