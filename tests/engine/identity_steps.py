"""What happens to roles, tradeoffs and actors in a made-up story."""

from workgraph.graph import identity_requests as q

_WHO = ("ann", "bob", "alice")
_WHAT = ("coder", "tester")


def identity_request(x: int, y: int) -> q.IdentityWrite:
    """One of everything that can be asked of them, by two numbers below 64."""
    who, what, other = _WHO[x % 3], _WHAT[x % 2], _WHAT[y % 2]
    choices: tuple[q.IdentityWrite, ...] = (
        q.AddRole(name=what, description=f"d{y % 3}", skill=(f"s{y % 2}",)),
        q.EditRole(role=what, description=f"d{y % 4}"),
        q.EditRole(role=what, name=other),
        q.RemoveRole(role=what),
        q.AddTradeoff(name=what, description="d", reject=(f"r{y % 3}",)),
        q.EditTradeoff(tradeoff=what, add_reject=(f"r{y % 3}",)),
        q.RemoveTradeoff(tradeoff=what),
        q.AddActor(name=who, human=y % 3 == 0),
        q.AddActor(name=who, role=what, tradeoff=other),
        q.EditActor(actor=who, human=y % 2 == 0),
        q.EditActor(actor=who, role=what, capacity=1 + y % 3),
        q.EditActor(actor=who, role="", tradeoff=other),
        q.EditActor(actor=who, name=_WHO[y % 3]),
        q.RemoveActor(actor=who),
        q.RemoveActor(actor=who),
    )
    return choices[(x // 6 + y * 11) % len(choices)]
