"""What workgraph's reader of claude's stream makes of the native agent's."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.native.runs import SESSION, Told, a_desk
from workgraph.agents.builtin import NATIVE
from workgraph.agents.streams.reader import Reader, make_reader
from workgraph.graph.ends import EndKind, Report
from workgraph.graph.model import Usage


def a_reader() -> Reader:
    """The one of the stream that the executor says it has."""
    reader = make_reader(NATIVE.stream, Usage())
    assert reader is not None
    return reader


def read(told: Told) -> Report:
    """The report of a run's whole output."""
    reader = a_reader()
    for line in told.lines:
        reader.feed(msgspec.json.encode(line) + b"\n")
    return reader.close(told.status, None)


async def test_session_model_usage_and_last_words_are_read(tmp_path: Path) -> None:
    """All that the mock has served is counted, once."""
    served = {"input": 1000, "cached": 400, "output": 50}
    steps: list[dict[str, Any]] = [
        {"shell": "true", "usage": served},
        {"text": "Done.", "usage": served},
    ]
    with a_desk(tmp_path, steps) as desk:
        report = read(await desk.run())

    assert (report.session, report.model) == (SESSION, "m")
    assert report.usage == Usage(
        input_tokens=1200, cached_tokens=800, output_tokens=100, cost_usd=None
    )
    assert (report.answered, report.said) == (True, "Done.")
    assert report.end is not None
    assert report.end.kind is EndKind.FINISHED


@pytest.mark.parametrize(
    ("scenario", "kind"),
    [
        ("401", EndKind.AUTH),
        ("403", EndKind.AUTH),
        ("404", EndKind.MISCONFIGURED),
        ("413", EndKind.TOO_LONG),
        ("429", EndKind.LIMITED),
        ("quota", EndKind.LIMITED),
        ("500", EndKind.OVERLOADED),
        ("503", EndKind.OVERLOADED),
        ("529", EndKind.OVERLOADED),
        ("refuse", EndKind.NETWORK),
        ("disconnect", EndKind.NETWORK),
        ("malformed", EndKind.OVERLOADED),
        ("empty", EndKind.OVERLOADED),
    ],
)
async def test_each_failure_is_read_as_what_it_is(
    tmp_path: Path, scenario: str, kind: EndKind
) -> None:
    """From the structured fields."""
    with a_desk(tmp_path, scenario) as desk:
        report = read(await desk.run())

    assert report.end is not None
    assert report.end.kind is kind
    assert report.end.retry_after_s == {"429": 1.0, "quota": 3600.0}.get(scenario)
    assert not report.answered


async def test_other_ends_are_read(tmp_path: Path) -> None:
    """An unknown session, a limit of turns, silence."""
    with a_desk(tmp_path, [{"shell": "true"}] * 3) as desk:
        unknown = read(await desk.run(resume=True))
        limited = read(await desk.run(max_turns=1))
    with a_desk(tmp_path, "hang") as desk:
        silent = read(await desk.run(request_timeout_s=0.1))

    kinds = [report.end and report.end.kind for report in (unknown, limited, silent)]
    assert kinds == [EndKind.NO_SESSION, EndKind.OWN_LIMIT, EndKind.NETWORK]


def test_a_missing_extra_is_read_as_a_mistake_of_the_setting() -> None:
    """Nothing is printed but a line on standard error."""
    reader = a_reader()
    reader.feed_stderr(b"native: pydantic_ai is not installed: pip install ...\n")

    report = reader.close(69, None)

    assert report.end is not None
    assert report.end.kind is EndKind.MISCONFIGURED
