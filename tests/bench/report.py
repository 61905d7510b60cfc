"""What a row came to, as a table on the screen and as a page in `docs/`."""

import datetime
import os
import platform
import re
import shutil
import sqlite3
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from workgraph.graph.model import Record

PAGE: Final = Path(__file__).parents[2] / "docs" / "performance.md"
_BEGIN: Final = "<!-- written by make bench ARGS=--write: begin -->"
_END: Final = "<!-- end -->"
_KIB_A_GIB: Final = 1 << 20


class Row(Record, frozen=True, kw_only=True):
    """A row of the table.

    Args:
        name: What was measured.
        values: One for each round, in the unit of the bar.
        bar: What it has to reach.
        more_is_better: The bar is the least, not the most.
        unit: What stands behind a value; empty for a ratio.
        note: The absolute figures behind it.
        aim: More than the bar: what is hoped for.
    """

    name: str
    values: Sequence[float]
    bar: float
    more_is_better: bool = False
    unit: str = ""
    note: str = ""
    aim: float | None = None

    @property
    def value(self) -> float:
        """The median."""
        return statistics.median(self.values)

    def reaches(self, factor: float = 1.0) -> bool:
        """Whether it is at its bar, or misses it by no more than a factor."""
        if self.more_is_better:
            return self.value * factor >= self.bar
        return self.value <= self.bar * factor


class Skipped(Record, frozen=True, kw_only=True):
    """A row that could not be taken, and why."""

    name: str
    why: str


class Failed(Record, frozen=True, kw_only=True):
    """Rows whose subject did not do what is measured, and what it did."""

    name: str
    why: str


Line = Row | Skipped | Failed


def is_passed(line: Line, factor: float) -> bool:
    """Whether a line is no reason to fail; what could not be taken here is none."""
    match line:
        case Row():
            return line.reaches(factor)
        case Skipped():
            return True
        case Failed():
            return False


def cells(line: Line) -> tuple[str, ...]:
    """The cells of a line: row, value, bar, spread, verdict, figures."""
    match line:
        case Skipped():
            return (line.name, "-", "-", "-", "skipped", line.why)
        case Failed():
            why = " ".join(line.why.split()).replace("|", "/")
            return (line.name, "-", "-", "-", "FAILED", why)
        case Row():
            sign = "≥" if line.more_is_better else "≤"
            bar = f"{sign} {_number(line.bar)}{line.unit}"
            if line.aim is not None:
                bar += f" (aim {_number(line.aim)})"
            low, high = _number(min(line.values)), _number(max(line.values))
            spread = f"{low} - {high}" if len(line.values) > 1 else "one run"
            return (
                line.name,
                f"{_number(line.value)}{line.unit}",
                bar,
                spread,
                "ok" if line.reaches() else "MISS",
                line.note,
            )


HEAD: Final = ("row", "median", "bar", "spread", "", "figures")


def screen_table(lines: Sequence[Line]) -> str:
    """The table for a terminal."""
    rows = [HEAD, *map(cells, lines)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD) - 1)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)
        ).rstrip()
        for row in rows
    )


def page_table(lines: Sequence[Line]) -> str:
    """The table for the page."""
    rows = [HEAD, ("---", "---:", "---:", "---:", "---", "---"), *map(cells, lines)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def write_page(lines: Sequence[Line], others: float) -> None:
    """Puts the table and the facts of the machine into the page, between its marks."""
    text = PAGE.read_text(encoding="utf-8")
    block = "\n\n".join((_BEGIN, machine_facts(others), page_table(lines), _END))
    found = re.compile(f"{re.escape(_BEGIN)}.*?{re.escape(_END)}", re.DOTALL)
    PAGE.write_text(found.sub(lambda _: block, text), encoding="utf-8")


def machine_facts(others: float) -> str:
    """What was measured on, without naming it."""
    cpu = _field("/proc/cpuinfo", "model name") or platform.machine()
    memory_kib = (_field("/proc/meminfo", "MemTotal") or "0").split()[0]
    ninja = shutil.which("ninja")
    version = ""
    if ninja:
        said = subprocess.run(
            [ninja, "--version"], capture_output=True, text=True, check=False
        ).stdout
        version = f", ninja {said.strip()}"
    today = datetime.datetime.now(datetime.UTC).date()
    return (
        f"Taken on {today}: {os.cpu_count()} processors ({cpu}),"
        f" {int(memory_kib) / _KIB_A_GIB:.0f} GiB,"
        f" Linux {platform.release().split('-')[0]},"
        f" Python {platform.python_version()},"
        f" SQLite {sqlite3.sqlite_version}{version}."
        f" Others took {others:.2f} of a processor during the runs that were kept"
        " (median)."
    )


def _field(file: str, name: str) -> str | None:
    for line in Path(file).read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return None


def _number(value: float) -> str:
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}"
