"""What the prompt of `assign-T` says: the task it is about, and who could do that."""

from workgraph.agents.blocks import Block, Item, Part
from workgraph.graph.context_view import AbleActor, Assignment


def assignment_block(about: Assignment | None) -> Block | None:
    """The block, from the state of things when the prompt is made."""
    if about is None:
        return None
    task = Item(
        head=f"task {about.task}:",
        title=about.title,
        parts=_parts(
            ("description", about.description),
            ("required skills", ", ".join(about.requires)),
            ("preferred skills", ", ".join(about.prefers)),
            ("complexity", about.complexity or ""),
        ),
        always=True,
    )
    return Block(
        name="assignment",
        source=f"task {about.task}",
        items=(task, *(map(_actor, about.able))),
        rank=85,
        floor=400,
    )


def _actor(one: AbleActor) -> Item:
    score = "" if one.score is None else f"{one.score:.3f}"
    parts = ", ".join(f"{name} {value:+.3f}" for name, value in one.parts.items())
    return Item(
        head="actor",
        title=one.name,
        parts=_parts(
            ("skills", ", ".join(one.skills)),
            ("score", f"{score} ({parts})" if parts else score),
            ("now", f"works on {one.live}" + (", as many as it may" * one.busy)),
        ),
        always=True,
    )


def _parts(*labelled: tuple[str, str]) -> tuple[Part, ...]:
    return tuple(Part(label=label, text=text) for label, text in labelled if text)
