"""Bytes as they come to the JSON objects in them, whatever else is between them.

A client prints an object a line. A line may be longer than memory is worth, be cut in
two by a crash, hold two objects, or be no JSON at all: what can't be read is counted
and left out, and never keeps the rest from being read.
"""

import json
import re
from typing import Final, TypeVar

from msgspec import Raw, ValidationError
from msgspec.json import Decoder

#: A longer line is dropped. Clients put a whole answer, or a whole file, on one.
LONGEST_LINE: Final = 64 * 1024 * 1024

_Decoded = TypeVar("_Decoded")
#: Slower than msgspec, and takes what that refuses: control characters in strings, lone
#: surrogates (a text that was cut in the middle of an emoji), a second object behind.
_FORGIVING: Final = json.JSONDecoder(strict=False)
_AROUND: Final = " \t\r\n\0\ufeff"
_BETWEEN: Final = re.compile(r"[\s\0]*")


class Lines:
    """Whole lines out of pieces; the cost is linear, however they are cut."""

    def __init__(self, longest: int = LONGEST_LINE) -> None:
        self._longest = longest
        self._held: list[bytes] = []
        self._size = 0
        #: How many lines were longer than is kept.
        self.dropped = 0

    @property
    def held(self) -> int:
        """How long the line is that has begun, in bytes."""
        return self._size

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that end in these bytes, without their ends, none of them empty."""
        first, *others = data.split(b"\n")
        self._hold(first)
        if not others:
            return []
        lines = self.rest()
        *whole, last = others
        for line in whole:
            self._hold(line)
            lines += self.rest()
        self._hold(last)
        return lines

    def rest(self) -> list[bytes]:
        """The line that has begun, ended here; nothing when there is none."""
        too_long = self._size > self._longest
        line = b"".join(self._held)
        self._held, self._size = [], 0
        self.dropped += too_long
        return [line] if line and not too_long else []

    def _hold(self, piece: bytes) -> None:
        if not piece:
            return
        self._size += len(piece)
        if self._size > self._longest:
            self._held.clear()
        else:
            self._held.append(piece)


def objects(line: bytes, decoder: Decoder[_Decoded]) -> tuple[list[_Decoded], bool]:
    """The JSON objects of a line, and whether there is anything else in it.

    An object that can't be read takes what follows on its line with it: what looks like
    an object further on may be a part of it.
    """
    try:
        return [decoder.decode(line)], False
    except (ValueError, RecursionError):
        pass
    text = line.decode("utf-8", "replace").strip(_AROUND)
    if not text:
        return [], False
    at = 0 if text.startswith("{") else text.find('{"')
    if at < 0:
        return [], True
    found = []
    odd = at > 0
    while at < len(text):
        try:
            value, at = _FORGIVING.raw_decode(text, at)
            if isinstance(value, dict):
                found.append(decoder.decode(_tidy(value)))
            else:
                odd = True
        except (ValueError, RecursionError):
            return found, True
        between = _BETWEEN.match(text, at)
        at = between.end() if between else at
    return found, odd


def piece(raw: Raw, decoder: Decoder[_Decoded]) -> _Decoded | None:
    """A part of an object, or null when it is not there or is of another shape."""
    content = memoryview(raw)
    if not content:
        return None
    try:
        return decoder.decode(content)
    except ValidationError:
        return None
    except (ValueError, RecursionError):
        pass
    try:
        value, _ = _FORGIVING.raw_decode(str(content, "utf-8", "replace"))
        return decoder.decode(_tidy(value))
    except (ValueError, RecursionError):
        return None


def _tidy(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
