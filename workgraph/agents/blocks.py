"""Marked blocks of a prompt: text that can't leave its block, whole or cut to a room.

Each line that begins with `=====` is workgraph's own; a line of quoted text that begins
so is set off, and what moves a cursor or can't be seen is written out. Pure.
"""

import re
from collections.abc import Callable, Sequence
from functools import cached_property
from hashlib import sha256
from typing import Final

from workgraph.graph.model import Record
from workgraph.graph.tokens import estimate

MARK: Final = "====="
#: What is cut away behind a cut before anything else is done with a long text: no part
#: of a secret may stand there that was not known for one.
_MARGIN: Final = 4096
_LONGEST_TITLE: Final = 200

# Control and format characters, marks that reorder what is read, invisible tags.
_UNSAFE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
_LINE_BREAKS: Final = re.compile(r"\s*[\n\t]\s*")
_FENCE: Final = re.compile(rf"^(?=[ \t]*{MARK})", re.MULTILINE)


class Part(Record, frozen=True, kw_only=True):
    """A text of an entry, under a label."""

    label: str = ""
    text: str
    #: Its end is kept when it is cut, not its beginning.
    tail: bool = False
    #: Of the whole, in bytes, where `text` is only a part of it.
    size: int | None = None


class Item(Record, frozen=True, kw_only=True):
    """An entry of a block: a line of workgraph's own, one of quoted text, and parts."""

    head: str = ""
    title: str = ""
    parts: tuple[Part, ...] = ()
    #: The message that it is.
    message: int | None = None
    #: It is said again to those who were told.
    always: bool = False


class Block(Record, frozen=True, kw_only=True):
    """A block before it is known how much of it there is room for."""

    name: str
    source: str
    items: tuple[Item, ...]
    #: The lowest is cut first; null is neither cut nor left out.
    rank: int | None = None
    #: In tokens: it is cut to this before anything is left out.
    floor: int = 0
    #: Left out when all floors together are too much.
    optional: bool = True
    #: The operator's own words, in no marks.
    bare: bool = False


class Shown(Record, frozen=True, kw_only=True):
    """A block as it stands in the prompt."""

    text: str
    size: int
    cut: bool
    #: How many of its entries are there.
    items: int


def tokens_of(text: str) -> int:
    """The tokens of a text."""
    return estimate(size_of(text))


def size_of(text: str) -> int:
    """The bytes of a text."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def make_safe(text: str) -> str:
    """Quoted text as it can stand in a block. No line of it begins with the mark."""
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    text = _UNSAFE.sub(_written_out, text)
    return _FENCE.sub("| ", text) if MARK in text else text


def one_line(text: str) -> str:
    """A title: one line, not too long, and safe."""
    clipped = _LINE_BREAKS.sub(" ", text[: 4 * _LONGEST_TITLE].strip())
    more = len(clipped) > _LONGEST_TITLE or len(text) > 4 * _LONGEST_TITLE
    return make_safe(clipped[:_LONGEST_TITLE] + ("…" if more else ""))


def hash_of(*texts: str) -> str:
    """The SHA-256 of some texts, each apart from the next."""
    digest = sha256()
    for text in texts:
        digest.update(text.encode("utf-8", "surrogatepass"))
        digest.update(b"\0")
    return digest.hexdigest()


def piece_of(name: str, item: Item) -> str:
    """By what it is known whether an entry was shown before: a hash of all of it."""
    said = [text for part in item.parts for text in (part.label, part.text)]
    return hash_of(name, item.head, item.title, *said)[:16]


class _Quoted:
    """A part, made safe."""

    def __init__(self, part: Part, most: int, hide: Callable[[str], str]) -> None:
        whole = size_of(part.text) if part.size is None else part.size
        text = part.text
        if len(text) > most + _MARGIN:
            text = text[-most - _MARGIN :] if part.tail else text[: most + _MARGIN]
        clipped = part.size is not None or len(text) < len(part.text)
        text = hide(text) if text else text
        if clipped:
            text = text[_MARGIN:] if part.tail else text[:-_MARGIN]
        text = make_safe(text.strip("\n") if not clipped else text)
        self.part = part
        self.label = f"{MARK} {part.label}\n" if part.label else ""
        self.tokens = estimate(whole)
        self._text = text
        self._size = size_of(text) + 1
        #: The most that the line takes which tells of a cut.
        self.mark = size_of(_cut_line(self.tokens, self.tokens))
        #: What it takes whole, without its label.
        self.size = self._size + (self.mark if clipped else 0)
        self.is_less = clipped

    def show(self, room: int) -> tuple[str, bool]:
        """The text in so many bytes, and whether it is cut."""
        if self.size <= room and not self.is_less:
            return f"{self.label}{self._text}\n", False
        text = self._text
        if self._size + self.mark > room:
            # One for the newline, three for the dots.
            text = self._clip(max(0, room - self.mark - 1))
        kept = f"{text}\n" if text else ""
        line = _cut_line(min(tokens_of(text), self.tokens), self.tokens)
        return self.label + (line + kept if self.part.tail else kept + line), True

    def _clip(self, room: int) -> str:
        data = self._text.encode()
        if not self.part.tail:
            return data[:room].decode("utf-8", "ignore")
        # A line that is cut in its middle may begin with the mark now: dots are before.
        dots = "…"
        kept = room - size_of(dots)
        return dots + data[-kept:].decode("utf-8", "ignore") if kept > 0 else ""


class Ready:
    """A block whose texts are safe, to be shown in any room.

    Args:
        block: What it is made from.
        most: No more bytes than this of any text are ever wanted.
        hide: Takes secrets out of a text.
    """

    def __init__(self, block: Block, most: int, hide: Callable[[str], str]) -> None:
        self.block = block
        self._heads = [_head_of(item, hide) for item in block.items]
        self._parts = [
            [_Quoted(part, most, hide) for part in item.parts] for item in block.items
        ]
        self._begin = "" if block.bare else f"{MARK} {block.name}\n"
        self._end = "\n" if block.bare else f"{MARK} end of {block.name}\n\n"
        self.whole = self.show(None)

    @cached_property
    def sha256(self) -> str:
        """Of all that it was made from, before anything was cut."""
        items = self.block.items
        return hash_of(
            *(
                text
                for item in items
                for text in (item.head, item.title, *(p.text for p in item.parts))
            )
        )

    @cached_property
    def pieces(self) -> tuple[str, ...]:
        """By what its entries are known."""
        return tuple(piece_of(self.block.name, item) for item in self.block.items)

    def show(self, room: int | None) -> Shown:
        """The block in so many bytes: whole, if it can be, or cut.

        Its entries are shown in their order, as many as there is room for, and what is
        left is shared out among their texts: the short ones whole, the long ones alike.
        """
        if room is not None and self.whole.size <= room:
            return self.whole
        frame = size_of(self._begin) + size_of(self._end)
        count, left = self._fitting(None if room is None else room - frame)
        quoted = [part for parts in self._parts[:count] for part in parts]
        shares = share_out([part.size for part in quoted], left)
        shown = iter(part.show(s) for part, s in zip(quoted, shares, strict=True))
        pieces = [self._begin]
        cut = False
        for head, parts in zip(self._heads[:count], self._parts, strict=False):
            pieces.append(head)
            for _ in parts:
                text, is_cut = next(shown)
                pieces.append(text)
                cut = cut or is_cut
        if count < len(self._heads):
            pieces.append(_left_out(count, len(self._heads)))
            cut = True
        pieces.append(self._end)
        text = "".join(pieces)
        return Shown(text=text, size=size_of(text), cut=cut, items=count)

    def say_dropped(self) -> Shown:
        """What stands in its place when there is no room for any of it."""
        tokens = estimate(self.whole.size)
        text = f"{MARK} {self.block.name}: … cut: 0 of {tokens} tokens\n\n"
        return Shown(text=text, size=size_of(text), cut=True, items=0)

    def _fitting(self, room: int | None) -> tuple[int, int | None]:
        """How many entries fit at the least, and the bytes left for their texts."""
        if room is None:
            return len(self._heads), None
        last = len(self._heads)
        note = size_of(_left_out(last, last))
        fixed = least = 0
        best = (0, 0)
        for number, (head, parts) in enumerate(
            zip(self._heads, self._parts, strict=True), start=1
        ):
            fixed += size_of(head) + sum(size_of(part.label) for part in parts)
            least += sum(min(part.size, part.mark) for part in parts)
            needed = fixed + least + (0 if number == last else note)
            if needed > room:
                break
            best = (number, room - fixed - (0 if number == last else note))
        return best


def share_out(sizes: Sequence[int], room: int | None) -> list[int]:
    """Gives each what it takes, or all that take more the same; null: no limit."""
    if room is None:
        return list(sizes)
    shares = [0] * len(sizes)
    left = room
    order = sorted(range(len(sizes)), key=lambda n: (sizes[n], n))
    for done, n in enumerate(order):
        shares[n] = min(sizes[n], left // (len(order) - done))
        left -= shares[n]
    return shares


def _head_of(item: Item, hide: Callable[[str], str]) -> str:
    head = f"{MARK} {item.head}\n" if item.head else ""
    if not item.title:
        return head
    title = one_line(hide(item.title[: 4 * _LONGEST_TITLE + _MARGIN]))
    return f"{head}{title}\n"


def _cut_line(shown: int, whole: int) -> str:
    return f"{MARK} … cut: {shown} of {whole} tokens\n"


def _left_out(shown: int, whole: int) -> str:
    return f"{MARK} … cut: {shown} of {whole} entries\n"


def _written_out(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code <= 0xFF:  # noqa: PLR2004
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004
