"""What is said to an actor whose work is weakest in a dimension of the rubric.

For each dimension there is a sentence for a role's outcome, what its work is to have
brought about, and a hard constraint for a tradeoff. The first is tried first: it says
what is wanted, and leaves open how.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from workgraph.graph.model import Record


class Remedy(Record, frozen=True, kw_only=True):
    """The two texts for a dimension."""

    #: For the role's outcome.
    outcome: str
    #: For the tradeoff's hard constraints.
    reject: str


#: By the dimensions of the rubric that an actor's own way of working moves.
REMEDIES: Final[Mapping[str, Remedy]] = MappingProxyType(
    {
        "correctness": Remedy(
            outcome="The result was run or checked against what the task asks for,"
            " and what was checked is named.",
            reject="Handing in what was never run or checked.",
        ),
        "completeness": Remedy(
            outcome="Everything that the task asks for is there; what is left out is"
            " named, with the reason.",
            reject="Handing in a part as if it were the whole.",
        ),
        "downstream_usability": Remedy(
            outcome="Whoever goes on from it finds the results under the promised names"
            " and knows from the summary how to use them.",
            reject="Leaving results where those who need them have to search for them.",
        ),
        "efficiency": Remedy(
            outcome="The task is done by the shortest way that does it well, without"
            " work that nobody asked for.",
            reject="Doing work that the task does not ask for.",
        ),
        "style_adherence": Remedy(
            outcome="The result follows the conventions of what is around it: names,"
            " layout, tone.",
            reject="Bringing in a style of one's own where there is one already.",
        ),
        "coordination_overhead": Remedy(
            outcome="Questions were asked once, early and together, and only where the"
            " task and its context do not answer them.",
            reject="Asking what the task or its context answers.",
        ),
        "blocking_impact": Remedy(
            outcome="What others wait for is there first, and what hinders them is said"
            " as soon as it is known.",
            reject="Keeping to oneself that others will have to wait.",
        ),
        "constraint_fidelity": Remedy(
            outcome="Each constraint of the task is kept, and the summary says how.",
            reject="Setting a constraint aside, for whatever reason, without asking.",
        ),
        "intent_fidelity": Remedy(
            outcome="The result does what the task is for, not what its words could"
            " also mean.",
            reject="Guessing what is meant where the task is open to two readings.",
        ),
    }
)
