"""From the model to replies: every field arrives, effective values are shown."""

from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from workgraph.commands.shapes import agent_data, change_data, log_data, task_data
from workgraph.graph.changes import Change, ChangeKind
from workgraph.graph.model import (
    Agent,
    AgentStatus,
    Artifact,
    Edge,
    Outcome,
    ProcessId,
    Progress,
    Task,
    TaskSpec,
    Usage,
)
from workgraph.graph.replies import (
    AgentData,
    ChangeData,
    LogData,
    ProgressData,
    UsageData,
)
from workgraph.graph.status import Status

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
OPTIONAL = st.none() | TEXT
TEXTS = st.lists(TEXT, max_size=3).map(tuple)
SECONDS = st.none() | st.floats(0, 1e9)
COUNT = st.none() | st.integers(1, 2**53)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2)
    ),
    max_leaves=4,
)
SPECS = st.builds(
    TaskSpec,
    title=TEXT,
    description=TEXT,
    tags=TEXTS,
    requires_skills=TEXTS,
    prefers_skills=TEXTS,
    complexity=st.sampled_from([None, "simple", "moderate", "complex"]),
    inputs=TEXTS,
    outputs=TEXTS,
    context_files=TEXTS,
    prompt=OPTIONAL,
    exec=OPTIONAL,
    executor=OPTIONAL,
    model=OPTIONAL,
    endpoint=OPTIONAL,
    tools=TEXTS,
    working_dir=OPTIONAL,
    env=st.dictionaries(TEXT, TEXT, max_size=3),
    verify=TEXTS,
    review=st.sampled_from([None, "human", "reward", "none"]),
    max_attempts=COUNT,
    retry_on=st.sampled_from([None, "crash", "failure"]),
    timeout_s=SECONDS,
    stall_timeout_s=SECONDS,
    abandon_after_s=SECONDS,
    independent=st.booleans(),
    estimate_s=SECONDS,
    budget_tokens=COUNT,
    budget_usd=SECONDS,
    context_scope=st.sampled_from([None, "clean", "task", "graph", "full"]),
    metadata=st.dictionaries(TEXT, JSON, max_size=2),
)


def a_task(**values: object) -> Task:
    """An open task of no interest."""
    task = Task(
        seq=1,
        id="a",
        spec=TaskSpec(title="A"),
        status=Status.OPEN,
        priority=2,
        paused=False,
        unmet=0,
        chain=1,
        actor=None,
        actor_matched=False,
        claimed_by=None,
        claimed_at=None,
        reserved_for=None,
        attempts=0,
        starts=0,
        not_before=None,
        retry_at=None,
        start_after=None,
        parked=None,
        gate=None,
        failure=None,
        progress=None,
        usage=Usage(),
        summary=None,
        superseded_by=None,
        added_by=None,
        depth=0,
        last_agent=None,
        created_at=0,
        started_at=None,
        completed_at=None,
        updated_at=0,
    )
    return structs.replace(task, **values)


#: The task's data with defaults of no interest.
shown = partial(
    task_data,
    after=(),
    before=(),
    artifacts=(),
    ready=False,
    max_attempts_default=3,
    retry_on_default="crash",
)


@given(SPECS)
def test_every_field_of_a_spec_survives_json(spec: TaskSpec) -> None:
    """Task → data → JSON → spec is the same, but for the two that show a default."""
    data = shown(a_task(spec=spec), max_attempts_default=7, retry_on_default="failure")

    document = msgspec.json.decode(msgspec.json.encode(data))
    kept = {name: document[name] for name in TaskSpec.__struct_fields__}
    back = msgspec.convert(kept, TaskSpec)

    assert back == structs.replace(
        spec,
        max_attempts=7 if spec.max_attempts is None else spec.max_attempts,
        retry_on="failure" if spec.retry_on is None else spec.retry_on,
    )


def test_every_field_is_drawn() -> None:
    """A new field of `TaskSpec` needs a strategy above."""
    drawn = set(SPECS.wrapped_strategy.kwargs)  # type: ignore[attr-defined]

    assert drawn == set(TaskSpec.__struct_fields__)


def test_every_key_of_the_contract_is_there() -> None:
    """Absent values are null or empty, never missing."""
    named = (
        "id title description status ready paused priority after before tags"
        " requires_skills prefers_skills complexity inputs outputs context_files"
        " artifacts prompt exec executor model endpoint tools working_dir env verify"
        " review actor agent attempts max_attempts retry_on retry_at timeout_s"
        " abandon_after_s not_before failure progress usage reward estimate_s"
        " created_at started_at completed_at"
    )

    document = msgspec.json.decode(msgspec.json.encode(shown(a_task())))

    assert set(named.split()) <= set(document)
    assert set(TaskSpec.__struct_fields__) <= set(document)


def test_relations_and_moments_are_shown() -> None:
    """Edges, artifacts and times are passed on."""
    edge = Edge(id="b", on="settled")
    artifact = Artifact(name="o", path="/o", sha256="0", size=1, agent=None)
    task = a_task(
        not_before=1_000, progress=Progress(percent=40.0, message="half", at=2_000)
    )

    data = shown(task, after=(edge,), before=("c",), artifacts=(artifact,), ready=True)

    assert (data.after, data.before, data.artifacts) == ((edge,), ("c",), (artifact,))
    assert data.ready
    assert data.not_before == "1970-01-01T00:00:00.001Z"
    assert data.progress == ProgressData(
        percent=40.0, message="half", at="1970-01-01T00:00:00.002Z"
    )


@pytest.mark.parametrize(
    ("status", "agent"),
    [
        (Status.OPEN, None),
        (Status.IN_PROGRESS, "agent-2"),
        (Status.WAITING, None),
        (Status.PENDING_REVIEW, "agent-1"),
        (Status.DONE, "agent-1"),
        (Status.FAILED, "agent-1"),
        (Status.ABANDONED, "agent-1"),
    ],
)
def test_agent_is_the_one_that_matters(status: Status, agent: str | None) -> None:
    """The holder in progress, nobody while it waits, else the last."""
    held = "agent-2" if status is Status.IN_PROGRESS else None

    data = shown(a_task(status=status, claimed_by=held, last_agent="agent-1"))

    assert data.agent == agent


def test_person_who_holds_a_task_is_its_actor() -> None:
    """The person's name, not the assigned actor's."""
    task = a_task(status=Status.IN_PROGRESS, claimed_by="agent-2", actor="bot")

    data = shown(task, holder="ada")

    assert (data.actor, data.agent, data.claimed_by) == ("ada", "agent-2", "ada")


def test_agent_is_shown() -> None:
    """Each field of an attempt has its place."""
    agent = Agent(
        number=17,
        task="a",
        attempt=2,
        actor="bot",
        executor="claude",
        model="opus",
        endpoint=None,
        status=AgentStatus.ENDED,
        human=False,
        outcome=Outcome.TIMED_OUT,
        exit_code=None,
        signal=15,
        process=ProcessId(pid=99, boot_id="b", start_ticks=1),
        folder_inode=None,
        verdict=None,
        reason="too long",
        stop=None,
        counted=True,
        workspace="/w",
        timeout_at=None,
        started_at=0,
        ended_at=2_000_000,
        last_activity_at=1_000_000,
        usage=Usage(input_tokens=1),
        leftover=(ProcessId(pid=7, boot_id="b", start_ticks=2),),
    )

    assert agent_data(agent) == AgentData(
        id="agent-17",
        task="a",
        attempt=2,
        actor="bot",
        executor="claude",
        model="opus",
        endpoint=None,
        status="ended",
        outcome="timed-out",
        exit_code=None,
        signal=15,
        pid=99,
        started_at="1970-01-01T00:00:00.000Z",
        ended_at="1970-01-01T00:00:02.000Z",
        last_activity_at="1970-01-01T00:00:01.000Z",
        usage=UsageData(input_tokens=1, output_tokens=None, cost_usd=None),
        workspace="/w",
        reason="too long",
        leftover=(7,),
    )


def test_change_is_shown() -> None:
    """`from` is spelt as the contract has it."""
    change = Change(
        seq=5,
        at=0,
        kind=ChangeKind.STATUS_CHANGED,
        task="a",
        from_="open",
        to="done",
        reason="R",
    )

    data = change_data(change)

    assert data == ChangeData(
        seq=5,
        at="1970-01-01T00:00:00.000Z",
        kind="status_changed",
        task="a",
        agent=None,
        actor=None,
        by="workgraph",
        from_="open",
        to="done",
        reason="R",
    )
    assert msgspec.json.decode(msgspec.json.encode(data))["from"] == "open"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": ChangeKind.TASK_LOGGED, "reason": "half way"}, "half way"),
        ({"kind": ChangeKind.TASK_LOGGED, "reason": None}, ""),
        (
            {
                "kind": ChangeKind.STATUS_CHANGED,
                "from_": "open",
                "to": "done",
                "reason": "R",
            },
            "open → done: R",
        ),
        ({"kind": ChangeKind.AGENT_STARTED, "to": "working"}, "working"),
    ],
)
def test_log_has_words_and_what_the_machinery_did(
    values: dict[str, Any], message: str
) -> None:
    """A change is one entry, whoever made it."""
    change = Change(seq=5, at=0, task="a", by="ada", percent=40.0, **values)

    assert log_data(change) == LogData(
        at="1970-01-01T00:00:00.000Z",
        by="ada",
        agent=None,
        attempt=None,
        kind=str(values["kind"]),
        message=message,
        percent=40.0,
    )
