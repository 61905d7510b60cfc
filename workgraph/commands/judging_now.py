"""The handler of `wg reward run`: an attempt is judged now, whatever the mode."""

from workgraph.commands import judging
from workgraph.commands.context import Context
from workgraph.commands.rewards import attempt_of
from workgraph.graph.errands import TAGS
from workgraph.graph.errors import ConflictError, UserError
from workgraph.graph.judging import SCORE, Work, parts_of, why_not
from workgraph.graph.judging_requests import RunData, RunReward
from workgraph.graph.model import AgentStatus
from workgraph.graph.replies import Reply
from workgraph.graph.rewards import CHECKS
from workgraph.graph.status import SETTLED
from workgraph.reactors.reward import check
from workgraph.store import errands, reads, rewards
from workgraph.store import judging as store


def run_reward(context: Context, request: RunReward) -> Reply:
    """Asks the evaluator about an attempt; where there is none, checks judge at once.

    Raises:
        UserError: Nobody has worked on the task, or it is the machinery's own.
        ConflictError: The attempt is not over.
        NotFoundError: There was no such attempt.
    """
    tx, settings = context.tx, context.settings
    task = reads.task(tx, request.task or "")
    if not TAGS.isdisjoint(task.spec.tags) or errands.find(tx, task.id) is not None:
        raise UserError(
            f"{task.id} is the machinery's own: nobody judges it",
            hint="wg reward record says yourself what you think of it",
        )
    number = attempt_of(context, task, request.attempt)
    agent = store.attempt(tx, task.id, number)
    assert agent is not None
    if agent.status is not AgentStatus.ENDED:
        raise ConflictError(
            f"{agent.id} has not ended yet", hint="try again when it has"
        )
    how = judging.judging_of(settings)
    evaluator = judging.evaluator_of(tx, how)
    problem = why_not(evaluator, agent)
    notes: list[str] = []
    if problem is None:
        made: tuple[str, ...]
        there = store.errand_for(tx, task.id, number, SCORE)
        if there is not None and there.status not in SETTLED:
            made = (there.task,)
            notes.append(f"{there.task} was there already")
        else:
            made = tuple(
                judging.ask(tx, agent.number, evaluator.name, parts_of(task, how.flip))
            )
        data = RunData(
            task=task.id, attempt=number, errands=made, evaluator=evaluator.name
        )
        return Reply(data=data, notes=tuple(notes))
    judging.score(tx, agent, check(Work(agent=agent, task=task)), settings)
    score = next(
        one.score
        for one in rewards.of_attempt(tx, task.id, number)
        if one.source == CHECKS
    )
    if evaluator.name:
        notes.append(f"{problem}: checks have judged it")
    data = RunData(task=task.id, attempt=number, score=score)
    return Reply(data=data, notes=tuple(notes))
