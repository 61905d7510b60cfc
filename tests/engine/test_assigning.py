"""Who does what: matching in the tick, capacity, people's words, and an assigner."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.core import OPERATOR, Core, running_core
from workgraph.daemon.assigning import take_assignment
from workgraph.daemon.starting import Starting
from workgraph.graph import identity_requests as q
from workgraph.graph import requests as r
from workgraph.graph.assigning import AssignTask
from workgraph.graph.errors import ConflictError, ForbiddenError, UserError
from workgraph.graph.identity import actor_id
from workgraph.graph.model import Actor
from workgraph.store import errands, service
from workgraph.store.candidates import wake_parked
from workgraph.store.database import Tx
from workgraph.store.identities import insert_actor

ONE_SLOT = "dispatcher.max_agents=1"


async def add_actor(core: Core, name: str, *skills: str, **fields: Any) -> Actor:
    """What `wg actor add` does."""
    actor = Actor(id=actor_id(name=name), name=name, skills=skills, **fields)

    def add(tx: Tx) -> None:
        insert_actor(tx, actor)
        wake_parked(tx)

    await change(core, add)
    return actor


async def remove_actor(core: Core, name: str) -> None:
    """What `wg actor rm` does."""

    def remove(tx: Tx) -> None:
        tx.run("update identities set retired_at = ? where name = ?", (tx.now, name))

    await change(core, remove)


async def change(core: Core, job: Callable[[Tx], object]) -> None:
    """Changes the graph, and lets what follows from it happen."""
    await core.store.transaction(job, core.clock.now())
    core.engine.wake()
    await core.settle()


async def rows(core: Core, sql: str) -> list[tuple[Any, ...]]:
    """What a query gives."""
    return await core.store.read(lambda tx: tx.all(sql), core.clock.now())


async def kinds(core: Core, kind: str) -> list[str | None]:
    """The tasks of all changes of a kind."""
    return [one.task for one in await core.changes() if one.kind == kind]


async def why(core: Core, task: str) -> tuple[str, str, str]:
    """The only reason why a task is not running."""
    (reason,) = (await core.do(r.ExplainTask(task=task))).data.reasons
    return reason.code, reason.message, reason.remedy


async def test_the_usual_project_has_one_actor_that_does_all() -> None:
    """A shell task is worked on by it, without a word on the choice; then it is not."""
    async with running_core() as core:
        await core.add("a", skill=("haskell",))

        (agent,) = await core.agents("a")
        task = await core.task("a")
        assert (agent.actor, agent.actor_id) == ("default", actor_id(name="default"))
        assert core.launcher.orders[0].env["WG_ACTOR"] == "default"
        assert (task.actor, task.actor_matched) == ("default", True)
        assert await rows(core, "select * from choices") == []
        assert await kinds(core, "assigned") == []

        await core.crash("a")

        task = await core.task("a")
        assert (task.status, task.actor, task.actor_matched) == ("open", None, False)


async def test_a_choice_is_kept_with_its_propensity_and_told() -> None:
    """A row for each attempt in which several could have been chosen."""
    async with running_core() as core:
        await add_actor(core, "ada", "python")
        await add_actor(core, "bob", "python")
        await core.add("a", skill=("python",))

        (choice,) = await rows(
            core, "select task, attempt, actor, propensity, candidates from choices"
        )
        task = await core.task("a")
        assert choice[:3] == ("a", 1, task.actor)
        assert task.actor in {"ada", "bob"}
        assert 0 < choice[3] <= 1
        assert '"actor":"bob"' in choice[4]
        (told,) = [one for one in await core.changes() if one.kind == "assigned"]
        assert (told.task, told.to, told.attempt) == ("a", task.actor, 1)


async def test_skills_filter_and_persons_and_officials_are_never_chosen() -> None:
    """Only who lacks nothing, is no person, and neither assigns nor judges."""
    async with running_core("agency.evaluator=judge") as core:
        await remove_actor(core, "default")
        await add_actor(core, "me", "*", human=True)
        await add_actor(core, "judge", "*")
        await add_actor(core, "ada", "python")
        await add_actor(core, "bob", "rust")

        await core.add("a", skill=("rust",))
        await core.add("b", skill=("law",))

        assert (await core.task("a")).actor == "bob"
        code, message, remedy = await why(core, "b")
        assert code == "no_capable_actor"
        assert "no actor has the skills law" in message
        assert "me could" in message
        assert "wg actor add NAME --skill law" in remedy
        assert "wg assign b me" in remedy


async def test_nobody_able_waits_for_an_actor_and_not_for_time() -> None:
    """It takes no slot, nothing polls, and it starts when one is there."""
    async with running_core(ONE_SLOT) as core:
        await remove_actor(core, "default")
        await core.add("law", skill=("law", "german"), priority=0)
        assert (await why(core, "law"))[0] == "no_capable_actor"
        assert await core.next_moment() is None

        await add_actor(core, "ada", "law")
        code, message, _ = await why(core, "law")
        assert (code, "ada lacks german" in message) == ("no_capable_actor", False)
        await core.add("free", skill=("law",))
        assert await core.status("free") == "in-progress"
        await core.exit("free")
        assert await core.status("law") == "open"
        assert await kinds(core, "task_parked") == ["law"]

        await add_actor(core, "eva", "law", "german")

        assert await core.status("law") == "in-progress"
        assert (await core.task("law")).actor == "eva"


async def test_an_edit_lets_a_task_go_that_nobody_could_do() -> None:
    """The skill is not required any more."""
    async with running_core() as core:
        await remove_actor(core, "default")
        await add_actor(core, "ada", "python")
        await core.add("a", skill=("law",))
        assert await core.why("a") == ["no_capable_actor"]

        await core.do(r.EditTask(task="a", remove_skill=("law",)))

        assert await core.status("a") == "in-progress"


@pytest.mark.parametrize("human", [False, True])
async def test_capacity_bounds_processes_and_claims(human: bool) -> None:
    """Whatever an actor works on counts; the next one is told who is busy."""
    async with running_core() as core:
        await remove_actor(core, "default")
        await add_actor(core, "ada", "python", capacity=1)
        if human:
            await core.do(r.Pause())
            await core.add("a")
            await core.do(r.ClaimTask(task="a", actor="ada"))
            await core.do(r.Resume())
        else:
            await core.add("a")

        await core.add("b")

        code, message, remedy = await why(core, "b")
        assert code == "actor_busy"
        assert "ada, which could do it, works on 1 now" in message
        assert "wg actor edit ada --capacity N" in remedy
        assert await core.next_moment() in {
            None,
            (await core.agents("a"))[0].timeout_at,
        }

        await core.do(r.FinishTask(task="a"))

        assert await core.status("b") == "in-progress"


async def test_waiting_for_one_actor_does_not_grow_with_its_queue() -> None:
    """Each is parked once, whatever ends: no wave of wakings at each end."""
    count = 100
    async with running_core("dispatcher.max_agents=4") as core:
        await remove_actor(core, "default")
        await add_actor(core, "ada", "python", capacity=1)
        await core.do(r.Pause())
        for n in range(count):
            await core.say(r.AddTask(title=f"t{n}", exec="true", skill=("python",)))
        await core.do(r.Resume())
        assert len(core.launcher.running()) == 1
        assert len(await kinds(core, "task_parked")) == count - 1

        for n in range(count):
            assert await core.status(f"t{n}") == "in-progress"  # in their order
            core.launcher.exit(await core.holder(f"t{n}"), code=0)
            await core.engine.settle()

        assert len(await kinds(core, "task_parked")) == count - 1
        assert (await core.store.read(service.counts, 0))["done"] == count
        assert len(await rows(core, "select id from tasks")) == count


async def test_those_behind_a_busy_actor_go_on() -> None:
    """Slots are for whom there is somebody; a busy one holds nobody else back."""
    async with running_core("dispatcher.max_agents=2") as core:
        await remove_actor(core, "default")
        await add_actor(core, "ada", "python", capacity=1)
        await add_actor(core, "bob", "rust")
        for n in range(5):
            await core.add(f"p{n}", skill=("python",), priority=0)

        await core.add("r", skill=("rust",))

        assert await core.status("r") == "in-progress"


async def test_a_person_assigns_and_what_a_person_says_stays() -> None:
    """By name or the beginning of its id; over attempts; until it is cleared."""
    async with running_core("dispatcher.max_agents=0") as core:
        ada = await add_actor(core, "ada", "python")
        await core.add("a", max_attempts=9)

        reply = await core.do(AssignTask(task="a", actor=ada.id[:8]))
        assert reply.data.actor == "ada"
        core.engine.max_agents = 1
        core.engine.wake()
        await core.settle()
        (agent,) = await core.agents("a")
        assert agent.actor_id == ada.id
        with pytest.raises(ConflictError, match="in progress"):
            await core.do(AssignTask(task="a", clear=True))
        core.engine.max_agents = 0
        await core.crash("a")
        assert (await core.task("a")).actor == "ada"

        await core.do(AssignTask(task="a", clear=True))

        assert (await core.task("a")).actor is None
        told = [one for one in await core.changes() if one.kind == "assigned"]
        assert [(one.from_, one.to, one.by) for one in told] == [
            (None, "ada", "me"),
            ("ada", None, "me"),
        ]


async def test_any_name_is_good_for_a_person() -> None:
    """Nobody starts it; it is the person's."""
    async with running_core() as core:
        await core.add("a", paused=True)
        await core.do(AssignTask(task="a", actor="zoe"))

        await core.do(r.Resume(task="a"))

        assert (await why(core, "a"))[0] == "assigned_to_person"
        taken = await core.do(r.NextTask(actor="zoe", claim=True))
        assert taken.data.id == "a"


async def test_auto_chooses_now_and_keeps_it_until_the_attempt_has_ended() -> None:
    """A machine's choice that stands, and is kept with its propensity."""
    async with running_core("dispatcher.max_agents=0") as core:
        await add_actor(core, "ada", "python")
        await add_actor(core, "bob", "python")
        await core.add("a", skill=("python",))

        reply = await core.do(AssignTask(task="a", auto=True))

        task = await core.task("a")
        assert reply.data.actor == task.actor
        assert task.actor_matched
        assert len(await rows(core, "select * from choices")) == 1


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (AssignTask(task="a", actor="ada"), "ada lacks law"),
        (AssignTask(task="a"), "one of the three"),
        (AssignTask(task="a", auto=True), "no actor has the skills law"),
        (r.EditTask(task="a", actor="ada"), "ada lacks law"),
        (r.AddTask(title="b", actor="ada", skill=("law",)), "ada lacks law"),
        (AssignTask(task="done", actor="ada"), "done is done"),
    ],
    ids=["assign", "none", "auto", "edit", "add", "settled"],
)
async def test_who_lacks_a_skill_is_not_assigned(
    request_: r.AnyRequest, message: str
) -> None:
    """By whatever command; nothing is changed."""
    async with running_core("dispatcher.max_agents=0") as core:
        await remove_actor(core, "default")
        await add_actor(core, "ada", "python")
        await core.add("a", skill=("law",))
        await core.add("done")
        await core.do(r.FinishTask(task="done"))

        with pytest.raises(UserError, match=message):
            await core.say(request_)

        assert (await core.task("a")).actor is None


async def test_a_skill_that_is_lost_afterwards_keeps_the_task_from_starting() -> None:
    """It is assigned to who could once; `--clear` leads on, and so does the skill."""
    async with running_core() as core:
        await add_actor(core, "ada", "python")
        await core.add("a", skill=("python",), actor="ada", paused=True)
        forget = "update identities set record = json_remove(record, '$.skills')"
        await change(core, lambda tx: tx.run(f"{forget} where name = 'ada'"))

        await core.do(r.Resume(task="a"))

        code, message, remedy = await why(core, "a")
        assert (code, message) == (
            "no_capable_actor",
            "it is assigned to ada, which lacks python",
        )
        assert remedy == "wg assign a --clear, or wg actor edit ada --skill python"
        with pytest.raises(UserError, match="ada lacks python"):
            await core.do(r.EditTask(task="a", actor="ada"))

        await core.do(AssignTask(task="a", clear=True))

        assert (await core.task("a")).actor == "default"


async def test_an_actor_that_was_removed_is_not_a_person() -> None:
    """What it was to do waits, and says so; it goes on when it is there again."""
    async with running_core() as core:
        await add_actor(core, "ada", "python")
        await core.add("a", actor="ada", paused=True)
        await remove_actor(core, "ada")

        await core.do(r.Resume(task="a"))

        code, message, _ = await why(core, "a")
        assert (code, "was removed" in message) == ("no_capable_actor", True)

        await change(
            core,
            lambda tx: tx.run("update identities set retired_at = null"),
        )
        await change(core, wake_parked)
        assert (await core.task("a")).claimed_by is not None


async def test_nothing_is_assigned_where_it_is_off() -> None:
    """As without actors; what requires skills waits for a person's word."""
    async with running_core("agency.auto_assign=off") as core:
        await core.add("a")
        await core.add("b", skill=("python",))

        assert (await core.task("a")).claimed_by is not None
        assert (await core.task("a")).actor is None
        code, message, remedy = await why(core, "b")
        assert (code, remedy) == ("no_capable_actor", "wg assign b NAME")
        assert "agency.auto_assign is off" in message

        await core.do(AssignTask(task="b", actor="default"))

        assert (await core.task("b")).actor == "default"
        assert await core.status("b") == "in-progress"


async def test_a_person_may_take_what_waits_for_an_actor() -> None:
    """`next` offers it to whoever can do it, and to nobody else."""
    async with running_core() as core:
        await remove_actor(core, "default")
        await add_actor(core, "ada", "python", human=True)
        await add_actor(core, "lex", "law", human=True)
        await core.add("a", skill=("law",))
        assert await core.why("a") == ["no_capable_actor"]

        assert (await core.do(r.NextTask(actor="ada"))).data is None
        assert (await core.do(r.NextTask(actor="lex", claim=True))).data.id == "a"


async def test_a_hundred_tasks_leave_a_hundred_nodes() -> None:
    """Matching makes no tasks."""
    async with running_core("dispatcher.max_agents=50") as core:
        await add_actor(core, "ada", "python")
        for n in range(100):
            await core.say(r.AddTask(title=f"t{n}", exec="true"))
        await core.settle()
        while running := core.launcher.running():
            for agent in running:
                core.launcher.exit(agent, code=0)
            await core.settle()

        counts = await core.store.read(service.counts, 0)
        assert counts["done"] == sum(counts.values()) == 100


async def test_what_could_not_be_assigned_is_not_started() -> None:
    """Its reactor fails: others go on, it is told, and next time they go."""
    async with running_core() as core:
        await add_actor(core, "ada", "python")
        record = "update identities set record = json_set(record, '$.id', {})"
        spoil = f"{record.format(7)} where name = 'ada'"
        await change(core, lambda tx: tx.run(spoil))

        await core.say(r.AddTask(title="a", exec="true"))
        await core.say(r.AddTask(title="b", exec="true", actor="default"))
        await core.settle()

        assert await core.status("a") == "open"
        assert (await core.task("a")).actor is None
        assert await core.status("b") == "in-progress"
        (told,) = [one for one in core.engine.reactors if not one.ok]
        assert (told.name, "ValidationError" in (told.error or "")) == ("assign", True)

        mend = f"{record.format('id')} where name = 'ada'"
        await core.store.transaction(lambda tx: tx.run(mend), 0)
        await core.advance(2)

        assert await core.status("a") == "in-progress"


ASKING = ("agency.auto_assign=actor", "agency.assigner=boss")


async def test_an_assigner_says_who_does_it() -> None:
    """`assign-a` comes first, a waits for it and says so, its word is used once."""
    async with running_core(*ASKING, ONE_SLOT) as core:
        await add_actor(core, "boss", "*")
        await add_actor(core, "ada", "python")
        await core.add("a", executor="claude", skill=("python",), priority=1)

        asked = await core.task("assign-a")
        assert (asked.status, asked.actor, asked.priority) == ("in-progress", "boss", 1)
        assert asked.spec.tags == ("assignment",)
        code, message, remedy = await why(core, "a")
        assert code == "awaiting_assignment"
        assert "assign-a" in message
        assert "wg assign a NAME" in remedy
        prompt = core.launcher.orders[0].files["prompt.md"]
        assert "===== actor\nada\n===== skills\npython\n" in prompt
        assert '{"actor": "NAME"}' in prompt
        boss = await core.agent_caller("assign-a")
        await core.do(AssignTask(task="a", actor="ada"), boss)
        await core.do(r.FinishTask(task="assign-a"), boss)
        assert boss.agent is not None
        core.launcher.exit(boss.agent.number, code=0)
        await core.settle()

        task = await core.task("a")
        assert (task.status, task.actor, task.actor_matched) == (
            "in-progress",
            "ada",
            True,
        )
        errand = await core.store.read(lambda tx: errands.find(tx, "assign-a"), 0)
        assert errand is not None
        assert errand.verdict == '{"actor":"ada"}'
        await core.crash("a")
        await core.advance(60)
        assert (await core.task("a")).status == "in-progress"  # by matching
        tasks = await rows(core, "select id from tasks order by seq")
        assert tasks == [("a",), ("assign-a",)]
        assert [one.id for one in (await core.do(r.ListTasks())).data] == ["a"]


@pytest.mark.parametrize("how", ["fails", "silent", "abandoned", "unable"])
async def test_an_assigner_never_blocks_work(how: str) -> None:
    """Its task ends otherwise than with a word: matching decides."""
    async with running_core(*ASKING) as core:
        executor = "nonesuch" if how == "unable" else "claude"
        await add_actor(core, "boss", "*", executor=executor)
        await core.add("a")
        match how:
            case "fails":
                for _ in range(3):
                    boss = await core.agent_caller("assign-a")
                    await core.do(r.FailTask(task="assign-a", reason="no"), boss)
                    assert boss.agent is not None
                    core.launcher.exit(boss.agent.number, code=1)
                    await core.advance(400)
            case "silent":
                for _ in range(3):
                    await core.exit("assign-a")
                    await core.advance(400)
            case "abandoned":
                await core.do(r.AbandonTask(task="assign-a"))
            case _:
                pass

        task = await core.task("a")
        assert (task.status, task.actor) == ("in-progress", "default")
        tasks = await rows(core, "select id from tasks order by seq")
        assert tasks == [("a",), ("assign-a",)]


@pytest.mark.parametrize("assigner", ["", "nobody", "me"])
async def test_without_an_assigner_that_is_started_matching_decides(
    assigner: str,
) -> None:
    """None, none that lives, or a person: nothing waits for them."""
    async with running_core(
        "agency.auto_assign=actor", f"agency.assigner={assigner}"
    ) as core:
        await add_actor(core, "me", "*", human=True)
        await core.add("a")

        assert (await core.task("a")).actor == "default"
        assert await rows(core, "select id from tasks") == [("a",)]


@pytest.mark.parametrize("tag", ["assignment", "reward", "evolution"])
async def test_what_the_machinery_makes_is_not_assigned(tag: str) -> None:
    """Neither by matching nor by an assigner."""
    async with running_core(*ASKING) as core:
        await add_actor(core, "boss", "*")
        await core.add("a", tag=(tag,))

        assert (await core.task("a")).actor is None
        assert await core.status("a") == "in-progress"
        assert await rows(core, "select id from tasks") == [("a",)]


async def test_no_more_are_asked_for_than_there_are_slots() -> None:
    """The others are asked for when it is their turn."""
    async with running_core(*ASKING, "dispatcher.max_agents=2") as core:
        await add_actor(core, "boss", "*")
        for n in range(5):
            await core.add(f"t{n}")

        assert len(await rows(core, "select task from errands")) == 2


async def test_a_person_who_assigns_calls_the_assigner_off() -> None:
    """The task waits for its word no longer."""
    async with running_core(*ASKING, ONE_SLOT) as core:
        await add_actor(core, "boss", "*")
        await core.add("a")
        await core.add("b")
        assert await core.status("assign-a") == "in-progress"

        await core.do(AssignTask(task="a", actor="default"))

        assert (await core.task("a")).unmet == 0
        await core.exit("assign-a")
        assert await core.status("a") == "in-progress"


async def test_only_its_own_errand_is_an_assigners() -> None:
    """Another task, and more than a name, are the operator's; so is all for others."""
    async with running_core(*ASKING) as core:
        await add_actor(core, "boss", "*")
        await core.add("a")
        await core.do(r.EditTask(task="a", priority=4))
        await core.add("b", actor="default")
        boss, other = (
            await core.agent_caller("assign-a"),
            await core.agent_caller("b"),
        )
        for request, caller in (
            (AssignTask(task="b", actor="default"), boss),
            (AssignTask(task="a", clear=True), boss),
            (AssignTask(task="a", auto=True), boss),
            (AssignTask(task="a", actor="default"), other),
        ):
            with pytest.raises(ForbiddenError):
                await core.do(request, caller)


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        ({}, "names no actor"),
        ({"actor": 7}, "names no actor"),
        ({"actor": "nobody"}, "no actor 'nobody'"),
        ({"actor": "ada"}, "ada lacks rust"),
        ({"actor": "me"}, "me is a person"),
        ({"actor": "boss"}, "boss assigns or judges"),
        ({"actor": "default", "because": "it can"}, None),
    ],
)
async def test_an_assigners_answer_is_checked(
    answer: dict[str, Any], wrong: str | None
) -> None:
    """A living actor that can do it and may be chosen; unknown keys are nothing."""
    async with running_core(*ASKING, ONE_SLOT) as core:
        await add_actor(core, "boss", "*")
        await add_actor(core, "ada", "python")
        await add_actor(core, "me", "*", human=True)
        await core.add("a", skill=("rust",))

        def take(tx: Tx) -> str | None:
            errand = errands.find(tx, "assign-a")
            assert errand is not None
            return take_assignment(tx, errand, answer, frozenset({"boss"}))

        said, _ = await core.store.transaction(take, core.clock.now())

        assert (wrong is None) == (said is None)
        assert wrong is None or wrong in (said or "")
        assert (await core.task("a")).actor == (None if wrong else "default")


async def test_spawn_and_plan_go_by_the_same_choice() -> None:
    """Who would do it is in the plan, and does it; who can't is refused."""
    async with running_core("dispatcher.max_agents=0") as core:
        await remove_actor(core, "default")
        ada = await add_actor(core, "ada", "python", capacity=1)
        await core.add("a")
        await core.add("law", skill=("law",))
        starting = Starting(core.engine)

        planned = (await starting.plan(r.GetPlan(task="a"), OPERATOR)).data
        assert planned["env"]["WG_ACTOR"]["value"] == "ada"
        await starting.spawn(r.SpawnAgent(task="a"), OPERATOR)

        (agent,) = await core.agents("a")
        assert agent.actor_id == ada.id
        assert (await core.task("a")).actor_matched
        await core.add("b")
        for refused, code in (("b", "actor_busy"), ("law", "no_capable_actor")):
            with pytest.raises(UserError) as error:
                await starting.spawn(r.SpawnAgent(task=refused), OPERATOR)
            assert error.value.code == code
        with pytest.raises(UserError, match="ada, which lacks law"):
            await starting.spawn(r.SpawnAgent(task="law", actor="ada"), OPERATOR)


@pytest.mark.parametrize(
    "asked",
    [
        AssignTask(task="assign-a", clear=True),
        AssignTask(task="assign-a", auto=True),
        r.EditTask(task="assign-a", actor=""),
    ],
)
async def test_an_errand_is_always_somebodys(asked: r.AnyRequest) -> None:
    """It is given to another by name, and never left open: nobody would do it."""
    async with running_core(*ASKING, ONE_SLOT) as core:
        await add_actor(core, "boss", "*")
        await core.add("a")
        await core.do(r.Pause())
        await core.crash("assign-a")

        with pytest.raises(UserError, match="assign-a is an errand"):
            await core.do(asked)

        assert (await core.task("assign-a")).actor == "boss"
        await core.do(AssignTask(task="assign-a", actor="default"))
        assert (await core.task("assign-a")).actor == "default"


@pytest.mark.parametrize("capacity", [1, None])
async def test_what_waits_for_somebody_goes_on_when_nobody_is_chosen(
    capacity: int | None,
) -> None:
    """Where it is off from now on a task is started without an actor, or says so."""
    async with running_core("dispatcher.max_agents=9") as core:
        if capacity is None:
            await core.do(q.RemoveActor(actor="default"))
        else:
            await core.do(q.EditActor(actor="default", capacity=capacity))
            await core.add("first")
        await core.add("a")
        await core.add("b", skill=("python",))
        assert await core.status("a") == "open"

        await core.configure("dispatcher.max_agents=9", "agency.auto_assign=off")

        assert await core.status("a") == "in-progress"
        assert (await core.task("a")).actor is None
        code, message, _ = await why(core, "b")
        assert (code, "auto_assign is off" in message) == ("no_capable_actor", True)
