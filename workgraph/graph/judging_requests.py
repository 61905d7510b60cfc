"""Having work judged now: what is asked for, and what came of it."""

from workgraph.graph.model import Record
from workgraph.graph.reward_requests import GetStats, RecordReward, ShowRewards
from workgraph.graph.task_options import Request


class RunReward(Request, frozen=True, kw_only=True, tag="reward_run"):
    """Has an attempt judged now, whatever the settings say of that."""

    task: str | None = None
    #: Null: the last one that is over.
    attempt: int | None = None


class RunData(Record, frozen=True, kw_only=True):
    """Who judges, or has judged, an attempt."""

    task: str
    attempt: int
    #: The tasks that are to bring a judgement, and whose they are.
    errands: tuple[str, ...] = ()
    evaluator: str | None = None
    #: What checks have said, where there is no evaluator.
    score: float | None = None


#: All that is asked about judgements.
JudgementRequest = RecordReward | ShowRewards | GetStats | RunReward
