"""A program on a real pty, and as much of a screen as is needed to read it."""

import fcntl
import os
import re
import select
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

PATIENCE_S = 60.0
_SEQUENCE = re.compile(
    r"\x1b(?:\[([0-9;?]*)[ -/]*([@-~])|\][^\x07]*\x07|[()][A-Z0-9]|[=>78])"
)


class Screen:
    """What a terminal shows: the rows, with those that have left it at the top."""

    def __init__(self, rows: int, columns: int) -> None:
        self.rows, self.columns = rows, columns
        self._above: list[str] = []
        self._cells = [[" "] * columns for _ in range(rows)]
        self._row = self._column = 0
        self._unread = ""
        #: How often the program has asked where the cursor is.
        self.asked = 0

    def text(self) -> str:
        """All rows, without the blanks at their ends."""
        rows = ["".join(row).rstrip() for row in self._cells]
        return "\n".join([*self._above, *rows]).rstrip()

    def position(self) -> tuple[int, int]:
        """Where the cursor is, from 1 on."""
        return self._row + 1, self._column + 1

    def resize(self, rows: int, columns: int) -> None:
        """Another size; what is on it stays where it is, as far as it fits."""
        while len(self._cells) > rows:
            self._above.append("".join(self._cells.pop(0)).rstrip())
            self._row = max(self._row - 1, 0)
        self._cells = [
            (row + [" "] * columns)[:columns]
            for row in [*self._cells, *([[]] * (rows - len(self._cells)))]
        ]
        self.rows, self.columns = rows, columns
        self._column = min(self._column, columns - 1)

    def feed(self, text: str) -> None:
        """Takes what the program writes."""
        text = self._unread + text
        self._unread = ""
        at = 0
        while at < len(text):
            if text[at] != "\x1b":
                self._put(text[at])
                at += 1
                continue
            match = _SEQUENCE.match(text, at)
            if match is None:
                self._unread = text[at:]
                return
            if match[2]:
                self._do(match[2], match[1])
            at = match.end()

    def _put(self, character: str) -> None:
        if character == "\r":
            self._column = 0
        elif character == "\n":
            self._row += 1
            if self._row == self.rows:
                self._above.append("".join(self._cells.pop(0)).rstrip())
                self._cells.append([" "] * self.columns)
                self._row -= 1
        elif character == "\b":
            self._column = max(self._column - 1, 0)
        elif character >= " ":
            self._cells[self._row][self._column] = character
            self._column = min(self._column + 1, self.columns - 1)

    def _do(self, kind: str, parameters: str) -> None:
        numbers = [int(p) if p.isdigit() else 0 for p in parameters.split(";")]
        many = max(numbers[0], 1)
        if kind == "A":
            self._row = max(self._row - many, 0)
        elif kind == "B":
            self._row = min(self._row + many, self.rows - 1)
        elif kind == "C":
            self._column = min(self._column + many, self.columns - 1)
        elif kind == "D":
            self._column = max(self._column - many, 0)
        elif kind == "H":
            column = numbers[1] if len(numbers) > 1 else 1
            self._row, self._column = many - 1, max(column, 1) - 1
        elif kind in "JK":
            self._erase(kind, numbers[0])
        elif kind == "n" and parameters == "6":
            self.asked += 1

    def _erase(self, kind: str, what: int) -> None:
        begin = 0 if what == 2 else self._column
        self._cells[self._row][begin:] = [" "] * (self.columns - begin)
        if kind == "J":
            first = 0 if what == 2 else self._row + 1
            for row in range(first, self.rows):
                self._cells[row] = [" "] * self.columns


class Terminal:
    """A program that runs on a pty of its own, and a screen that shows it."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        rows: int = 24,
        columns: int = 80,
    ) -> None:
        self.screen = Screen(rows, columns)
        self._lock = threading.Lock()
        self._master, slave = os.openpty()
        self._set_size(rows, columns)
        self.process = subprocess.Popen(
            ["setsid", "--ctty", "--wait", *argv],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=cwd,
            env={**env, "TERM": "xterm"},
        )
        os.close(slave)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def type(self, keys: str) -> None:
        """Presses keys."""
        os.write(self._master, keys.encode())

    def signal(self, number: int) -> None:
        """Sends a signal to what runs in front."""
        os.killpg(os.tcgetpgrp(self._master), number)

    def is_as_it_was(self) -> bool:
        """Whether what is typed is shown and read by lines, as before."""
        flags = termios.tcgetattr(self._master)[3]
        return bool(flags & termios.ECHO) and bool(flags & termios.ICANON)

    def resize(self, rows: int, columns: int) -> None:
        """Makes the window larger or smaller."""
        with self._lock:
            self.screen.resize(rows, columns)
        self._set_size(rows, columns)

    def shows(self, text: str) -> bool:
        """Whether it is on the screen, or was and has gone up."""
        return text in self.text()

    def text(self) -> str:
        """What is on the screen, and what has gone up."""
        with self._lock:
            return self.screen.text()

    def wait_shows(self, *texts: str) -> str:
        """Returns what is on the screen when all of these are, at the same time."""
        seen = ""

        def are_shown() -> bool:
            nonlocal seen
            seen = self.text()
            return all(text in seen for text in texts)

        self.wait(are_shown, " and ".join(texts))
        return seen

    def wait(self, fact: Callable[[], bool], what: str) -> None:
        """Returns when something is so."""
        until = time.monotonic() + PATIENCE_S
        while not fact():
            late = time.monotonic() >= until
            assert not late, f"waited in vain for {what!r}:\n{self.text()}"
            time.sleep(0.01)

    def wait_ended(self) -> int:
        """Returns the exit status."""
        return self.process.wait(PATIENCE_S)

    def close(self) -> None:
        """Ends what still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join()
        os.close(self._master)

    def _set_size(self, rows: int, columns: int) -> None:
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)

    def _read(self) -> None:
        ended = False
        while True:
            ready, _, _ = select.select([self._master], [], [], 0.1)
            if not ready:
                if ended:
                    return
                ended = self.process.poll() is not None
                continue
            try:
                data = os.read(self._master, 1 << 16)
            except OSError:  # nobody has it open any more
                return
            with self._lock:
                asked = self.screen.asked
                self.screen.feed(data.decode("utf-8", "replace"))
                row, column = self.screen.position()
                times = self.screen.asked - asked
            if times:
                os.write(self._master, f"\x1b[{row};{column}R".encode() * times)


@contextmanager
def a_terminal(
    argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], rows: int = 24
) -> Iterator[Terminal]:
    """A program on a terminal; nothing of it is left after the block."""
    terminal = Terminal(argv, cwd=cwd, env=env, rows=rows)
    try:
        yield terminal
    finally:
        terminal.close()
