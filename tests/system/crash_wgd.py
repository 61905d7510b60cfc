"""`wgd`, or `wg` without a daemon, with a trap set: the entry of the matrix.

    python -m tests.system.crash_wgd POINT NTH ARMED REACHED PROGRAM [ARGUMENT...]

sets the trap of a named point, or none for `-`, and runs the ordinary `wgd` or `wg`.
Without arguments it does so again and again, as lines of JSON on its stdin ask, in
children of its own, which spares each the imports and the making of the parser; it
says on stdout which pid each has, and how it ended.
"""

import importlib
import json
import os
import select
import signal
import sys
from pathlib import Path
from typing import Any, Final, NoReturn

from tests.system.crash_plants import PLANTS
from tests.system.crash_points import BY_NAME
from tests.system.crash_trap import Trap
from workgraph.agents.process import RealLauncher
from workgraph.commands import parse
from workgraph.daemon import main, offline

PROGRAMS: Final = ("wgd", "wg")


def run(trap: Trap | None, program: str, argv: list[str]) -> NoReturn:
    """Sets the trap and becomes the program."""
    if trap is not None:
        trap.set()
    if program == "wg":
        offline.main(argv)
    sys.argv = [program, *argv]
    main.main()


def make_trap(point: str, nth: int, armed: str, reached: str) -> Trap | None:
    """The trap of a point by its name; none for `-`."""
    if point == "-":
        return None
    return Trap(BY_NAME[point], nth, Path(armed), Path(reached))


def serve() -> None:
    """Runs what is asked for until stdin ends."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    unread = b""
    parse.warm()
    importlib.import_module("structlog")  # each daemon would load it when it starts
    _tell(pid=os.getpid())
    while True:
        ready, _, _ = select.select([0, read], [], [])
        if read in ready:
            os.read(read, 4096)
        _tell_ends()
        if 0 in ready:
            data = os.read(0, 1 << 16)
            if not data:
                return
            *lines, unread = (unread + data).split(b"\n")
            for line in lines:
                _obey(json.loads(line))


def _obey(order: dict[str, Any]) -> None:
    if "kill" in order:
        os.kill(order["kill"], order["signal"])
        return
    pid = os.fork()
    if pid == 0:
        _become(order)
    _tell(pid=pid)


def _become(order: dict[str, Any]) -> NoReturn:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.closerange(3, 64)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    if order["shell"]:
        _use_shell(order["shell"])
    if order["plant"]:
        PLANTS[order["plant"]]()
    trap = make_trap(order["point"], order["nth"], order["armed"], order["reached"])
    run(trap, order["program"], order["argv"])


def _use_shell(shell: str) -> None:
    """Has agents' wrappers run by another shell than /bin/sh."""
    ordinary = RealLauncher.__init__

    def init(self: RealLauncher, **kwargs: Any) -> None:
        ordinary(self, shell=shell, **kwargs)

    RealLauncher.__init__ = init  # type: ignore[method-assign, assignment]


def _tell_ends() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        _tell(ended=pid, status=os.waitstatus_to_exitcode(status))


def _tell(**words: int) -> None:
    os.write(1, json.dumps(words).encode() + b"\n")


if __name__ == "__main__":
    if len(sys.argv) == 1:
        serve()
    else:
        point, nth, armed, reached, program, *rest = sys.argv[1:]
        run(make_trap(point, int(nth), armed, reached), program, rest)
