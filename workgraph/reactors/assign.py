"""Assign: who does the tasks that dispatch is about to start."""

from msgspec.structs import replace

from workgraph.graph import assigning
from workgraph.graph.decisions import AskAssigner, ClearTask, Decision, HoldTask
from workgraph.graph.matching import choose, missing_skills, seed_of
from workgraph.graph.model import Actor, Parked, Task
from workgraph.graph.views import AssignView, dispatch_order


def decide(view: AssignView, now: int) -> tuple[Decision, ...]:
    """What becomes of each: it may be started, and by whom; it is asked; it waits.

    What is beyond the slots while an assigner is asked for others is left for later.
    """
    del now
    desk = _Desk(view)
    ordered = sorted(view.tasks, key=lambda task: dispatch_order(task, view.continuing))
    return tuple(
        decision for task in ordered if (decision := desk.settle(task)) is not None
    )


class _Desk:
    """What is decided task by task: each start takes room from the next ones.

    Args:
        view: The tasks and the actors.
    """

    def __init__(self, view: AssignView) -> None:
        self._view = view
        self._actors = {actor.name: actor for actor in view.cast.actors}
        self._live = dict(view.live)
        self._asked = 0

    def settle(self, task: Task) -> Decision | None:
        reserved = self._view.reserved.get(task.id)
        assigned = reserved or assigning.person_of(task)
        if assigned is not None:
            return self._assigned(task, assigned)
        if assigning.is_machinery(task):
            return ClearTask(task=task, actor=task.actor)
        chosen = self._actors.get(task.actor) if task.actor is not None else None
        if chosen is not None and self._may_keep(task, chosen):
            self._take(chosen)
            return ClearTask(task=task, actor=chosen.name)
        match self._view.mode:
            case "off":
                return self._off(task)
            case "actor" if self._is_to_ask(task):
                return self._ask(task)
            case _:
                return self._match(task)

    def _assigned(self, task: Task, name: str) -> Decision | None:
        """By a person, or by the trajectory that it is in: nobody else does it."""
        actor = self._actors.get(name)
        if actor is None and name in self._view.vanished:
            return _hold(task, assigning.vanished(task, name))
        if actor is None or actor.human:
            return ClearTask(task=task, actor=name)
        if missing_skills(actor, task.spec.requires_skills):
            return _hold(task, assigning.lacks_skill(task, actor))
        if not self._has_room(actor):
            return _hold(task, assigning.busy(task, name, (actor,)))
        self._take(actor)
        return ClearTask(task=task, actor=name)

    def _may_keep(self, task: Task, actor: Actor) -> bool:
        """Whether what a machine has said before still stands."""
        cast, requires = self._view.cast, task.spec.requires_skills
        fit = actor in cast.able(requires) or actor in cast.tried(requires)
        return fit and self._has_room(actor)

    def _off(self, task: Task) -> Decision | None:
        if task.spec.requires_skills:
            return _hold(task, assigning.not_assigned(task))
        return ClearTask(task=replace(task, actor=None, actor_matched=False))

    def _is_to_ask(self, task: Task) -> bool:
        return self._view.assigner is not None and task.id not in self._view.asked

    def _ask(self, task: Task) -> Decision | None:
        assigner = self._view.assigner
        if assigner is None or self._asked >= self._view.free_slots:
            return None
        self._asked += 1
        return AskAssigner(task=task, assigner=assigner)

    def _match(self, task: Task) -> Decision | None:
        able = self._view.cast.able(task.spec.requires_skills)
        if not able:
            return _hold(task, assigning.nobody_able(task, self._view.cast))
        free = [actor for actor in able if self._has_room(actor)]
        if not free:
            return _hold(task, assigning.busy(task, None, able))
        open_to = assigning.beside_default(free)
        if len(open_to) == 1 and not self._view.cast.tried(task.spec.requires_skills):
            return self._give(task, open_to[0])
        need, candidates = self._view.standing[task.id]
        choice = choose(
            need,
            [
                replace(one, live=self._live.get(one.actor.name, 0))
                for one in candidates
            ],
            explore=self._view.explore,
            seed=seed_of(need),
        )
        assert choice is not None, "somebody who may be chosen has room"
        cleared = self._give(task, self._actors[choice.actor])
        return replace(cleared, choice=choice)

    def _give(self, task: Task, actor: Actor) -> ClearTask:
        self._take(actor)
        mine = replace(task, actor=actor.name, actor_matched=True)
        return ClearTask(task=mine, actor=actor.name)

    def _has_room(self, actor: Actor) -> bool:
        return assigning.has_room(actor, self._live.get(actor.name, 0))

    def _take(self, actor: Actor) -> None:
        self._live[actor.name] = self._live.get(actor.name, 0) + 1


def _hold(task: Task, parked: Parked) -> HoldTask | None:
    """Parks a task, unless it is parked for the same already; told once."""
    known = task.parked
    if known is not None and known.code == parked.code:
        if known.key == parked.key and parked.key is not None:
            return None
        parked = replace(parked, looks=known.looks + 1)
    return HoldTask(task=task.id, parked=parked)
