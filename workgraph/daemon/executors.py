"""Every executor there is, and whether it could run here: one look for all who ask."""

from typing import Final

from workgraph.agents.builtin import BUILTINS
from workgraph.agents.choices import SHELL, choose_account, nearest
from workgraph.agents.environment import missing_credentials
from workgraph.agents.executor import Executor, Job
from workgraph.agents.lacks import wanted
from workgraph.agents.plan import (
    Flags,
    Grounds,
    PlanError,
    before_the_claim,
    plan_spawn,
)
from workgraph.graph.errors import NotFoundError
from workgraph.graph.model import Task, TaskSpec, Usage
from workgraph.graph.replies import ExecutorData
from workgraph.graph.status import Status

#: What stands for a task where there is none; no task can have this id.
NO_TASK: Final = ".executor"
_BUILT_IN: Final = frozenset(executor.name for executor in BUILTINS)


def look_at_executors(grounds: Grounds) -> tuple[ExecutorData, ...]:
    """All executors, those that could not be loaded last. It blocks for some stats."""
    executors = grounds.executors
    found = [_look_at(grounds, executor) for executor in executors.by_name.values()]
    found += [
        _unusable(grounds, name, problem)
        for name, problem in executors.problems.items()
        if name not in executors.by_name
    ]
    return tuple(found)


def check_executor(grounds: Grounds, name: str) -> None:
    """Looks an executor up.

    Raises:
        NotFoundError: There is none of that name.
        PlanError: There would be one, if it could be loaded.
    """
    known, problems = grounds.executors.by_name, grounds.executors.problems
    if name in known:
        return
    if name in problems:
        message = f"executor {name} can't be used: {problems[name]}"
        raise PlanError(message, hint="mend the settings or the plug-in")
    raise NotFoundError(f"there is no executor {name}", hint=nearest(name, known))


def find_path(grounds: Grounds, executor: Executor) -> tuple[str, str | None]:
    """An executor's own program, and where it is, whatever is around it in a plan."""
    host = grounds.host
    job = Job(
        task=NO_TASK,
        agent="<agent>",
        workspace=host.project_dir,
        prompt_file="<prompt>",
        prompt="<prompt>",
        exec="true",
        python=host.python,
    )
    program = next(iter(executor.command(job)), "")
    path = grounds.env[executor.name]["PATH"].value
    return program, host.has_executable(wanted(program, host.project_dir), path)


def a_task_of_none(command: str | None = None, working_dir: str | None = None) -> Task:
    """A task that is nowhere but here, for plans that no task is asked for.

    Args:
        command: What it runs, where that is shell's.
        working_dir: Where; null for the project's folder.
    """
    spec = TaskSpec(title="an executor", exec=command, working_dir=working_dir)
    return Task(
        seq=0,
        id=NO_TASK,
        spec=spec,
        status=Status.OPEN,
        priority=0,
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


def without_task(text: str) -> str:
    """A word of a plan's, without the id of the task that there is none of."""
    return text.removeprefix(f"{NO_TASK}: ")


def _look_at(grounds: Grounds, executor: Executor) -> ExecutorData:
    name, host = executor.name, grounds.host
    program, path = find_path(grounds, executor)
    task = a_task_of_none("true" if name == SHELL else None)
    needed = executor.credentials
    missing = None
    if needed is not None:
        env = grounds.env[name]
        missing = missing_credentials(needed, env, host.home, host.exists)
    account = choose_account(grounds.layered, executor, None, None).value
    problems = [
        problem
        for known, problem in grounds.executors.problems.items()
        if known == name
    ]
    try:
        plan = plan_spawn(
            grounds,
            task=task,
            flags=Flags(executor=name),
            agent=before_the_claim(host),
            preview=True,
        )
    except PlanError as error:
        problems.append(error.message)
        account = None if executor.needs_endpoint else account
    else:
        account = plan.account.value
        problems += plan.problems
    return ExecutorData(
        name=name,
        source=_source(grounds, name),
        configured=name in grounds.layered.settings.executors,
        default=_is_default(grounds, name),
        program=program,
        path=path,
        stream=executor.stream,
        account=account,
        can_resume=executor.can_resume,
        credentials="not needed" if needed is None else "missing" if missing else "ok",
        missing=missing,
        problems=tuple(map(without_task, problems)),
    )


def _unusable(grounds: Grounds, name: str, problem: str) -> ExecutorData:
    return ExecutorData(
        name=name,
        source=_source(grounds, name),
        configured=name in grounds.layered.settings.executors,
        default=_is_default(grounds, name),
        problems=(problem,),
    )


def _source(grounds: Grounds, name: str) -> str:
    if name in _BUILT_IN:
        return "built-in"
    given = grounds.layered.settings.executors.get(name)
    return "plug-in" if given is None or given.argv is None else "settings"


def _is_default(grounds: Grounds, name: str) -> bool:
    return name == str(grounds.layered.settings.dispatcher.executor)
