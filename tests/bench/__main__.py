"""`python -m tests.bench`: the rows of DESIGN §11, each with its bar.

Exits 0 when every row is at its bar. A short run (CI) is taken on machines that are
noisy: it fails only for a row that misses its bar by more than `SHORT_FACTOR`.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from tests.bench import rows_chats, rows_client, rows_large, rows_run, rows_service
from tests.bench.projects import Bench, BenchError, open_bench
from tests.bench.report import PAGE, Failed, Line, is_passed, screen_table, write_page

SHORT_FACTOR: Final = 6.0

Part = Callable[[Bench], tuple[Sequence[Line], Sequence[float]]]
PARTS: Final[Mapping[str, Part]] = MappingProxyType(
    {
        "independent": rows_run.take_independent,
        "layered": rows_run.take_layered,
        "show": rows_client.take_show,
        "next": rows_client.take_next_start,
        "large": rows_large.take,
        "chats": rows_chats.take,
        "idle": rows_service.take_idle,
        "recovery": rows_service.take_recovery,
        "requests": rows_client.take_requests,
    }
)


def main() -> int:
    """Takes the rows that are asked for, prints them, and judges."""
    options = _parse()
    lines: list[Line] = []
    others: list[float] = []
    with open_bench(options.dir, short=options.short, rounds=options.rounds) as bench:
        for name in options.only or PARTS:
            began = time.monotonic()
            print(f"{name} …", end=" ", file=sys.stderr, flush=True)
            try:
                found, disturbed = PARTS[name](bench)
            except BenchError as error:
                found, disturbed = [Failed(name=name, why=str(error))], []
            print(f"{time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
            print(screen_table(found), file=sys.stderr, flush=True)
            lines.extend(found)
            others.extend(disturbed)
    noise = statistics.median(others) if others else 0.0
    print(screen_table(lines))
    print(f"\nothers took {noise:.2f} of a processor (median of the kept runs)")
    if options.write:
        write_page(lines, noise)
        print(f"written to {PAGE.relative_to(PAGE.parents[1])}")
    return _judge(lines, SHORT_FACTOR if options.short else 1.0)


def _judge(lines: Sequence[Line], factor: float) -> int:
    missed = [line.name for line in lines if not is_passed(line, factor)]
    if missed:
        far = f" by more than {factor:g} times" if factor > 1 else ""
        print(f"missed{far}: {'; '.join(missed)}", file=sys.stderr)
    return 1 if missed else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "--short",
        action="store_true",
        help="three rounds, smaller graphs, bars missed by up to"
        f" {SHORT_FACTOR:g} times allowed; about a minute",
    )
    parser.add_argument(
        "--write", action="store_true", help="write the table into docs/performance.md"
    )
    parser.add_argument("--only", nargs="+", choices=list(PARTS), metavar="PART")
    parser.add_argument("--rounds", type=int, help="rounds in each row, at least five")
    parser.add_argument("--dir", help="where the temporary folder is made")
    return parser.parse_args()


sys.exit(main())
