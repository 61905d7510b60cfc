"""The commands of a task's life (CONTRACT §3.2), said by operators."""

from typing import Any

import anyio
import pytest

from tests.core import OPERATOR, Core, running_core
from workgraph.commands import records
from workgraph.commands.context import Caller, Context
from workgraph.graph import requests as r
from workgraph.graph.errors import ConflictError, NotFoundError, UsageError, UserError
from workgraph.graph.inputs import HashedFile
from workgraph.graph.model import AgentStatus, Failure, Outcome
from workgraph.graph.replies import Reply

IDLE = "dispatcher.max_agents=0"


async def test_claim_makes_a_person_hold_the_task() -> None:
    """A claim is an attempt without a process, and no actor is made of the name."""
    async with running_core(IDLE) as core:
        task = await core.add("t")

        reply = await core.do(r.ClaimTask(task=task, actor="alice"))

        assert (reply.data.status, reply.data.attempts) == ("in-progress", 1)
        (attempt,) = await core.agents(task)
        assert (attempt.human, attempt.actor, attempt.status) == (
            True,
            "alice",
            AgentStatus.WORKING,
        )
        assert core.launcher.orders == []


@pytest.mark.parametrize(
    "options",
    [{"after": ("first",)}, {"paused": True}, {"not_before": "1h"}],
    ids=["dependency", "paused", "not-before"],
)
async def test_only_a_ready_task_can_be_claimed(options: dict[str, object]) -> None:
    """What is not ready is refused; `--force` takes it all the same."""
    async with running_core(IDLE) as core:
        await core.add("first", id="first")
        task = await core.add("t", **options)
        with pytest.raises(UserError, match="not ready"):
            await core.do(r.ClaimTask(task=task))

        await core.do(r.ClaimTask(task=task, force=True))

        assert await core.status(task) == "in-progress"


async def test_of_many_claims_one_wins() -> None:
    """Claims that race are serialised, and all but one are conflicts."""
    outcomes: list[str] = []

    async def claim(core: Core, task: str, name: str) -> None:
        try:
            await core.engine.answer(r.ClaimTask(task=task), Caller(name=name))
            outcomes.append("won")
        except ConflictError:
            outcomes.append("lost")

    async with running_core(IDLE) as core:
        task = await core.add("t")

        async with anyio.create_task_group() as group:
            for n in range(24):
                group.start_soon(claim, core, task, f"p{n}")

        assert sorted(outcomes) == ["lost"] * 23 + ["won"]


async def test_unclaim_gives_the_attempt_back() -> None:
    """After `unclaim` the task is open, and the start was not counted."""
    async with running_core(IDLE) as core:
        task = await core.add("t")
        await core.do(r.ClaimTask(task=task))

        await core.do(r.UnclaimTask(task=task))

        row = await core.task(task)
        assert (row.status, row.attempts, row.claimed_by) == ("open", 0, None)
        (attempt,) = await core.agents(task)
        assert (attempt.status, attempt.counted) == (AgentStatus.ENDED, False)


async def test_unclaim_of_what_nobody_holds_is_refused() -> None:
    """There is nothing to give back."""
    async with running_core(IDLE) as core:
        task = await core.add("t")

        with pytest.raises(UserError, match="nobody holds it"):
            await core.do(r.UnclaimTask(task=task))


async def test_next_gives_the_best_and_claims_it_in_one_step() -> None:
    """The urgent one first; exit 1 and no data when there is none."""
    async with running_core(IDLE) as core:
        await core.add("later")
        await core.add("first", priority=0)

        seen = await core.do(r.NextTask(actor="alice"))
        assert (seen.data.id, seen.data.status) == ("first", "open")
        taken = [
            (await core.do(r.NextTask(actor="alice", claim=True))).data.id
            for _ in range(2)
        ]

        assert taken == ["first", "later"]
        assert await core.do(r.NextTask(actor="alice", claim=True)) == Reply(
            data=None, exit_code=1
        )


async def test_next_leaves_what_is_meant_for_others() -> None:
    """A task with an actor is offered to that one alone."""
    async with running_core(IDLE) as core:
        await core.add("hers", actor="alice")

        assert (await core.do(r.NextTask(actor="bob"))).exit_code == 1
        assert (await core.do(r.NextTask(actor="alice"))).data.id == "hers"


async def test_done_by_a_person_ends_the_claim() -> None:
    """Done, with the summary, and the attempt's outcome says so."""
    async with running_core(IDLE) as core:
        task = await core.add("t")
        await core.do(r.ClaimTask(task=task))

        await core.do(r.FinishTask(task=task, summary="it works"))

        row = await core.task(task)
        assert (row.status, row.summary, row.claimed_by) == ("done", "it works", None)
        (attempt,) = await core.agents(task)
        assert (attempt.outcome, attempt.counted) == (Outcome.DONE, True)


async def test_submit_waits_for_a_person() -> None:
    """`submit` leads to pending-review, `approve` to done; twice is once."""
    async with running_core(IDLE) as core:
        task = await core.add("t")
        await core.do(r.ClaimTask(task=task))
        await core.do(r.SubmitTask(task=task))
        assert await core.status(task) == "pending-review"
        assert await core.why(task) == ["pending_review"]

        for _ in range(2):
            reply = await core.do(r.ApproveTask(task=task))

            assert reply.data.status == "done"


async def test_reject_reserves_the_task_for_its_person() -> None:
    """Open again with the reason, and nobody else gets it until `unclaim`."""
    async with running_core() as core:
        task = await core.add("t", actor="alice")
        await core.do(r.ClaimTask(task=task, actor="alice"))
        await core.do(r.SubmitTask(task=task))

        await core.do(r.RejectTask(task=task, reason="no tests"))

        row = await core.task(task)
        assert (row.status, row.reserved_for, row.failure) == (
            "open",
            "alice",
            Failure(class_="rejected", reason="no tests"),
        )
        with pytest.raises(ConflictError, match="reserved for alice"):
            await core.do(r.ClaimTask(task=task, actor="bob"))
        await core.do(r.UnclaimTask(task=task))
        await core.do(r.ClaimTask(task=task, actor="bob"))


async def test_no_agent_is_started_on_what_is_reserved() -> None:
    """The dispatcher is one of those who have to leave it alone."""
    async with running_core(IDLE) as core:
        task = await core.add("t")
        await core.do(r.ClaimTask(task=task, actor="alice"))
        await core.do(r.SubmitTask(task=task))
        await core.do(r.RejectTask(task=task, reason="no tests"))

        core.engine.max_agents = 4
        await core.settle()

        assert await core.status(task) == "open"
        assert "reserved" in await core.why(task)
        assert (await core.do(r.GetServiceStatus())).data.ready == 0
        await core.do(r.UnclaimTask(task=task))
        assert await core.status(task) == "in-progress"


async def test_reject_fails_when_no_attempt_is_left() -> None:
    """The last attempt that is rejected is the end."""
    async with running_core(IDLE) as core:
        task = await core.add("t", max_attempts=1)
        await core.do(r.ClaimTask(task=task))
        await core.do(r.SubmitTask(task=task))

        await core.do(r.RejectTask(task=task, reason="no"))

        assert await core.status(task) == "failed"
        assert await core.why(task) == ["attempts_exhausted"]


async def test_review_needs_something_to_review() -> None:
    """`approve` and `reject` of an open task are refused."""
    async with running_core(IDLE) as core:
        task = await core.add("t")

        for request in (r.ApproveTask(task=task), r.RejectTask(task=task, reason="x")):
            with pytest.raises(UserError, match="nothing to review"):
                await core.do(request)


async def test_fail_is_final_by_default() -> None:
    """The worker's own verdict ends the task; saying it twice is once."""
    async with running_core(IDLE) as core:
        task = await core.add("t")
        await core.do(r.ClaimTask(task=task))

        for _ in range(2):
            await core.do(r.FailTask(task=task, reason="impossible"))

            row = await core.task(task)
            assert (row.status, row.failure) == (
                "failed",
                Failure(class_="failed", reason="impossible"),
            )


async def test_fail_gives_another_attempt_where_the_task_says_so() -> None:
    """`--retry-on failure`: open, with a backoff, until attempts are used up."""
    async with running_core(IDLE) as core:
        task = await core.add("t", retry_on="failure", max_attempts=2)
        await core.do(r.ClaimTask(task=task))
        await core.do(r.FailTask(task=task, reason="once"))
        assert await core.why(task) == ["backoff"]

        core.clock.advance(11)
        await core.do(r.ClaimTask(task=task))
        await core.do(r.FailTask(task=task, reason="twice"))

        row = await core.task(task)
        assert (row.status, row.attempts) == ("failed", 2)


async def test_fail_needs_a_claim() -> None:
    """What nobody works on is abandoned, not failed."""
    async with running_core(IDLE) as core:
        task = await core.add("t")

        with pytest.raises(UserError, match="only a task in progress"):
            await core.do(r.FailTask(task=task, reason="x"))


async def test_retry_starts_a_new_count() -> None:
    """Open again with no attempts, and the ordinal of attempts goes on."""
    async with running_core() as core:
        task = await core.add("t", max_attempts=1)
        await core.crash(task)
        assert await core.status(task) == "failed"

        await core.do(r.RetryTasks(task=task))

        row = await core.task(task)
        assert (row.status, row.attempts, row.failure) == ("in-progress", 1, None)
        assert [agent.attempt for agent in await core.agents(task)] == [1, 2]


async def test_retry_changes_model_and_executor() -> None:
    """`--set-model` and `--set-executor` go into the task."""
    async with running_core(IDLE) as core:
        task = await core.add("t", executor="claude")
        await core.do(r.AbandonTask(task=task))

        await core.do(r.RetryTasks(task=task, set_model="m", set_executor="codex"))

        spec = (await core.task(task)).spec
        assert (spec.model, spec.executor) == ("m", "codex")


async def test_retry_of_all_failed_by_tag() -> None:
    """`--failed --tag` takes just these; `--dry-run` changes nothing."""
    async with running_core() as core:
        mine = await core.add("a", tag=("x",))
        other = await core.add("b")
        await core.exit(mine, 1)
        await core.exit(other, 1)
        request = r.RetryTasks(failed=True, tag="x")

        dry = await core.do(r.RetryTasks(failed=True, tag="x", dry_run=True))
        assert dry.notes == ("would retry a",)
        assert await core.status(mine) == "failed"
        await core.do(request)

        assert await core.status(mine) == "in-progress"
        assert await core.status(other) == "failed"


@pytest.mark.parametrize(
    "request_",
    [r.RetryTasks(), r.RetryTasks(task="t", failed=True)],
    ids=["neither", "both"],
)
async def test_retry_wants_names_or_failed(request_: r.RetryTasks) -> None:
    """Neither or both is wrong usage."""
    async with running_core(IDLE) as core:
        with pytest.raises(UsageError):
            await core.do(request_)


async def test_retry_of_what_has_not_ended_is_refused() -> None:
    """And then none of those that were named is retried."""
    async with running_core(IDLE) as core:
        ended = await core.add("a")
        await core.do(r.AbandonTask(task=ended))
        await core.add("b")

        with pytest.raises(UserError, match="only what has ended"):
            await core.do(r.RetryTasks(task=(ended, "b")))

        assert await core.status(ended) == "abandoned"


async def test_retry_of_a_done_task_holds_its_dependents_again() -> None:
    """What waited for it waits once more."""
    async with running_core(IDLE) as core:
        a = await core.add("a")
        b = await core.add("b", after=(a,))
        await core.do(r.FinishTask(task=a))
        assert (await core.task(b)).unmet == 0

        await core.do(r.RetryTasks(task=a))

        assert (await core.task(b)).unmet == 1


async def test_abandon_releases_and_names_dependents() -> None:
    """Whoever waits goes on; abandoning twice is once; a done task is refused."""
    async with running_core(IDLE) as core:
        a = await core.add("a")
        b = await core.add("b", after=(a,))

        for notes in ((f"released: {b}",), ()):
            assert (await core.do(r.AbandonTask(task=a))).notes == notes

        assert (await core.task(b)).unmet == 0
        await core.do(r.FinishTask(task=b))
        with pytest.raises(UserError, match="is done"):
            await core.do(r.AbandonTask(task=b))


async def test_abandon_with_an_heir_moves_the_dependents() -> None:
    """They wait for the heir instead, in the kind of edge that they had."""
    async with running_core(IDLE) as core:
        a = await core.add("a")
        heir = await core.add("heir")
        b = await core.add("b", after=(a,))
        c = await core.add("c")
        await core.do(r.LinkTask(task=c, after=a, on="settled"))

        reply = await core.do(r.AbandonTask(task=a, superseded_by=heir))

        assert reply.notes == (f"now wait for {heir}: {b}, {c}",)
        assert reply.data.superseded_by == heir
        after = [(await core.do(r.ShowTask(task=t))).data.after for t in (b, c)]
        assert [[(e.id, e.on) for e in edges] for edges in after] == [
            [(heir, "done")],
            [(heir, "settled")],
        ]


@pytest.mark.parametrize("running", [False, True])
async def test_an_heir_that_would_close_a_cycle_is_refused(running: bool) -> None:
    """Before anything is ended, and the graph is as before."""
    async with running_core("dispatcher.max_agents=1" if running else IDLE) as core:
        a = await core.add("a")
        b = await core.add("b", after=(a,))
        heir = await core.add("heir", after=(b,))

        with pytest.raises(UserError, match="can't wait for"):
            await core.do(r.AbandonTask(task=a, superseded_by=heir))

        assert await core.status(a) == ("in-progress" if running else "open")
        assert core.launcher.stops == []
        assert all(reactor.ok for reactor in core.engine.reactors)


async def test_an_heir_has_to_exist_and_be_another() -> None:
    """An unknown id is not found; oneself is refused."""
    async with running_core(IDLE) as core:
        a = await core.add("a")

        with pytest.raises(NotFoundError):
            await core.do(r.AbandonTask(task=a, superseded_by="nobody"))
        with pytest.raises(UserError, match="by itself"):
            await core.do(r.AbandonTask(task=a, superseded_by=a))


async def test_abandon_ends_a_persons_claim() -> None:
    """The claim is gone and the attempt was not counted."""
    async with running_core(IDLE) as core:
        task = await core.add("t")
        await core.do(r.ClaimTask(task=task))

        await core.do(r.AbandonTask(task=task, reason="no need"))

        assert await core.status(task) == "abandoned"
        (attempt,) = await core.agents(task)
        assert (attempt.status, attempt.counted) == (AgentStatus.ENDED, False)


async def test_pause_lets_a_running_agent_finish() -> None:
    """The flag keeps the next start back, not the work that goes on."""
    async with running_core() as core:
        task = await core.add("t")
        await core.do(r.Pause(task=task))
        assert core.launcher.running() == (1,)

        await core.crash(task)
        core.clock.advance(60)
        await core.settle()

        assert await core.why(task) == ["paused"]
        await core.do(r.Resume(task=task))
        assert await core.status(task) == "in-progress"


async def test_log_and_progress_are_kept() -> None:
    """Both are entries of the log; the last progress is on the task."""
    async with running_core(IDLE) as core:
        task = await core.add("t")

        await core.do(r.Log(task=task, message="hello"))
        await core.do(r.ReportProgress(task=task, percent=40, message="half"))

        entries = (await core.do(r.Log(task=task, list=True))).data
        assert [(e.kind, e.message, e.percent) for e in entries[-2:]] == [
            ("log", "hello", None),
            ("progress", "half", 40.0),
        ]
        progress = (await core.task(task)).progress
        assert progress is not None
        assert (progress.percent, progress.message) == (40.0, "half")


@pytest.mark.parametrize("percent", [-1.0, 100.5, float("nan")])
async def test_progress_is_a_percentage(percent: float) -> None:
    """What is not between 0 and 100 is wrong usage."""
    async with running_core(IDLE) as core:
        task = await core.add("t")

        with pytest.raises(UsageError):
            await core.do(r.ReportProgress(task=task, percent=percent))


@pytest.mark.parametrize(
    "request_",
    [
        r.ClaimTask(task="bild"),
        r.UnclaimTask(task="bild"),
        r.FinishTask(task="bild"),
        r.SubmitTask(task="bild"),
        r.ApproveTask(task="bild"),
        r.RejectTask(task="bild", reason="x"),
        r.FailTask(task="bild", reason="x"),
        r.RetryTasks(task="bild"),
        r.AbandonTask(task="bild"),
        r.Pause(task="bild"),
        r.Resume(task="bild"),
        r.Log(task="bild", message="x"),
        r.ReportProgress(task="bild", percent=1),
        r.Heartbeat(task="bild"),
    ],
    ids=lambda request: type(request).__name__,
)
async def test_an_unknown_id_offers_the_nearest(request_: r.AnyRequest) -> None:
    """Every command says what was meant, and writes nothing."""
    async with running_core(IDLE) as core:
        await core.add("build")
        before = await core.changes()

        with pytest.raises(NotFoundError) as raised:
            await core.do(request_)

        assert raised.value.hint == "did you mean build?"
        assert await core.changes() == before


async def test_a_consumer_of_an_older_version_is_stale() -> None:
    """Its input was recorded again since; the same content again changes nothing."""
    async with running_core() as core:
        content = "0"

        def record(context: Context) -> object:
            request = r.RecordArtifact(path="/project/out.json", task="a")
            file = HashedFile(path=request.path, sha256=content * 64, size=1)
            return records.record_artifact(context, request, file)

        producer = await core.add("a", id="a")
        await core.engine.ask(record, OPERATOR)
        core.clock.advance(1)
        await core.exit(producer)
        consumer = await core.add("b", input=("a:out.json",))
        await core.exit(consumer)
        assert (await core.do(r.ListTasks(stale=True))).data == ()

        core.clock.advance(1)
        await core.engine.ask(record, OPERATOR)
        assert (await core.do(r.ListTasks(stale=True))).data == ()
        content = "1"
        await core.engine.ask(record, OPERATOR)

        stale = (await core.do(r.ListTasks(stale=True))).data
        assert [task.id for task in stale] == [consumer]
        (given,) = stale[0].stale
        assert (given.producer, given.name) == ("a", "out.json")
        assert (given.given, given.now) == ("0" * 64, "1" * 64)


async def test_edit_takes_every_optional_value_away() -> None:
    """Numbers and choices by null, as the empty text is for them; texts by an empty."""
    async with running_core() as core:
        plain = await core.task(await core.add("plain", paused=True))
        task = await core.add(
            "full",
            paused=True,
            priority=0,
            complexity="simple",
            review="human",
            max_attempts=9,
            retry_on="failure",
            timeout="5m",
            stall_timeout="5m",
            abandon_after="5m",
            estimate="5m",
            budget_tokens=5,
            budget_usd=5.0,
            context_scope="graph",
        )
        gone: dict[str, Any] = dict.fromkeys(
            ("priority", "complexity", "review", "max_attempts", "retry_on")
        )
        gone |= dict.fromkeys(("budget_tokens", "budget_usd", "context_scope"))
        texts: dict[str, Any] = dict.fromkeys(
            ("timeout", "stall_timeout", "abandon_after", "estimate"), ""
        )

        await core.do(r.EditTask(task=task, title="plain", **gone, **texts))

        row = await core.task(task)
        assert (row.spec, row.priority) == (plain.spec, plain.priority)
