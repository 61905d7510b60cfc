import pytest

from tests.graph.builders import an_agent
from workgraph.commands.limits import BURST, MAX_TEXT_BYTES, Rates, check_sizes
from workgraph.graph import requests as r
from workgraph.graph.errors import TryLaterError, UserError


@pytest.mark.parametrize(
    "request_",
    [
        r.AddTask(title="x" * (MAX_TEXT_BYTES + 1)),
        r.AddTask(title="x", description="ü" * (MAX_TEXT_BYTES // 2 + 1)),
        r.AddTask(title="x", tag=("y" * (MAX_TEXT_BYTES + 1),)),
        r.AddTask(title="x", after=("y",) * 10_001),
        r.Log(task="t", message="x" * (MAX_TEXT_BYTES + 1)),
        r.RetryTasks(task=("t",) * 10_001),
    ],
)
def test_what_is_too_long_is_refused(request_: r.AnyRequest) -> None:
    """In bytes, as they travel; lists by their entries."""
    with pytest.raises(UserError, match=r"bytes long|too many") as raised:
        check_sizes(request_)

    assert raised.value.hint


@pytest.mark.parametrize(
    "request_",
    [
        r.AddTask(title="x" * MAX_TEXT_BYTES, after=("y",) * 10_000),
        r.ImportGraph(text="x" * (MAX_TEXT_BYTES + 1)),
        r.AddTask(title="\udc80"),
    ],
)
def test_what_fits_is_taken(request_: r.AnyRequest) -> None:
    """An import is as long as the graph is."""
    check_sizes(request_)


def test_an_attempt_may_say_much_at_once_and_less_for_long() -> None:
    """What is left grows with the time, up to where it began; others have their own."""
    rates = Rates()
    one, other = an_agent(number=1), an_agent(number=2)
    log = r.Log(task="t", message="x")
    for _ in range(int(BURST) - 1):
        rates.spend(one, log, 0.0)

    with pytest.raises(TryLaterError) as raised:
        rates.spend(one, log, 0.0)

    assert raised.value.exit_code == 75
    rates.spend(other, log, 0.0)
    rates.spend(one, log, 0.1)
    for _ in range(int(BURST) - 1):
        rates.spend(one, log, 1000.0)
    with pytest.raises(TryLaterError):
        rates.spend(one, log, 1000.0)


def test_a_long_text_counts_for_many() -> None:
    """Ninety of 100 KiB are as many as an attempt may say at once."""
    rates = Rates()
    log = r.Log(task="t", message="x" * 100 * 1024)
    for _ in range(90):
        rates.spend(an_agent(number=1), log, 0.0)

    with pytest.raises(TryLaterError):
        rates.spend(an_agent(number=1), log, 0.0)


@pytest.mark.parametrize(
    "request_",
    [r.FinishTask(task="t"), r.FailTask(task="t", reason="x"), r.ListTasks()],
)
def test_a_verdict_is_never_too_much(request_: r.AnyRequest) -> None:
    """Nor is reading."""
    rates = Rates()
    for _ in range(5000):
        rates.spend(an_agent(number=1), request_, 0.0)
