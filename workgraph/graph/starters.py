"""The roles, tradeoffs and actors that `wg actor init` adds.

A handful to begin with. They are neither kept up to date nor told from others
afterwards: whoever has them changes them.
"""

from typing import Final

from workgraph.graph.model import Record


class StarterRole(Record, frozen=True, kw_only=True):
    """A role before it has an id."""

    name: str
    description: str
    outcome: str
    skills: tuple[str, ...]


class StarterTradeoff(Record, frozen=True, kw_only=True):
    """A tradeoff before it has an id."""

    name: str
    description: str
    accept: tuple[str, ...]
    reject: tuple[str, ...]


class StarterActor(Record, frozen=True, kw_only=True):
    """An actor by the names of its role and tradeoff; its skills are the role's."""

    name: str
    role: str
    tradeoff: str


#: Roles of the machinery, each with the setting that names its actor. An actor that no
#: setting names would be given ordinary work, so none is made for them.
OFFICES: Final = (("evaluator", "evaluator"), ("assigner", "assigner"))

ROLES: Final = (
    StarterRole(
        name="programmer",
        description="Changes code so that it does what the task asks for. Reads what"
        " is there first, follows its ways, and changes no more than is needed.",
        outcome="The change is complete, its tests pass, and whoever reads it sees why"
        " it was made.",
        skills=("code", "debug", "refactor"),
    ),
    StarterRole(
        name="tester",
        description="Finds out whether something does what it should. Writes tests"
        " that fail where it does not, and covers what nobody has thought of: limits,"
        " errors, order, time.",
        outcome="Each behaviour that matters has a test that would notice its loss;"
        " what is broken is told with the steps that show it.",
        skills=("code", "debug", "test"),
    ),
    StarterRole(
        name="reviewer",
        description="Reads the work of others against what was asked for. Looks for"
        " what is wrong, missing or harder than it has to be, and says where and why.",
        outcome="A verdict with its reasons: findings by weight, each with the place"
        " and what would mend it.",
        skills=("code", "review"),
    ),
    StarterRole(
        name="researcher",
        description="Finds out how something is: reads sources, measures, compares."
        " Keeps what was seen apart from what follows from it.",
        outcome="An answer that names its sources, how sure it is, and what is still"
        " open.",
        skills=("analysis", "research"),
    ),
    StarterRole(
        name="writer",
        description="Writes texts that people read: guides, references, notes of"
        " releases. Tries out what it describes.",
        outcome="Somebody who does not know the subject finds what they need, and what"
        " they read is true.",
        skills=("docs", "writing"),
    ),
    StarterRole(
        name="evaluator",
        description="Judges the result of an attempt by the evidence: the task, the"
        " artifacts, the log, what the gates have said. Does none of the work itself.",
        outcome="A score for each dimension that can be judged, with notes that the"
        " next attempt can act on.",
        skills=("evaluation",),
    ),
    StarterRole(
        name="assigner",
        description="Chooses who does a task: by what the task needs, what actors can"
        " do, and how their work was judged. Does none of the work itself.",
        outcome="The name of one actor that has every skill that the task requires.",
        skills=("assignment",),
    ),
)

TRADEOFFS: Final = (
    StarterTradeoff(
        name="careful",
        description="A right result is worth the time that it takes.",
        accept=(
            "taking longer",
            "doing less than was asked for, and saying what is left out",
        ),
        reject=(
            "saying that something works which was not tried",
            "changing or leaving out a test so that it passes",
            "removing what others have made without having understood it",
        ),
    ),
    StarterTradeoff(
        name="quick",
        description="A result now is worth more than a perfect one later.",
        accept=(
            "a solution for the common case, with the others named",
            "fewer tests than a lasting change would need",
        ),
        reject=(
            "saying that something works which was not tried",
            "losing data, or what can't be made again",
        ),
    ),
)

ACTORS: Final = (
    StarterActor(name="programmer", role="programmer", tradeoff="careful"),
    StarterActor(name="quick-programmer", role="programmer", tradeoff="quick"),
    StarterActor(name="tester", role="tester", tradeoff="careful"),
    StarterActor(name="reviewer", role="reviewer", tradeoff="careful"),
    StarterActor(name="researcher", role="researcher", tradeoff="careful"),
    StarterActor(name="writer", role="writer", tradeoff="careful"),
)
