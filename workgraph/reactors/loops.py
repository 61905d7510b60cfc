"""What becomes of a loop whose iteration is over: a pure decision.

An unmet `--until` after the last iteration is a failure, as any gate that says no: the
command was asked for, and nothing is called done that it refuses. `--until-converged`
asks for no proof, only for an end before the last iteration where there is nothing left
to do: when nobody has said so, all iterations were run as ordered, and the last member
is done, with a note in its summary. A plain `--max N` is met by N iterations.
"""

from workgraph.graph.loops import Loop, LoopEnd
from workgraph.graph.model import Record


class Verdict(Record, frozen=True, kw_only=True):
    """What becomes of a loop after an iteration."""

    #: Null: its members run again.
    end: LoopEnd | None
    #: Whether its last member is done with that, or has failed.
    succeeded: bool = True
    #: What is added to the summary of the last member, or why it has failed.
    note: str | None = None


def decide(loop: Loop, *, met: bool, evidence: str) -> Verdict:
    """Judges an iteration that is over.

    Args:
        loop: A loop all of whose members have passed their gates.
        met: Whether `--until` has succeeded; of no weight where there is none.
        evidence: What it has said.
    """
    if loop.until is not None and met:
        return Verdict(end=LoopEnd.MET)
    if loop.until_converged and loop.converged:
        return Verdict(end=LoopEnd.CONVERGED)
    if loop.iteration < loop.most:
        return Verdict(end=None)
    times = f"{loop.iteration} of {loop.most} iterations"
    if loop.until is not None:
        note = f"the loop's condition was not met after {times}: {evidence}"
        return Verdict(end=LoopEnd.UNMET, succeeded=False, note=note)
    if loop.until_converged:
        note = f"The loop of {', '.join(loop.ids)} has not converged in {times}."
        return Verdict(end=LoopEnd.MAX_REACHED, note=note)
    return Verdict(end=LoopEnd.MAX_REACHED)
