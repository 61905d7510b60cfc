"""What every structured stream promises: the same thing happened, the same is said.

Recorded runs of each client, scenario by scenario. Where a client has not been seen to
end by itself, its trouble stands for its end.
"""

from typing import Final, cast, get_args

import pytest

from tests.agents.streams.recorded import RUNS, a_reader, read, recorded
from workgraph.agents.builtin import BUILTINS
from workgraph.graph.ends import EndKind, Report
from workgraph.settings import Stream

STREAMS: Final = tuple(
    cast("Stream", stream) for stream in get_args(Stream) if stream != "text"
)
#: What happens, the sample that shows it, and the kind of end that it is for all.
SCENARIOS: Final = (
    ("success", EndKind.FINISHED),
    ("tool_failure", EndKind.FINISHED),
    ("retry_429_then_ok", EndKind.FINISHED),
    ("error_400", EndKind.FAILED),
    ("error_401", EndKind.AUTH),
    ("error_429", EndKind.LIMITED),
    ("error_529", EndKind.OVERLOADED),
    ("disconnect", EndKind.NETWORK),
    ("malformed", EndKind.OVERLOADED),
    ("sigkill_in_tool", None),
)
#: The same for what not every client can be brought to.
MORE: Final = (
    ("error_403", EndKind.AUTH, STREAMS),
    ("no_key", EndKind.AUTH, ("claude", "codex", "gemini")),
    ("unpaid", EndKind.AUTH, ("claude", "codex")),
    ("limited_for_long", EndKind.LIMITED, ("claude", "gemini")),
    ("limited_in_stream", EndKind.LIMITED, ("codex",)),
    ("empty", EndKind.OVERLOADED, ("gemini",)),
    ("error_500", EndKind.OVERLOADED, ("codex",)),
    ("unreachable", EndKind.NETWORK, ("claude", "codex")),
    # opencode makes the conversation shorter by itself, and goes on.
    ("too_long", EndKind.TOO_LONG, ("claude", "codex", "gemini")),
    ("compacted", EndKind.FINISHED, ("opencode",)),
    ("no_model", EndKind.MISCONFIGURED, STREAMS),
    ("unknown_flag", EndKind.MISCONFIGURED, ("claude", "codex", "gemini")),
    ("as_root", EndKind.MISCONFIGURED, ("claude",)),
    ("bad_config", EndKind.MISCONFIGURED, ("codex",)),
    ("not_trusted", EndKind.MISCONFIGURED, ("gemini",)),
    ("no_session", EndKind.NO_SESSION, STREAMS),
    ("own_limit", EndKind.OWN_LIMIT, ("claude",)),
    ("denied", EndKind.DENIED, ("claude", "opencode")),
    ("resumed", EndKind.FINISHED, ("claude", "codex")),
)


def report_of(stream: Stream, scenario: str) -> Report:
    """What a client's stream says after a scenario."""
    return read(recorded(f"{stream}/{scenario}"))


def test_every_built_in_client_has_a_structured_stream() -> None:
    """And there is none that no client prints."""
    streams = {executor.stream for executor in BUILTINS}

    assert streams - {"text"} == set(STREAMS)


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize(("scenario", "kind"), SCENARIOS)
def test_the_same_end_is_of_the_same_kind(
    scenario: str, kind: EndKind | None, stream: Stream
) -> None:
    """Whatever words the client has for it."""
    report = report_of(stream, scenario)
    end = report.end or report.trouble

    assert (end.kind if end else None) is kind
    assert end is None or end.message


@pytest.mark.parametrize(("scenario", "kind", "streams"), MORE)
def test_what_some_clients_were_seen_to_do(
    scenario: str, kind: EndKind, streams: tuple[Stream, ...]
) -> None:
    """Those that were, say the same."""
    for stream in streams:
        report = report_of(stream, scenario)
        end = report.end or report.trouble
        assert end is not None
        assert (stream, end.kind) == (stream, kind)
        assert end.message


def test_every_kind_of_end_has_a_sample() -> None:
    """Real words of a client, not only what was thought of."""
    kinds = {run.report.end.kind for run in RUNS if run.report.end is not None}

    assert kinds == set(EndKind)


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize(("scenario", "kind"), SCENARIOS)
def test_the_session_is_known_whatever_happens(
    scenario: str, kind: EndKind | None, stream: Stream
) -> None:
    """From the first line on, so that it can be gone on with."""
    del kind

    assert report_of(stream, scenario).session


@pytest.mark.parametrize("stream", STREAMS)
def test_a_refused_run_has_no_answer(stream: Stream) -> None:
    """What a client writes itself is none."""
    for scenario in ("error_400", "error_401", "error_403", "error_429", "error_529"):
        report = report_of(stream, scenario)
        assert not report.answered
        assert report.said is None


@pytest.mark.parametrize("stream", STREAMS)
def test_a_run_that_went_well_is_told_whole(stream: Stream) -> None:
    """Usage without what came from the cache, and the last message."""
    report = report_of(stream, "success")

    assert report.answered
    assert report.said == "Finished T-1."
    assert report.tool is None
    assert report.trouble is None
    assert report.usage.cached_tokens == 400
    assert report.usage.input_tokens
    assert report.usage.output_tokens
    assert (report.usage.cost_usd is not None) == (stream in ("claude", "opencode"))


@pytest.mark.parametrize("stream", STREAMS)
def test_a_limit_that_names_a_time_is_kept(stream: Stream) -> None:
    """Where the client passes it on: two of them keep it to themselves."""
    end = report_of(stream, "error_429").end

    assert end is not None
    assert end.retry_after_s == (1.0 if stream in ("gemini", "opencode") else None)


@pytest.mark.parametrize("stream", STREAMS)
def test_only_the_last_word_ends_it(stream: Stream) -> None:
    """No line before it does."""
    run = recorded(f"{stream}/success")
    reader = a_reader(stream)
    ended = []
    for line in run.stdout.splitlines(keepends=True):
        reader.feed(line)
        ended.append(reader.has_ended)

    assert ended == [False] * (len(ended) - 1) + [True]
