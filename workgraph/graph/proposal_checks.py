"""Whether what somebody proposes can be, and is borne out by the record.

An actor that proposes changes (`[agency] evolver`) is held to what the strategy is held
to: it may write new texts, which have to show in a trial what they are worth, but that
skills are given up, or that an actor is retired, the record has to bear out. Pure.
"""

from collections.abc import Sequence
from typing import Final

from workgraph.graph.evolution import (
    LEAST,
    EvolutionView,
    Subject,
    find_subject,
    is_outdone,
    may_change,
    outdone_skills,
)
from workgraph.graph.model import Actor, Record
from workgraph.graph.proposals import FIELDS, Becomes, Draft, ProposalKind

#: A text longer than that is no outcome, description or constraint, and of these there
#: are no more: they stand in every prompt.
LONGEST_TEXT: Final = 2000
MOST_TEXTS: Final = 20


def refusal(draft: Draft, view: EvolutionView) -> str | None:
    """Why something that somebody has proposed can't be; null: it can.

    The record must bear out that skills are given up, or that an actor is retired; a
    new text has to show in its trial what it is worth.
    """
    subject = find_subject(view, draft.subject)
    if subject is None:
        return "there is no such actor"
    name = subject.actor.name
    if not may_change(subject.actor):
        return f"{name} is a person or the last resort: it stays as it is"
    if draft.subject in view.on_trial:
        return f"{name} is on trial itself"
    wrong = _wrong_fields(draft, subject)
    if wrong is not None:
        return wrong
    return _not_borne_out(draft, subject, view)


def _not_borne_out(draft: Draft, subject: Subject, view: EvolutionView) -> str | None:
    name = subject.actor.name
    is_official = draft.subject in view.officials
    if draft.kind == "retire":
        if is_official:
            return f"{name} is named in [agency]"
        if not is_outdone(view, subject, frozenset()):
            return f"the record does not show that others are better than {name}"
        return None
    if subject.overall.count < LEAST and not is_official:
        return f"too little of the work of {name} has been judged: {LEAST} at least"
    if draft.change.skills is not None:
        lost = set(subject.actor.skills) - set(draft.change.skills)
        for skill in sorted(lost - set(outdone_skills(view, subject))):
            return f"the record does not show that others are better at {skill}"
    return None


def _wrong_fields(draft: Draft, subject: Subject) -> str | None:
    change = draft.change
    allowed = FIELDS[draft.kind]
    given = [
        name for name in Becomes.__struct_fields__ if getattr(change, name) is not None
    ]
    for name in given:
        if name not in allowed:
            return f"{name} is not of a proposal of the kind {draft.kind}"
    if draft.kind == "retire":
        return None
    if not given:
        return f"it changes nothing: name one of {', '.join(allowed)}"
    for name in given:
        value = getattr(change, name)
        texts = (value,) if isinstance(value, str) else value
        if len(texts) > MOST_TEXTS or any(_is_no_text(text) for text in texts):
            return (
                f"{name}: at most {MOST_TEXTS} texts, none empty or longer than"
                f" {LONGEST_TEXT}"
            )
    now = _as_it_is(draft.kind, subject)
    if all(getattr(change, name) == now[name] for name in given):
        return "it is so already"
    if change.skills is not None:
        return _wrong_skills(change.skills, subject.actor)
    return None


def _wrong_skills(skills: Sequence[str], actor: Actor) -> str | None:
    """A proposal takes skills away: that somebody has one is for people to say."""
    if not skills:
        return "skills: none would be left"
    more = sorted(set(skills) - set(actor.skills))
    if more:
        return (
            f"skills: {actor.name} has no {', '.join(more)}; it can only give up some"
        )
    return None


def _is_no_text(text: str) -> bool:
    return not text.strip() or len(text) > LONGEST_TEXT or "\0" in text


def _as_it_is(kind: ProposalKind, subject: Subject) -> dict[str, object]:
    if kind == "role":
        whole: Record | None = subject.role
    elif kind == "tradeoff":
        whole = subject.tradeoff
    else:
        whole = subject.actor
    empty: dict[str, object] = {"accept": (), "reject": ()}
    return {
        name: empty.get(name) if whole is None else getattr(whole, name)
        for name in FIELDS[kind]
    }
